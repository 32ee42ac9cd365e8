import type { Readable } from 'node:stream';
import type { TraceFiles } from '../ports/blobs.ts';
import { compacted } from '../base/pass-search.ts';
import { tailLength } from './leaks.ts';

/** A form of a pass that has begun: any part of `start`, or all of it and fewer than `more` characters of `letter`. */
interface Begun {
  readonly start: string;
  readonly letter: string;
  readonly more: number;
}

const begun: readonly Begun[] = [
  { start: 'jpt_', letter: '[0-9A-Za-z]', more: 37 },
  { start: '6a70745f', letter: '[0-9a-f]', more: 74 },
  { start: '%6a%70%74%5f', letter: '[%0-9a-f]', more: 111 },
  { start: 'anB0X', letter: '[A-Za-z0-9+/_-]', more: 50 },
  { start: 'pwdF', letter: '[A-Za-z0-9+/_-]', more: 50 },
  { start: 'qcHRf', letter: '[A-Za-z0-9+/_-]', more: 50 },
];

const shapes = begun.map(({ start, letter, more }) => {
  const parts = Array.from({ length: start.length - 1 }, (_, index) => start.slice(0, index + 1)).toReversed();
  return new RegExp(`(?:${start}${letter}{0,${more - 1}}|${parts.join('|')})$`, 'i');
});

/**
 * From where the end of a growing trace may be a pass that is not complete yet (R12): whoever watches does not see it until it turned out to be
 * something else, or was masked. Of a trace that rests nothing long is held: a letter or two at most that happen to begin like one.
 * @param end the last bytes of the trace, latin1
 * @returns an index into `end`; its length where nothing is held
 */
export function heldFrom(end: string): number {
  // A time before the next line that is not complete yet is skipped as a complete one would be.
  const time = /(?:^|\n)(\d[\dTZ:.+ OEa-f-]{0,36})$/.exec(end)?.[1] ?? '';
  return Math.min(end.length, unfinished(end), unfinished(end.slice(0, end.length - time.length)));
}

/** @returns Infinity where nothing is */
function unfinished(end: string): number {
  const { text, at } = compacted(end);
  let from = Infinity;
  for (const shape of shapes) {
    const match = shape.exec(text);
    if (match !== null) from = Math.min(from, at[match.index] ?? Infinity);
  }
  return from;
}

/** A trace that still grows, without an end that may turn out to be a pass. */
export async function readGrowing(traces: TraceFiles, key: string): Promise<Readable> {
  const size = await traces.sizeBytes(key);
  const end = await readTail(traces, key, size);
  return traces.read(key, 0, size - end.length + heldFrom(end));
}

/** What stands before `size`, as much as a pass may reach back; latin1. */
export async function readTail(traces: TraceFiles, key: string, size: number): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of await traces.read(key, Math.max(0, size - tailLength), size)) parts.push(part as Buffer);
  return Buffer.concat(parts).toString('latin1');
}
