import { hash } from 'node:crypto';

/**
 * HTTP Message Signatures for the jobpass runner's own requests (R7): the fixed subset of RFC 9421 that both sides speak.
 * Ed25519, label `jobpass`, covered components always these four, parameters `created`, `nonce`, `keyid`, `alg`.
 * Only the text forms stand here; signing is the runner's, verifying the server's.
 * @see RFC 9421 §2.5 (signature base), RFC 9530 (Content-Digest)
 */
export interface SignatureParameters {
  /** Seconds since 1970. */
  readonly created: number;
  /** 16 random bytes, base64url; used once. */
  readonly nonce: string;
  /** The raw public key, 32 bytes base64url. */
  readonly keyid: string;
}

export interface SignedRequest {
  readonly method: string;
  /** Path with query, as on the request line. */
  readonly path: string;
  /** Lower-case `host[:port]` as in the Host header. */
  readonly authority: string;
  readonly contentDigest: string;
}

/** `Content-Digest` of a body (RFC 9530), SHA-256 only. */
export function contentDigest(body: Uint8Array): string {
  return `sha-256=:${hash('sha256', body, 'base64')}:`;
}

const components = '("@method" "@path" "@authority" "content-digest")';

/** The value of `Signature-Input`. */
export function signatureInput(parameters: SignatureParameters): string {
  return `jobpass=${signatureParams(parameters)}`;
}

function signatureParams(parameters: SignatureParameters): string {
  return `${components};created=${parameters.created};nonce="${parameters.nonce}";keyid="${parameters.keyid}";alg="ed25519"`;
}

/** The bytes that are signed. */
export function signatureBase(request: SignedRequest, parameters: SignatureParameters): string {
  return [
    `"@method": ${request.method.toUpperCase()}`,
    `"@path": ${request.path}`,
    `"@authority": ${request.authority}`,
    `"content-digest": ${request.contentDigest}`,
    `"@signature-params": ${signatureParams(parameters)}`,
  ].join('\n');
}

const inputShape =
  /^jobpass=\("@method" "@path" "@authority" "content-digest"\);created=([0-9]{1,12});nonce="([A-Za-z0-9_-]{22})";keyid="([A-Za-z0-9_-]{43})";alg="ed25519"$/;

/** Strict: anything but our own form is undefined, which means unsigned. */
export function parseSignatureInput(header: string): SignatureParameters | undefined {
  const match = inputShape.exec(header);
  if (match === null) return undefined;
  const [, created = '', nonce = '', keyid = ''] = match;
  return { created: Number(created), nonce, keyid };
}

/** The value of `Signature` for 64 signature bytes. */
export function signatureHeader(signature: Uint8Array): string {
  return `jobpass=:${Buffer.from(signature).toString('base64')}:`;
}

/** @returns the 64 signature bytes, or undefined. */
export function parseSignatureHeader(header: string): Buffer | undefined {
  const match = /^jobpass=:([A-Za-z0-9+/]{86}==):$/.exec(header);
  if (match === null) return undefined;
  const bytes = Buffer.from(match[1] ?? '', 'base64');
  return bytes.length === 64 ? bytes : undefined;
}
