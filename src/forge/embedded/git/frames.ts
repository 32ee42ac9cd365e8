import { JobpassError } from '../../../base/errors.ts';

const kinds = ['start', 'input', 'input_end', 'output', 'output_end', 'words', 'exit', 'hook_ask', 'hook_answer'] as const;
/** What travels between the server and its git helper: one byte of kind, four of length, then the bytes. */
export type FrameKind = (typeof kinds)[number];

const headBytes = 5;
const maxFrameBytes = 1024 * 1024;

/** @returns the bytes as one frame. @throws internal for more than 1 MiB */
export function frame(kind: FrameKind, bytes: Buffer = Buffer.alloc(0)): Buffer {
  if (bytes.length > maxFrameBytes) throw new JobpassError('internal', {}, new Error('frame too large for the git helper'));
  const head = Buffer.allocUnsafe(headBytes);
  head.writeUInt8(kinds.indexOf(kind), 0);
  head.writeUInt32BE(bytes.length, 1);
  return bytes.length === 0 ? head : Buffer.concat([head, bytes]);
}

/** Cuts a byte stream back into frames. @throws internal on a frame that is none */
export function frameReader(onFrame: (kind: FrameKind, bytes: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= headBytes) {
      const kind = kinds[rest.readUInt8(0)];
      const length = rest.readUInt32BE(1);
      if (kind === undefined || length > maxFrameBytes) throw new JobpassError('internal', {}, new Error('bad frame from the git helper'));
      if (rest.length < headBytes + length) return;
      const bytes = rest.subarray(headBytes, headBytes + length);
      rest = rest.subarray(headBytes + length);
      onFrame(kind, bytes);
    }
  };
}

/** What to run; the helper adds nothing of its own environment. */
export interface StartGit {
  /** Names the process in `{kill: id}`, which goes over the helper's own channel: data waiting to be read cannot hold it up. */
  readonly id: number;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Opens the descriptors 3 and 4 through which our hooks ask. */
  readonly hooks: boolean;
}
