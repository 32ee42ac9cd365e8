import { randomBase62, Secret } from './secret.ts';

const shape = /^jrt_[0-9A-Za-z]{40}$/;

/** `jrt_` + 40 base62 characters (238 bits): what `/jwt/auth` hands to docker. It proves nothing by itself and is looked up by digest. */
export function newRegistryToken(): Secret {
  return new Secret(`jrt_${randomBase62(40)}`);
}

/** What somebody without a credential is handed: the same for all, as it tells them nothing and gives them nothing. Nothing is stored for it. */
export const anonymousRegistryToken = `jrt_${'0'.repeat(40)}`;

/** True where `text` has the form of a registry token. */
export function isRegistryToken(text: string): boolean {
  return shape.test(text);
}
