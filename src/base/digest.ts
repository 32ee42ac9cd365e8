import type { Branded } from './ids.ts';

/** `sha256:` and 64, or `sha512:` and 128 lower-case hex digits. @see OCI image-spec, "Digests": the registered algorithms */
export type Digest = Branded<string, 'Digest'>;
export type DigestAlgorithm = 'sha256' | 'sha512';

/** @returns the digest, or undefined where `text` is none that is served */
export function parseDigest(text: string): Digest | undefined {
  return /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/.test(text) ? (text as Digest) : undefined;
}

export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256';
}

/** The digits after the algorithm. */
export function hexOf(digest: Digest): string {
  return digest.slice(7);
}

/** @param hex lower-case digits of a hash that was just computed */
export function digestFrom(algorithm: DigestAlgorithm, hex: string): Digest {
  return `${algorithm}:${hex}` as Digest;
}
