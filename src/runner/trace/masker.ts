import { formsOf } from './forms.ts';

/** A secret that is looked for in its listed forms, white space skipped; `onFound` is called once. */
export interface WatchedSecret {
  readonly value: string;
  readonly onFound?: () => void;
}

export interface MaskerOptions {
  /** Whole values of masked variables. */
  readonly phrases: readonly string[];
  readonly watched: readonly WatchedSecret[];
  readonly prefixes: readonly string[];
}

interface Range {
  readonly start: number;
  readonly end: number;
}

const replacement = '[MASKED]';
const tokenCharacter = /[A-Za-z0-9._=-]/;
/** White space inside a wrapped form is skipped; a run longer than this ends the search for one. */
const maxHeldBytes = 256 * 1024;

/**
 * Masks a stream of output (R12, A49). The end of each chunk is held back as long as a secret may go on in the next one, so how the output
 * is cut into chunks changes nothing. All occurrences count, overlapping ones too; touching ones are masked once.
 */
export class Masker {
  readonly #phrases: readonly Needle[];
  readonly #watched: readonly { readonly forms: readonly Needle[]; readonly onFound: (() => void) | undefined }[];
  readonly #prefixes: readonly Needle[];
  readonly #found = new Set<number>();
  /** Bytes as latin1, so that an index is a byte. */
  #held = '';
  /** A masked range reaches over the start of `#held`; its replacement is out already. */
  #carried: number | undefined;
  /** That range is a token's, and goes on with the next token characters. */
  #swallowing = false;

  constructor(options: MaskerOptions) {
    const latin = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');
    this.#phrases = [...new Set(options.phrases.map((phrase) => latin(phrase.trim())))].filter((phrase) => phrase !== '').map(needle);
    this.#watched = options.watched.map(({ value, onFound }) => ({ forms: formsOf(value).map((form) => needle(latin(form))), onFound }));
    this.#prefixes = [...new Set(options.prefixes.map(latin))].filter((prefix) => prefix !== '').map(needle);
  }

  /** @returns what may be shown by now */
  write(bytes: Buffer): Buffer {
    return this.#process(this.#held + bytes.toString('latin1'), false);
  }

  /** The end of the output: nothing is held back. */
  end(): Buffer {
    return this.#process(this.#held, true);
  }

  #process(text: string, final: boolean): Buffer {
    const view = compacted(text);
    const tokens = this.#tokenRanges(text);
    const until = final ? text.length : this.#safeUntil(text, view);
    const ranges = merge([...this.#phrases.flatMap((phrase) => covered(text, phrase)), ...this.#watchedRanges(view), ...tokens.ranges]);
    if (until === 0) {
      this.#held = text;
      return Buffer.alloc(0);
    }
    let out = '';
    let at = 0;
    for (const range of ranges) {
      if (range.start >= until) break;
      out += text.slice(at, range.start);
      if (range.start > 0 || this.#carried === undefined) out += replacement;
      at = range.end;
    }
    if (at < until) out += text.slice(at, until);
    this.#held = text.slice(until);
    this.#carried = at >= until ? at - until : undefined;
    this.#swallowing = at === text.length && tokens.open;
    return Buffer.from(out, 'latin1');
  }

  /** Where a secret that is not complete yet could start at the earliest. */
  #safeUntil(text: string, view: Compacted): number {
    let safe = text.length;
    for (const phrase of [...this.#phrases, ...this.#prefixes]) safe = Math.min(safe, partialStart(text, phrase));
    for (const { forms } of this.#watched)
      for (const form of forms) {
        const start = partialStart(view.compact, form);
        if (start < view.compact.length) safe = Math.min(safe, view.positions[start] ?? 0);
      }
    // A prefix stays together with what follows it.
    for (let before = -1; before !== safe;) {
      before = safe;
      for (const prefix of this.#prefixes) safe = Math.min(safe, startOver(text, prefix.text, safe));
    }
    return Math.max(safe, text.length - maxHeldBytes, 0);
  }

  /** What follows the known prefixes of tokens, and the rest of what was masked before. */
  #tokenRanges(text: string): { readonly ranges: Range[]; readonly open: boolean } {
    const ranges: Range[] = [];
    let open = false;
    const tokenEnd = (start: number): number => {
      let end = start;
      while (end < text.length && tokenCharacter.test(text.charAt(end))) end += 1;
      if (end === text.length) open = true;
      return end;
    };
    if (this.#carried !== undefined) ranges.push({ start: 0, end: this.#swallowing ? tokenEnd(this.#carried) : this.#carried });
    for (const prefix of this.#prefixes) {
      // What begins within a token ends with it: a job may print nothing but prefixes.
      let known = 0;
      for (const { end: start } of occurrences(text, prefix.text)) {
        if (start < known) continue;
        known = tokenEnd(start);
        if (known > start) ranges.push({ start, end: known });
      }
    }
    return { ranges, open };
  }

  #watchedRanges({ compact, positions }: Compacted): Range[] {
    const ranges: Range[] = [];
    this.#watched.forEach(({ forms, onFound }, index) => {
      const found = forms.flatMap((form) => covered(compact, form));
      for (const { start, end } of found) ranges.push({ start: positions[start] ?? 0, end: (positions[end - 1] ?? 0) + 1 });
      if (found.length > 0 && !this.#found.has(index)) {
        this.#found.add(index);
        onFound?.();
      }
    });
    return ranges;
  }
}

/** A text without its white space, and where each of its characters stood. */
interface Compacted {
  readonly compact: string;
  readonly positions: Uint32Array;
}

/** What is looked for. Both what is looked for and what is looked at may be a job's, so nothing here takes longer than their lengths together. */
interface Needle {
  readonly text: string;
  /** Of each beginning of the text, how long the longest shorter beginning is that also ends it (Knuth, Morris and Pratt). */
  readonly borders: Uint32Array;
}

function needle(text: string): Needle {
  const borders = new Uint32Array(text.length);
  let length = 0;
  for (let at = 1; at < text.length; at += 1) {
    length = longer(text, borders, length, text.charCodeAt(at));
    borders[at] = length;
  }
  return { text, borders };
}

/** How much of a needle is there after one more character. */
function longer(text: string, borders: Uint32Array, length: number, code: number): number {
  let kept = length;
  while (kept > 0 && text.charCodeAt(kept) !== code) kept = borders[kept - 1] ?? 0;
  return text.charCodeAt(kept) === code ? kept + 1 : kept;
}

/** The earliest index at which the end of `text` is a proper beginning of the needle; its length where none is. */
function partialStart(text: string, { text: wanted, borders }: Needle): number {
  let length = 0;
  for (let at = Math.max(0, text.length - wanted.length + 1); at < text.length; at += 1)
    length = longer(wanted, borders, length, text.charCodeAt(at));
  return text.length - length;
}

/** What all occurrences cover, overlapping ones too. */
function covered(text: string, { text: wanted, borders }: Needle): Range[] {
  const period = wanted.length - (borders.at(-1) ?? 0);
  const found: Range[] = [];
  for (let at = text.indexOf(wanted); at >= 0;) {
    const end = at + wanted.length;
    // The next ones that overlap are a period further, each. What only touches is another range: in a compacted text there may be space between.
    let same = end;
    while (period < wanted.length && same < text.length && text.charCodeAt(same) === text.charCodeAt(same - period)) same += 1;
    const more = Math.floor((same - end) / period) * period;
    found.push({ start: at, end: end + more });
    at = text.indexOf(wanted, at + more + 1);
  }
  return found;
}

/** Where a prefix starts that ends at `end` or reaches over it, the first of them; `end` where none does. */
function startOver(text: string, prefix: string, end: number): number {
  for (let at = Math.max(0, end - prefix.length); at < end; at += 1) if (text.startsWith(prefix, at)) return at;
  return end;
}

function isSpace(code: number): boolean {
  return code === 32 || (code >= 9 && code <= 13);
}

function compacted(text: string): Compacted {
  const positions = new Uint32Array(text.length);
  const parts: string[] = [];
  let count = 0;
  let from = 0;
  for (let at = 0; at < text.length; at += 1) {
    if (isSpace(text.charCodeAt(at))) {
      if (at > from) parts.push(text.slice(from, at));
      from = at + 1;
    } else {
      positions[count] = at;
      count += 1;
    }
  }
  parts.push(text.slice(from));
  return { compact: parts.join(''), positions };
}

function occurrences(text: string, phrase: string): Range[] {
  const found: Range[] = [];
  for (let at = text.indexOf(phrase); at >= 0; at = text.indexOf(phrase, at + 1)) found.push({ start: at, end: at + phrase.length });
  return found;
}

function merge(ranges: readonly Range[]): Range[] {
  const sorted = ranges.toSorted((one, other) => one.start - other.start || other.end - one.end);
  const merged: { start: number; end: number }[] = [];
  for (const { start, end } of sorted) {
    const last = merged.at(-1);
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end);
    else merged.push({ start, end });
  }
  return merged;
}
