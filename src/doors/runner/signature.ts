import { createPublicKey, verify } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Clock } from '../../base/clock.ts';
import type { EpochMillis } from '../../base/ids.ts';
import { contentDigest, parseSignatureHeader, parseSignatureInput, signatureBase } from '../../wire/request-signature.ts';

const maxSkewSeconds = 60;

export type SignatureCheck =
  | { readonly signed: false }
  | { readonly signed: true; readonly ok: true; readonly key: string }
  | { readonly signed: true; readonly ok: false; readonly why: string };

/**
 * Verifies a jobpass runner's signature over the exact bytes of its request (R7, A60).
 * @param useNonce remembers it for this runner; false = it was used before @param body as received
 */
export async function checkSignature(
  useNonce: (nonce: string, now: EpochMillis) => Promise<boolean>,
  clock: Clock,
  request: IncomingMessage,
  body: Buffer,
): Promise<SignatureCheck> {
  const { signature, 'signature-input': input, 'content-digest': digest } = request.headers;
  if (signature === undefined && input === undefined) return { signed: false };
  const no = (why: string): SignatureCheck => ({ signed: true, ok: false, why });
  const parameters = typeof input === 'string' ? parseSignatureInput(input) : undefined;
  const bytes = typeof signature === 'string' ? parseSignatureHeader(signature) : undefined;
  if (parameters === undefined || bytes === undefined || typeof digest !== 'string') return no('the signature is malformed');
  if (digest !== contentDigest(body)) return no('the content digest does not match the body');
  const now = clock.now();
  if (Math.abs(now / 1000 - parameters.created) > maxSkewSeconds)
    return no('the signature is too old, or the clocks differ by more than a minute');
  const path = (request.url ?? '').split('?')[0] ?? '';
  const base = signatureBase(
    { method: request.method ?? '', path, authority: (request.headers.host ?? '').toLowerCase(), contentDigest: digest },
    parameters,
  );
  if (!verifies(parameters.keyid, base, bytes))
    return no('the signature does not verify: whatever is in front must leave path and Host, with its port, as they came');
  if (!(await useNonce(parameters.nonce, now))) return no('the signature was used before');
  return { signed: true, ok: true, key: parameters.keyid };
}

function verifies(key: string, base: string, signature: Buffer): boolean {
  try {
    const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: key }, format: 'jwk' });
    return verify(null, Buffer.from(base), publicKey, signature);
  } catch {
    return false;
  }
}
