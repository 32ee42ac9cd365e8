import type { IncomingMessage } from 'node:http';
import { constants, gunzipSync } from 'node:zlib';
import { JobpassError } from '../../base/errors.ts';
import { piecesOf } from './guarded-body.ts';

/** What a POST to `git-upload-pack` asks for. */
export interface FetchCommand {
  /** Where bundles are to be had. The forge would answer with signed URLs of its storage, which work for anybody and outlive the job. */
  readonly asksForBundles: boolean;
  /** The whole body again. */
  readonly body: AsyncIterable<Buffer>;
}

/** The command stands in the first lines of a request; git's own are of 200 bytes. */
const headBytes = 4096;
const carried = new Set(['ls-refs', 'fetch', 'object-info']);

/**
 * Reads the command of protocol v2, and no more than its lines.
 * @returns undefined for the older protocol, which knows no commands
 * @throws unsupported (another coding, a command that is not known), invalid_input
 * @see gitprotocol-v2(5), "Command Request" and "bundle-uri"
 */
export async function readFetchCommand(request: IncomingMessage): Promise<FetchCommand | undefined> {
  const coding = request.headers['content-encoding'];
  if (coding !== undefined && coding !== 'gzip') throw new JobpassError('unsupported', 'A fetch comes as it is, or gzipped.');
  if (!String(request.headers['git-protocol'] ?? '').includes('version=2')) return undefined;
  const source = piecesOf(request.iterator({ destroyOnReturn: false }));
  const held: Buffer[] = [];
  for (;;) {
    const next = await source.next();
    if (next.done !== true) held.push(next.value);
    const head = Buffer.concat(held).subarray(0, headBytes);
    const commands = commandsIn(coding === undefined ? head : unzipped(head));
    if (commands !== undefined) return { asksForBundles: commands.some(isBundles), body: wholeOf(held, source) };
    if (next.done === true || head.length === headBytes) throw malformed();
  }
}

async function* wholeOf(held: readonly Buffer[], rest: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  yield* held;
  yield* rest;
}

/** @throws unsupported for a command that is not known here (R13) */
function isBundles(command: string): boolean {
  if (command === 'bundle-uri') return true;
  if (!carried.has(command)) throw new JobpassError('unsupported', `git's command ${JSON.stringify(command)} is not carried with a pass.`);
  return false;
}

/** @returns undefined where the lines have not ended yet @throws invalid_input */
function commandsIn(head: Buffer): readonly string[] | undefined {
  const found: string[] = [];
  for (let at = 0; ;) {
    const length = head.toString('latin1', at, at + 4);
    if (length.length < 4) return undefined;
    if (!/^[0-9a-f]{4}$/i.test(length)) throw malformed();
    const bytes = Number.parseInt(length, 16);
    // A flush, a delimiter or the end.
    if (bytes < 3) return found;
    if (bytes < 4) throw malformed();
    if (at + bytes > head.length) return undefined;
    const line = head.toString('latin1', at + 4, at + bytes).replace(/\n$/, '');
    if (line.startsWith('command=')) found.push(line.slice('command='.length));
    at += bytes;
  }
}

/** As much of it as is there; what git's own requests hold is far below the bound. @throws invalid_input */
function unzipped(head: Buffer): Buffer {
  try {
    return gunzipSync(head, { finishFlush: constants.Z_SYNC_FLUSH });
  } catch {
    throw malformed();
  }
}

function malformed(): JobpassError {
  return new JobpassError('invalid_input', 'The fetch is malformed.');
}
