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
  readonly #phrases: readonly string[];
  readonly #watched: readonly { readonly forms: readonly string[]; readonly onFound: (() => void) | undefined }[];
  readonly #prefixes: readonly string[];
  readonly #found = new Set<number>();
  /** Bytes as latin1, so that an index is a byte. */
  #held = '';
  /** A masked range reaches over the start of `#held`; its replacement is out already. */
  #carried: number | undefined;
  /** That range is a token's, and goes on with the next token characters. */
  #swallowing = false;

  constructor(options: MaskerOptions) {
    const latin = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');
    this.#phrases = [...new Set(options.phrases.map((phrase) => latin(phrase.trim())))].filter((phrase) => phrase !== '');
    this.#watched = options.watched.map(({ value, onFound }) => ({ forms: formsOf(value).map(latin), onFound }));
    this.#prefixes = [...new Set(options.prefixes.map(latin))].filter((prefix) => prefix !== '');
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
    const ranges = merge([...this.#phrases.flatMap((phrase) => occurrences(text, phrase)), ...this.#watchedRanges(view), ...tokens.ranges]);
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
      for (const prefix of this.#prefixes) {
        const start = text.lastIndexOf(prefix, safe - 1);
        if (start >= 0 && start < safe && start + prefix.length >= safe) safe = start;
      }
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
    for (const prefix of this.#prefixes)
      for (const { end: start } of occurrences(text, prefix)) {
        const end = tokenEnd(start);
        if (end > start) ranges.push({ start, end });
      }
    return { ranges, open };
  }

  #watchedRanges({ compact, positions }: Compacted): Range[] {
    const ranges: Range[] = [];
    this.#watched.forEach(({ forms, onFound }, index) => {
      const found = forms.flatMap((form) => occurrences(compact, form));
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

/** The earliest index at which the end of `text` is a proper beginning of `phrase`; its length where none is. */
function partialStart(text: string, phrase: string): number {
  for (let at = Math.max(0, text.length - phrase.length + 1); at < text.length; at += 1)
    if (phrase.charCodeAt(0) === text.charCodeAt(at) && phrase.startsWith(text.slice(at))) return at;
  return text.length;
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
