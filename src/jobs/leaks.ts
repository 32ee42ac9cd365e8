import { Secret } from '../base/secret.ts';
import type { JobId } from '../base/ids.ts';
import type { Revoker } from '../pass/revoke.ts';

/** A pass is this long in clear; the longest listed form of one (base64, spread) is under three times that. */
const tailLength = 160;
const raw = /jpt_[xfn][0-9A-Za-z]{36}/g;
/** `jpt_` in base64 at the three offsets. */
const base64 = /(?:anB0X|pwdF|qcHRf)[A-Za-z0-9+/_-]{40,60}/g;
const hex = /6a70745f(?:[0-9a-f]{2}){37}/gi;
const masked = 'MASKED';

/**
 * Looks for passes in traces (R12, A49): in clear, base64 and hex, over chunk borders, with timestamps and white space skipped. A find is revoked at once;
 * the part of it that stands in this chunk is masked, in equal length, so that offsets stay true.
 */
export class LeakScanner {
  readonly #revoker: Revoker;
  readonly #onLeak: (job: JobId, passId: number) => void;
  readonly #tails = new Map<JobId, string>();
  readonly #masked = new Set<JobId>();

  constructor(revoker: Revoker, onLeak: (job: JobId, passId: number) => void) {
    this.#revoker = revoker;
    this.#onLeak = onLeak;
  }

  /** True where the stored trace differs from what the runner sent, so that its check sum cannot match. */
  altered(job: JobId): boolean {
    return this.#masked.has(job);
  }

  forget(job: JobId): void {
    this.#tails.delete(job);
    this.#masked.delete(job);
  }

  async scan(job: JobId, bytes: Buffer): Promise<Buffer> {
    const text = (this.#tails.get(job) ?? '') + bytes.toString('latin1');
    const compact = text.replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z [0-9a-f]{2}[OE][ +]?/g, '').replaceAll(/\s+/g, '');
    this.#tails.set(job, text.slice(-tailLength));
    const found = new Set([...forms(text), ...forms(compact)]);
    let result = bytes;
    for (const pass of found) {
      const known = await this.#revoker.revokeSecret(new Secret(pass), 'found in a trace');
      if (known === undefined) continue;
      this.#onLeak(job, known.id);
      result = mask(result, pass);
    }
    if (result !== bytes) this.#masked.add(job);
    return result;
  }
}

function* forms(text: string): Generator<string> {
  for (const match of text.matchAll(raw)) yield match[0];
  for (const match of text.matchAll(hex)) yield* inside(Buffer.from(match[0], 'hex').toString('latin1'));
  for (const match of text.matchAll(base64)) {
    for (let skip = 0; skip < 4; skip += 1)
      yield* inside(
        Buffer.from('A'.repeat(skip) + match[0].slice(0, 4 * Math.floor((match[0].length + skip) / 4) - skip + 4), 'base64').toString(
          'latin1',
        ),
      );
  }
}

function* inside(text: string): Generator<string> {
  for (const match of text.matchAll(raw)) yield match[0];
}

/** Whatever stands of the pass in these bytes, in clear or at their edges. */
function mask(bytes: Buffer, pass: string): Buffer {
  const text = bytes.toString('latin1');
  const filler = masked.padEnd(pass.length, '*');
  let out = text.replaceAll(pass, filler);
  for (let length = pass.length - 1; length >= 8; length -= 1) {
    if (out.startsWith(pass.slice(-length))) {
      out = '*'.repeat(length) + out.slice(length);
      break;
    }
  }
  return out === text ? bytes : Buffer.from(out, 'latin1');
}
