import type { Branded } from './ids.ts';

/** `sha256:` and 64 lower-case hex digits. @see OCI image-spec, "Digests"; other algorithms are not served */
export type Digest = Branded<string, 'Digest'>;

/** @returns the digest, or undefined where `text` is none that is served */
export function parseDigest(text: string): Digest | undefined {
  return /^sha256:[0-9a-f]{64}$/.test(text) ? (text as Digest) : undefined;
}

/** @param hex 64 lower-case hex digits, of a hash that was just computed */
export function sha256Digest(hex: string): Digest {
  return `sha256:${hex}` as Digest;
}
