import { createPublicKey, generateKeyPair } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { calculateJwkThumbprint, exportJWK, importPKCS8, importSPKI, SignJWT } from 'jose';
import { hasCode, JobpassError } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';
import type { IdTokenSigner, PublicJwk } from '../ports/id-tokens.ts';
import { keyFile } from './key-files.ts';

const keyBits = 2048;
const mostKeys = 20;
const algorithm = 'RS256';

interface SigningKey {
  readonly pem: string;
  readonly jwk: PublicJwk;
}

/**
 * Keys for ID tokens, as PEM files (PKCS #8) of a folder: the last by name when the first token is signed signs, all are published. The first is made when one
 * is wanted. To change it: put a file with a later name beside it, start the servers anew, and remove the old file once no token of its is valid any more.
 */
export function fileIdTokenSigner(folder: string): IdTokenSigner {
  const known = new Map<string, SigningKey>();
  let signing: Promise<SigningKey> | undefined;

  async function keys(): Promise<readonly SigningKey[]> {
    const names = (await namesIn(folder)).toSorted();
    if (names.length > mostKeys) throw new JobpassError('invalid_input', `${folder} has more than ${mostKeys} keys. Remove old ones.`);
    const found: SigningKey[] = [];
    for (const name of names) {
      const pem = await readFile(join(folder, name), 'utf8');
      const key = known.get(pem) ?? (await readKey(pem, join(folder, name)));
      known.set(pem, key);
      found.push(key);
    }
    return found;
  }

  async function signingKey(): Promise<SigningKey> {
    const last = (await keys()).at(-1);
    if (last !== undefined) return last;
    const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: keyBits });
    keyFile(folder, '0001.pem', () => privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const made = (await keys()).at(-1);
    if (made === undefined) throw new JobpassError('internal', {}, new Error('the key that was made is not there'));
    return made;
  }

  const current = (): Promise<SigningKey> => {
    signing ??= signingKey().catch((error: unknown) => {
      signing = undefined;
      throw error;
    });
    return signing;
  };

  return {
    async sign(claims) {
      const { pem, jwk } = await current();
      const key = await importPKCS8(pem, algorithm);
      return new Secret(await new SignJWT({ ...claims }).setProtectedHeader({ alg: algorithm, kid: jwk.kid, typ: 'JWT' }).sign(key));
    },
    async publicKeys() {
      // Before anybody has signed, too: who sets up a service looks here first.
      await current();
      return (await keys()).map(({ jwk }) => jwk);
    },
  };
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).filter((name) => name.endsWith('.pem'));
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  }
}

/** @throws invalid_input for what is no RSA key of at least 2048 bits */
async function readKey(pem: string, path: string): Promise<SigningKey> {
  const bad = (cause?: unknown) =>
    new JobpassError('invalid_input', `${path} is no RSA private key (PEM, PKCS #8) of at least ${keyBits} bits.`, cause);
  try {
    const publicKey = createPublicKey(pem);
    if (publicKey.asymmetricKeyType !== 'rsa' || (publicKey.asymmetricKeyDetails?.modulusLength ?? 0) < keyBits) throw bad();
    const jwk = await exportJWK(
      await importSPKI(String(publicKey.export({ type: 'spki', format: 'pem' })), algorithm, { extractable: true }),
    );
    return { pem, jwk: { kty: 'RSA', kid: await calculateJwkThumbprint(jwk), use: 'sig', alg: algorithm, n: jwk.n ?? '', e: jwk.e ?? '' } };
  } catch (error) {
    throw error instanceof JobpassError ? error : bad(error);
  }
}
