import type { JobId } from '../base/ids.ts';
import { Secret } from '../base/secret.ts';
import type { Revoker } from '../pass/revoke.ts';

/** What is kept of the trace so far: room for a pass that is printed a character a line, with timestamps before each. */
export const tailLength = 4096;
const raw = /jpt_[xfn][0-9A-Za-z]{36}/g;
/** From where `jpt_` stands in base64, at each of the three offsets, and what completes its first group to the bits of the `j`. */
const base64 = [
  [/anB0X[A-Za-z0-9+/_-]{50}/g, ''],
  [/pwdF[A-Za-z0-9+/_-]{50}/g, 'AG'],
  [/qcHRf[A-Za-z0-9+/_-]{50}/g, 'AAB'],
] as const;
const hex = /6a70745f(?:[0-9a-f]{2}){37}/gi;
const percent = /%6a%70%74%5f(?:%[0-9a-f]{2}){37}/gi;
/** White space, and what gitlab-runner writes before each line (FF_TIMESTAMPS). */
const skipped = /\d{4}-\d\d-\d\dT[\d:.]+Z [0-9a-f]{2}[OE][ +]?|\s+/g;
const star = 0x2a;

/** A pass, and where it was found. */
interface Find {
  readonly pass: string;
  readonly from: number;
  readonly length: number;
}

interface Watched {
  tail: string;
  altered: boolean;
  /** Revoked already: not again for every piece that the tail reaches into. */
  readonly revoked: Set<string>;
}

/**
 * Looks for passes in traces (R12, A49): in clear, base64, percent-encoded and hex, over the borders of pieces, with timestamps and white space
 * skipped. A find is revoked at once, and masked in equal length, so that offsets stay true; what of it was stored before is told.
 */
export class LeakScanner {
  readonly #revoker: Revoker;
  readonly #onLeak: (job: JobId, passId: number) => void;
  readonly #watched = new Map<JobId, Watched>();

  constructor(revoker: Revoker, onLeak: (job: JobId, passId: number) => void) {
    this.#revoker = revoker;
    this.#onLeak = onLeak;
  }

  /** True where the stored trace differs from what the runner sent, so that its check sum cannot match. */
  altered(job: JobId): boolean {
    return this.#watched.get(job)?.altered === true;
  }

  forget(job: JobId): void {
    this.#watched.delete(job);
  }

  /**
   * @param stored told of each byte of a find that an earlier piece brought, by how far before this piece it stands
   * @returns the bytes to store, as many as came
   */
  async scan(job: JobId, bytes: Buffer, stored: (before: number) => void = () => undefined): Promise<Buffer> {
    const watched: Watched = this.#watched.get(job) ?? { tail: '', altered: false, revoked: new Set() };
    this.#watched.set(job, watched);
    const before = watched.tail.length;
    const text = watched.tail + bytes.toString('latin1');
    watched.tail = text.slice(-tailLength);
    const result = Buffer.from(bytes);
    for (const view of [{ text, at: undefined }, compacted(text)]) {
      for (const { pass, from, length } of finds(view.text)) {
        if (!(await this.#revoke(job, watched, pass))) continue;
        watched.altered = true;
        for (let index = from; index < from + length; index += 1) {
          const place = (view.at?.[index] ?? index) - before;
          if (place >= 0) result[place] = star;
          else stored(-place);
        }
      }
    }
    return result;
  }

  /** @returns false where it is no pass of ours, or only looks like one */
  async #revoke(job: JobId, watched: Watched, pass: string): Promise<boolean> {
    if (watched.revoked.has(pass)) return true;
    const known = await this.#revoker.revokeSecret(new Secret(pass), 'found in a trace');
    if (known === undefined) return false;
    watched.revoked.add(pass);
    this.#onLeak(job, known.id);
    return true;
  }
}

/** The text without what is skipped, and where each character of it stood. */
export function compacted(text: string): { readonly text: string; readonly at: Uint32Array } {
  const at = new Uint32Array(text.length);
  let kept = 0;
  let from = 0;
  let out = '';
  const keep = (end: number): void => {
    out += text.slice(from, end);
    for (let index = from; index < end; index += 1) at[kept++] = index;
  };
  for (const match of text.matchAll(skipped)) {
    keep(match.index);
    from = match.index + match[0].length;
  }
  keep(text.length);
  return { text: out, at };
}

function* finds(text: string): Generator<Find> {
  for (const { 0: pass, index: from } of text.matchAll(raw)) yield { pass, from, length: pass.length };
  for (const { 0: found, index } of text.matchAll(hex)) yield* inside(Buffer.from(found, 'hex'), index, found.length);
  for (const { 0: found, index } of text.matchAll(percent))
    yield* inside(Buffer.from(found.replaceAll('%', ''), 'hex'), index, found.length);
  for (const [shape, start] of base64)
    for (const { 0: found, index } of text.matchAll(shape)) yield* inside(Buffer.from(start + found, 'base64'), index, found.length);
}

function* inside(bytes: Buffer, from: number, length: number): Generator<Find> {
  for (const [pass] of bytes.toString('latin1').matchAll(raw)) yield { pass, from, length };
}
