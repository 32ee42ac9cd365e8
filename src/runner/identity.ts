import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { JobpassError } from '../base/errors.ts';
import { contentDigest, signatureBase, signatureHeader, signatureInput } from '../wire/request-signature.ts';

/** Proves that a request comes from the runner that registered, not just from somebody with its token (R7, A60). */
export interface Signer {
  /** Raw Ed25519 public key, 32 bytes base64url. */
  readonly publicKey: string;
  /** Headers for one attempt; a nonce works once, so a retry signs again. @param path without query */
  headers(method: string, path: string, authority: string, body: Uint8Array): Record<string, string>;
}

/** Makes a key and writes it to a new file, mode 0600. @throws conflict when the file exists */
export async function createKey(path: string): Promise<Signer> {
  const { privateKey } = generateKeyPairSync('ed25519');
  try {
    await writeFile(path, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600, flag: 'wx' });
  } catch (error) {
    throw new JobpassError('conflict', `the key file ${path} cannot be created`, error);
  }
  return signerOf(privateKey);
}

/** @throws invalid_input when there is no Ed25519 key in the file */
export async function loadKey(path: string): Promise<Signer> {
  try {
    const key = createPrivateKey(await readFile(path, 'utf8'));
    if (key.asymmetricKeyType === 'ed25519') return signerOf(key);
  } catch (error) {
    throw new JobpassError('invalid_input', `the key file ${path} cannot be read`, error);
  }
  throw new JobpassError('invalid_input', `the key file ${path} holds no Ed25519 key`);
}

function signerOf(key: KeyObject): Signer {
  const publicKey = createPublicKey(key).export({ format: 'jwk' }).x ?? '';
  return {
    publicKey,
    headers(method, path, authority, body) {
      const digest = contentDigest(body);
      const parameters = {
        created: Math.floor(Date.now() / 1000),
        nonce: randomBytes(16).toString('base64url'),
        keyid: publicKey,
      };
      const base = signatureBase({ method, path, authority: authority.toLowerCase(), contentDigest: digest }, parameters);
      return {
        'content-digest': digest,
        'signature-input': signatureInput(parameters),
        signature: signatureHeader(sign(null, Buffer.from(base), key)),
      };
    },
  };
}
