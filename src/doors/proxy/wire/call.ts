import type { Readable } from 'node:stream';
import { KnownNames } from './known-names.ts';

/** A request as it goes to the forge. Its headers say how long the body is; where they don't, it goes up in chunks. */
export interface Call {
  readonly method: string;
  readonly target: string;
  /** Names and values in turn. */
  readonly headers: readonly string[];
  readonly body: Buffer | StreamedBody | null;
}

export interface StreamedBody {
  readonly stream: Readable;
  /** It is somebody else's: what is not sent of it is drained, and it is not destroyed. */
  readonly lent: boolean;
}

/** The end of an answer that can still be stopped or slowed down. */
export interface Control {
  /** As they came, names and values in turn; undefined = in `rawHeaders`, as undici has them. */
  readonly headers?: readonly string[];
  readonly rawHeaders?: unknown;
  abort(reason: Error): void;
  pause(): void;
  resume(): void;
}

/** Who hears an answer. */
export interface Hearer {
  /** False = nobody hears it any more, and it need not be asked. */
  wanted(): boolean;
  onRequestStart(control: Control): void;
  onResponseStart(control: Control, status: number, headers: unknown, reason?: string): void;
  /** @param piece overwritten as soon as this returns */
  onResponseData(control: Control, piece: Buffer): void;
  onResponseEnd(): void;
  onResponseError(control: Control | null, error: Error): void;
  /** Nothing more is there to be heard in this turn. */
  onLull(): void;
}

/** The other side was gone, or went, before its answer. */
export class ConnectionLost extends Error {
  readonly code = 'ECONNRESET';
}

const nameShape = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const names = new KnownNames((name) => nameShape.test(name));
const valueShape = /^[\t -~\x80-\xff]*$/;

/**
 * The request line and headers, as bytes in Latin-1. @throws Error for what would be more than one line: a character beyond Latin-1 could become a line feed.
 * @param chunked the body has no length
 */
export function headOf({ method, target, headers }: Call, chunked: boolean): string {
  let text = `${method} ${target} HTTP/1.1\r\n`;
  if (!/^[!-~\x80-\xff]+$/.test(target)) throw new Error('the target is no target');
  for (let index = 0; index + 1 < headers.length; index += 2) {
    const [name, value] = [headers[index] ?? '', headers[index + 1] ?? ''];
    if (!names.of(name) || !valueShape.test(value)) throw new Error('a header is no header');
    text += `${name}: ${value}\r\n`;
  }
  return chunked ? `${text}transfer-encoding: chunked\r\n\r\n` : `${text}\r\n`;
}

/** What the headers say of the body. */
export function lengthIn(headers: readonly string[]): number | undefined {
  for (let index = 0; index + 1 < headers.length; index += 2)
    if (headers[index]?.length === 14 && headers[index]?.toLowerCase() === 'content-length') return Number(headers[index + 1]);
  return undefined;
}
