import { JobpassError } from '../../../base/errors.ts';

/** What travels between the server and its git helper: one byte of kind, four of length, then the bytes. */
export type FrameKind = 'start' | 'input' | 'input_end' | 'output' | 'output_end' | 'words' | 'exit' | 'hook_ask' | 'hook_answer';
const kinds: readonly FrameKind[] = ['start', 'input', 'input_end', 'output', 'output_end', 'words', 'exit', 'hook_ask', 'hook_answer'];

/** Larger than any chunk a stream hands over at once. */
const maxFrameBytes = 16 * 1024 * 1024;

export function frame(kind: FrameKind, bytes: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.allocUnsafe(5);
  head.writeUInt8(kinds.indexOf(kind), 0);
  head.writeUInt32BE(bytes.length, 1);
  return bytes.length === 0 ? head : Buffer.concat([head, bytes]);
}

/** Cuts a byte stream back into frames. @throws internal on a frame that is none */
export function frameReader(onFrame: (kind: FrameKind, bytes: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= 5) {
      const kind = kinds[rest.readUInt8(0)];
      const length = rest.readUInt32BE(1);
      if (kind === undefined || length > maxFrameBytes) throw new JobpassError('internal', {}, new Error('bad frame from the git helper'));
      if (rest.length < 5 + length) return;
      const bytes = rest.subarray(5, 5 + length);
      rest = rest.subarray(5 + length);
      onFrame(kind, bytes);
    }
  };
}

/** What to run; the helper adds nothing of its own environment. */
export interface StartGit {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Opens the descriptors 3 and 4 through which our hooks ask. */
  readonly hooks: boolean;
}
