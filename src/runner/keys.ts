import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { contentDigest, signatureBase, signatureHeader, signatureInput } from '../wire/request-signature.ts';

/** The key that a jobpass runner registers and signs with (R7). */
export interface RunnerKey {
  /** Raw public key, base64url: the `keyid`. */
  readonly publicKey: string;
  /** Headers for one request. */
  headers(request: { readonly method: string; readonly url: URL; readonly body: string }, nowMs: number): Record<string, string>;
}

export async function createKeyFile(path: string): Promise<RunnerKey> {
  const { privateKey } = generateKeyPairSync('ed25519');
  await writeFile(path, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600, flag: 'wx' });
  return keyOf(privateKey);
}

/** @throws when the file is missing or holds no Ed25519 key */
export async function readKeyFile(path: string): Promise<RunnerKey> {
  return keyOf(createPrivateKey(await readFile(path)));
}

function keyOf(privateKey: KeyObject): RunnerKey {
  const publicKey = String(createPublicKey(privateKey).export({ format: 'jwk' }).x);
  return {
    publicKey,
    headers({ method, url, body }, nowMs) {
      const digest = contentDigest(Buffer.from(body));
      const parameters = { created: Math.floor(nowMs / 1000), nonce: randomBytes(16).toString('base64url'), keyid: publicKey };
      const base = signatureBase({ method, path: url.pathname, authority: url.host.toLowerCase(), contentDigest: digest }, parameters);
      return {
        'content-digest': digest,
        'signature-input': signatureInput(parameters),
        signature: signatureHeader(sign(null, Buffer.from(base), privateKey)),
      };
    },
  };
}
