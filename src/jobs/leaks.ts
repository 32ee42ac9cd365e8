import type { JobId } from '../base/ids.ts';
import { Secret } from '../base/secret.ts';
import type { Revoker } from '../pass/revoke.ts';

/** What is kept of the trace so far: room for a pass that is printed a character a line, with timestamps before each. */
const tailLength = 4096;
const raw = /jpt_[xfn][0-9A-Za-z]{36}/g;
/** From where `jpt_` stands in base64, at each of the three offsets, with how many characters of its group are missing before it. */
const base64 = [
  [/anB0X[A-Za-z0-9+/_-]{50,}/g, 0],
  [/pwdF[A-Za-z0-9+/_-]{50,}/g, 2],
  [/qcHRf[A-Za-z0-9+/_-]{50,}/g, 3],
] as const;
const hex = /6a70745f(?:[0-9a-f]{2}){37}/gi;
/** As gitlab-runner writes it before each line (FF_TIMESTAMPS). */
const timestamps = /\d{4}-\d\d-\d\dT[\d:.]+Z [0-9a-f]{2}[OE][ +]?/g;
const base64Length = 64;

/** A pass, and the text that it was found as. */
interface Find {
  readonly pass: string;
  readonly text: string;
}

interface Watched {
  tail: string;
  altered: boolean;
  /** Revoked already: not again for every piece that the tail reaches into. */
  readonly revoked: Set<string>;
}

/**
 * Looks for passes in traces (R12, A49): in clear, base64 and hex, over the borders of pieces, with timestamps and white space skipped. A find
 * is revoked at once; what stands of it in this piece in one run is masked in equal length, so that offsets stay true.
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

  /** @returns the bytes to store, as many as came */
  async scan(job: JobId, bytes: Buffer): Promise<Buffer> {
    const watched: Watched = this.#watched.get(job) ?? { tail: '', altered: false, revoked: new Set() };
    this.#watched.set(job, watched);
    const piece = bytes.toString('latin1');
    const text = watched.tail + piece;
    watched.tail = text.slice(-tailLength);
    let result = piece;
    for (const found of [...finds(text), ...finds(text.replaceAll(timestamps, '').replaceAll(/\s+/g, ''))]) {
      if (!(await this.#revoke(job, watched, found.pass))) continue;
      result = mask(result, found.text);
    }
    if (result === piece) return bytes;
    watched.altered = true;
    return Buffer.from(result, 'latin1');
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

function* finds(text: string): Generator<Find> {
  for (const [pass] of text.matchAll(raw)) yield { pass, text: pass };
  for (const [found] of text.matchAll(hex)) yield* inside(Buffer.from(found, 'hex'), found);
  for (const [shape, missing] of base64) {
    for (const [found] of text.matchAll(shape)) {
      const whole = 'A'.repeat(missing) + found.slice(0, base64Length);
      yield* inside(Buffer.from(whole, 'base64'), found.slice(0, base64Length));
    }
  }
}

function* inside(bytes: Buffer, text: string): Generator<Find> {
  for (const [pass] of bytes.toString('latin1').matchAll(raw)) yield { pass, text };
}

/** Whatever stands of the find in this piece: whole, or its end at the beginning. */
function mask(piece: string, found: string): string {
  const whole = piece.replaceAll(found, 'MASKED'.padEnd(found.length, '*'));
  if (whole !== piece) return whole;
  for (let length = Math.min(found.length - 1, piece.length); length >= 8; length -= 1)
    if (piece.startsWith(found.slice(-length))) return '*'.repeat(length) + piece.slice(length);
  return piece;
}
