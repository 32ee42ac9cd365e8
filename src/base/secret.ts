import { hash, randomInt } from 'node:crypto';
import { inspect } from 'node:util';
import type { SecretDigest } from './ids.ts';

/**
 * A secret that redacts itself wherever it is printed or serialised. `reveal()` is the only way out, and easy to grep for.
 * It deliberately keeps no reference that a structured clone or a JSON dump could follow.
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The clear text; only for handing to the peer that needs it. */
  reveal(): string {
    return this.#value;
  }

  /** What is stored and looked up in its place. */
  digest(): SecretDigest {
    return digestOf(this.#value);
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [inspect.custom](): string {
    return '[secret]';
  }
}

/** SHA-256 of a secret's UTF-8 bytes, lower-case hex. */
export function digestOf(value: string): SecretDigest {
  return hash('sha256', value, 'hex') as SecretDigest;
}

export const base62Alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** `length` characters of base62 from the system's randomness, without modulo bias. */
export function randomBase62(length: number): string {
  let text = '';
  for (let index = 0; index < length; index += 1) text += base62Alphabet.charAt(randomInt(62));
  return text;
}
