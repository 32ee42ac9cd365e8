import type { Socket } from 'node:net';
import { limits } from '../../base/limits.ts';
import { headersIn } from './header-lines.ts';

/** A GET or HEAD without a body, of which nothing has to be found out: it came whole, in one piece. */
export class PlainRequest {
  readonly method: 'GET' | 'HEAD';
  /** The request target, as it stands on the request line. */
  readonly url: string;
  /** Names and values in turn, as Latin-1. */
  readonly rawHeaders: readonly string[];
  readonly socket: Socket;
  /** Nothing of it is still to come. */
  readonly complete = true;
  /** The client asks for nothing else on its connection. */
  readonly last: boolean;

  constructor(method: 'GET' | 'HEAD', url: string, rawHeaders: readonly string[], last: boolean, socket: Socket) {
    this.method = method;
    this.url = url;
    this.rawHeaders = rawHeaders;
    this.last = last;
    this.socket = socket;
  }

  destroy(): void {
    this.socket.destroy();
  }
}

/**
 * Request line, headers and the empty line, and not a byte behind it. Narrower than RFC 9112: whatever is not exactly this is for Node.js's parser, which says
 * what it is.
 */
const shape = /^(GET|HEAD) (\/[!"$-~]*) HTTP\/1\.1\r\n((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n)+)\r\n$/;

/** Of these names, by their lengths: a header that says how a body is read, or that something else than an answer is wanted. */
const ofOthers = new Set(['content-length', 'transfer-encoding', 'upgrade', 'expect', 'trailer', 'http2-settings']);
const lengthsOfOthers = new Set([...ofOthers].map(({ length }) => length));
const mostHeaders = 100;

/**
 * Recognises one plain request in what a connection brought. It is no parser of requests: of all that could be read in two ways (A25), or is more than plain, it
 * says nothing, and the bytes are read by Node.js's own.
 * @returns undefined where it is not one, whole and alone
 */
export function plainRequest(bytes: Buffer, socket: Socket): PlainRequest | undefined {
  // `G` or `H`: most of what is none is seen by its first byte.
  if ((bytes[0] !== 0x47 && bytes[0] !== 0x48) || bytes.length > limits.headerBytes) return undefined;
  const [, method, target, lines] = shape.exec(bytes.toString('latin1')) ?? [];
  if ((method !== 'GET' && method !== 'HEAD') || target === undefined || lines === undefined || target.length > limits.urlBytes)
    return undefined;
  const headers = headersIn(lines, 0, lines.length);
  if (headers.length > 2 * mostHeaders) return undefined;
  let hosts = 0;
  let connection = '';
  for (let index = 0; index < headers.length; index += 2) {
    const [name, value] = [headers[index] ?? '', headers[index + 1] ?? ''];
    if (name.length === 4 && name.toLowerCase() === 'host') {
      hosts += 1;
      if (value === '') return undefined;
    } else if (name.length === 10 && name.toLowerCase() === 'connection') {
      if (connection !== '' || !/^(?:close|keep-alive)$/i.test(value)) return undefined;
      connection = value.toLowerCase();
    } else if (lengthsOfOthers.has(name.length) && ofOthers.has(name.toLowerCase())) return undefined;
  }
  return hosts === 1 ? new PlainRequest(method, target, headers, connection === 'close', socket) : undefined;
}
