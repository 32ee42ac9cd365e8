import type { Secret } from '../base/secret.ts';

/** A public key as others verify ID tokens with it (RFC 7517). */
export interface PublicJwk {
  readonly kty: string;
  readonly kid: string;
  readonly use: 'sig';
  readonly alg: 'RS256';
  readonly n: string;
  readonly e: string;
}

/** Signs what a job shows to other services (RS256, RFC 7519). */
export interface IdTokenSigner {
  /** @param claims all of them; times in seconds */
  sign(claims: Readonly<Record<string, unknown>>): Promise<Secret>;
  /** Every key that a valid token may be signed with. */
  publicKeys(): Promise<readonly PublicJwk[]>;
}
