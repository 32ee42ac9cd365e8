const raw = /jpt_[xfn][0-9A-Za-z]{36}/g;
/** From where `jpt_` stands in base64, at each of the three offsets, and what completes its first group to the bits of the `j`. */
const base64 = [
  [/anB0X[A-Za-z0-9+/_-]{50}/g, ''],
  [/pwdF[A-Za-z0-9+/_-]{50}/g, 'AG'],
  [/qcHRf[A-Za-z0-9+/_-]{50}/g, 'AAB'],
] as const;
const hex = /6a70745f(?:[0-9a-f]{2}){37}/gi;
const percent = /%6a%70%74%5f(?:%[0-9a-f]{2}){37}/gi;
/** What gitlab-runner writes before each line (FF_TIMESTAMPS). */
const timestamp = String.raw`\d{4}-\d\d-\d\dT[\d:.]+Z`;
const skipped = new RegExp(String.raw`${timestamp} [0-9a-f]{2}[OE][ +]?|\s+`, 'g');
const skippedTimes = new RegExp(String.raw`${timestamp}[0-9a-f]{2}[OE]\+?`, 'g');

/** A pass, and where in a text it was found. */
export interface Find {
  readonly pass: string;
  readonly from: number;
  readonly length: number;
}

/** Passes in their listed forms (R12): in clear, hex, percent-encoded, base64 at three offsets. Whether they are ours is for the caller to ask. */
export function* passesInText(text: string): Generator<Find> {
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

/** The text without white space and timestamps, and where each character of it stood. */
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

/** Without one of these, in lower or upper case, there is no pass in any form. */
const anchors = ['jpt_', 'anB0X', 'pwdF', 'qcHRf', '70745', '%70%74%5'].map((text) => Buffer.from(text, 'latin1'));
/** What every timestamp has, where white space is gone. */
const timeMarks = ['-', 'Z0'].map((text) => Buffer.from(text, 'latin1'));
/** Carried from piece to piece: room for the longest form, a character a line, with timestamps before each. */
const carriedBytes = 4096;
const blockBytes = 64 * 1024;
/** More passes than this are in no honest file. */
const findLimit = 1000;

/**
 * Looks for passes in a stream of any length (R12, A27), over the borders of its pieces, with white space and timestamps skipped. Zero bytes count
 * as white space, so that UTF-16 is read as well. Holds a block of 64 KiB, whatever comes.
 */
export class PassSearch {
  readonly #found = new Set<string>();
  readonly #block = Buffer.alloc(carriedBytes + blockBytes);
  #filled = 0;
  /** Bytes of the block that were looked at already. */
  #seen = 0;

  /** What was found so far: candidates, at most a thousand. */
  get found(): ReadonlySet<string> {
    return this.#found;
  }

  push(bytes: Uint8Array): void {
    const block = this.#block;
    for (let from = 0; from < bytes.length;) {
      const end = Math.min(bytes.length, from + block.length - this.#filled);
      this.#filled = squeeze(bytes, from, end, block, this.#filled);
      from = end;
      if (this.#filled === block.length) this.#look();
    }
  }

  /** Looks at what is left; more may be pushed afterwards. */
  end(): void {
    if (this.#filled > this.#seen) this.#look();
  }

  #look(): void {
    const bytes = this.#block.subarray(0, this.#filled);
    if (this.#found.size < findLimit) {
      if (anchors.some((anchor) => bytes.includes(anchor))) this.#read(bytes.toString('latin1'));
      // A timestamp may stand in the middle of what would be an anchor.
      if (timeMarks.every((mark) => bytes.includes(mark))) {
        const text = bytes.toString('latin1');
        const timeless = text.replaceAll(skippedTimes, '');
        if (timeless.length < text.length) this.#read(timeless);
      }
    }
    const kept = Math.min(carriedBytes, this.#filled);
    this.#block.copyWithin(0, this.#filled - kept, this.#filled);
    this.#filled = kept;
    this.#seen = kept;
  }

  #read(text: string): void {
    // A copy: a slice would keep the whole block for as long as somebody remembers the find.
    for (const { pass } of passesInText(text))
      if (this.#found.size < findLimit) this.#found.add(Buffer.from(pass, 'latin1').toString('latin1'));
  }
}

/** Copies what is no white space. Without a branch for each byte: this is the cost of a search. @returns where `block` is filled to */
function squeeze(bytes: Uint8Array, from: number, end: number, block: Uint8Array, filled: number): number {
  let at = filled;
  for (let index = from; index < end; index += 1) {
    const byte = bytes[index] ?? 0;
    block[at] = byte;
    at += byte > 0x20 ? 1 : 0;
  }
  return at;
}
