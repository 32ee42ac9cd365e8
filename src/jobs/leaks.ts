import type { JobId } from '../base/ids.ts';
import { compacted, passesInText } from '../base/pass-search.ts';
import { Secret } from '../base/secret.ts';
import type { Leaks } from '../ports/leaks.ts';

/** What is kept of the trace so far: room for a pass that is printed a character a line, with timestamps before each. */
export const tailLength = 4096;
const star = 0x2a;
/** Jobs that are watched at once. Of one whose runner never came back nobody says that it is over: what was forgotten too early is read again. */
const mostWatched = 10_000;

interface Watched {
  tail: string;
  /** Where in the trace `tail` ends. */
  end: number;
  altered: boolean;
  /** Revoked already: not again for every piece that the tail reaches into. */
  readonly revoked: Set<string>;
}

/** A trace that is kept, as a piece of it comes. */
export interface StoredTrace {
  /** Where the piece stands. */
  readonly offset: number;
  /** Reads what is stored before it; asked where another process took the last piece, or this one was started since. */
  before(): Promise<string>;
  /** Told of each byte of a find that an earlier piece brought, by how far before this piece it stands. */
  found(before: number): void;
}

/**
 * Looks for passes in traces (R12, A49): in clear, base64, percent-encoded and hex, over the borders of pieces, with timestamps and white space
 * skipped. A find is revoked at once, and masked in equal length, so that offsets stay true; what of it was stored before is told.
 */
export class LeakScanner {
  readonly #leaks: Pick<Leaks, 'revoke'>;
  readonly #watched = new Map<JobId, Watched>();

  constructor(leaks: Pick<Leaks, 'revoke'>) {
    this.#leaks = leaks;
  }

  /** True where the stored trace differs from what the runner sent, so that its check sum cannot match. */
  altered(job: JobId): boolean {
    return this.#watched.get(job)?.altered === true;
  }

  forget(job: JobId): void {
    this.#watched.delete(job);
  }

  /** What was scanned last was not stored: what was is read again. */
  lost(job: JobId): void {
    const watched = this.#watched.get(job);
    if (watched !== undefined) watched.end = -1;
  }

  /**
   * @param stored where the trace is kept here; left out where it goes by
   * @returns the bytes to store, as many as came
   */
  async scan(job: JobId, bytes: Buffer, stored?: StoredTrace): Promise<Buffer> {
    const watched: Watched = this.#watched.get(job) ?? { tail: '', end: -1, altered: false, revoked: new Set() };
    this.#watched.delete(job);
    this.#watched.set(job, watched);
    const [longestSilent] = this.#watched.keys();
    if (this.#watched.size > mostWatched && longestSilent !== undefined) this.#watched.delete(longestSilent);
    if (stored !== undefined && watched.end !== stored.offset) watched.tail = await stored.before();
    watched.end = (stored?.offset ?? 0) + bytes.length;
    const before = watched.tail.length;
    const text = watched.tail + bytes.toString('latin1');
    // A copy: a slice would keep the whole piece.
    watched.tail = Buffer.from(text.slice(-tailLength), 'latin1').toString('latin1');
    const result = Buffer.from(bytes);
    for (const view of [{ text, at: undefined }, compacted(text)]) {
      for (const { pass, from, length } of passesInText(view.text)) {
        if (!(await this.#revoke(job, watched, pass))) continue;
        watched.altered = true;
        for (let index = from; index < from + length; index += 1) {
          const place = (view.at?.[index] ?? index) - before;
          if (place >= 0) result[place] = star;
          else stored?.found(-place);
        }
      }
    }
    return result;
  }

  /** @returns false where it is no pass of ours, or only looks like one */
  async #revoke(job: JobId, watched: Watched, pass: string): Promise<boolean> {
    if (watched.revoked.has(pass)) return true;
    const place = { door: 'runner', what: `the log of job ${job}`, requestId: `job ${job}` };
    if ((await this.#leaks.revoke(new Secret(pass), place)) === undefined) return false;
    watched.revoked.add(pass);
    return true;
  }
}
