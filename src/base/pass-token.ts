import { crc32 } from 'node:zlib';
import { base62Alphabet, randomBase62, Secret } from './secret.ts';

/** `full` = the user's rights, `fetch` = clone and image pull only, `narrowed` = a child the job made for itself. */
export type PassKind = 'full' | 'fetch' | 'narrowed';

const letters = { full: 'x', fetch: 'f', narrowed: 'n' } as const satisfies Record<PassKind, string>;
const kinds = new Map<string, PassKind>([
  ['x', 'full'],
  ['f', 'fetch'],
  ['n', 'narrowed'],
]);

/** The prefix that runners mask and that scanners look for. */
export const passPrefix = 'jpt_';

/** `jpt_` + kind + 30 base62 characters of randomness + 6 base62 characters of CRC32 over all before (DESIGN §3). */
const shape = /^jpt_([xfn])[0-9A-Za-z]{36}$/;

/** Makes a new pass token with about 178 bits of randomness. */
export function newPassToken(kind: PassKind): Secret {
  const body = `${passPrefix}${letters[kind]}${randomBase62(30)}`;
  return new Secret(body + checksum(body));
}

/**
 * The kind of a well-formed pass token. The check sum stops typos and junk before the store is asked; it proves nothing.
 * @returns undefined for anything that is not exactly a pass token.
 */
export function passTokenKind(text: string): PassKind | undefined {
  const match = shape.exec(text);
  if (match === null || checksum(text.slice(0, -6)) !== text.slice(-6)) return undefined;
  return kinds.get(match[1] ?? '');
}

/** True where `text` claims to be a pass, well-formed or not: such a value is never taken for another credential. */
export function looksLikePass(text: string): boolean {
  return text.startsWith(passPrefix);
}

function checksum(text: string): string {
  let rest = crc32(text);
  let out = '';
  for (let index = 0; index < 6; index += 1) {
    out = base62Alphabet.charAt(rest % 62) + out;
    rest = Math.floor(rest / 62);
  }
  return out;
}
