import { Socket } from 'node:net';
import { Readable, Writable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { JobpassError } from '../../../base/errors.ts';
import { frame, type FrameKind, frameReader, type StartGit } from './frames.ts';

/** One git, run by the helper. */
export interface GitProcess {
  readonly input: Writable;
  /** Fails instead of ending where git was cut off, so that nobody takes half an answer for a whole one. */
  readonly output: Readable;
  /** Resolves when git is gone; never rejects. */
  readonly done: Promise<GitEnd>;
  kill(): void;
}
export interface GitEnd {
  readonly code: number;
  /** What it said on standard error, at most 64 KiB. */
  readonly words: string;
  /** False where it was killed or its helper died: then it may have been stopped anywhere. */
  readonly clean: boolean;
}
export interface GitOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Kills git at once (R2). */
  readonly signal?: AbortSignal;
  /** Called with every line that a hook of ours sends; the answer goes back to it. */
  readonly onHookLine?: (line: string, answer: (text: string) => void) => void;
}

/** The way to the helper. */
export interface HelperLink {
  /** Resolves to its socket's path once it listens. @throws upstream_failed */
  ready(): Promise<string>;
  kill(id: number): void;
}

const inputFrameBytes = 64 * 1024;

/** Starts git through the helper; input may be written at once. */
export function openGit(helper: HelperLink, order: StartGit, options: GitOptions): GitProcess {
  const { signal } = options;
  const socket = new Socket();
  const result = Promise.withResolvers<GitEnd>();
  let words = '';
  let settled = false;
  let killed = false;

  const output = new Readable({
    read: () => socket.resume(),
    destroy: (error, done) => {
      // Whoever stops reading early does not want the rest.
      if (!output.readableEnded) kill();
      done(error);
    },
  });
  // Readers see the error as well; this keeps it from ending the server where nobody reads any more.
  output.on('error', () => undefined);

  const kill = (): void => {
    if (settled || killed) return;
    killed = true;
    helper.kill(order.id);
    output.destroy(new JobpassError('upstream_failed', 'git was cut off.'));
    socket.resume();
  };
  const settle = (code: number, clean: boolean): void => {
    if (settled) return;
    if (!clean) output.destroy(new JobpassError('upstream_failed', 'git was cut off.'));
    settled = true;
    signal?.removeEventListener('abort', kill);
    result.resolve({ code, words, clean });
    socket.destroy();
  };

  const wordsDecoder = new StringDecoder('utf8');
  const hookLines = lineReader((line) => options.onHookLine?.(line, (text) => socket.write(frame('hook_answer', Buffer.from(text)))));
  const onFrame = (kind: FrameKind, bytes: Buffer): void => {
    if (kind === 'output') {
      if (!output.destroyed && !output.push(bytes)) socket.pause();
    } else if (kind === 'output_end') output.push(null);
    else if (kind === 'words') words += wordsDecoder.write(bytes);
    else if (kind === 'hook_ask') hookLines(bytes);
    else if (kind === 'exit') settle(exitCode(bytes), !killed);
  };
  const read = frameReader(onFrame);
  socket.on('data', (chunk: Buffer) => {
    try {
      read(chunk);
    } catch (error) {
      socket.destroy(error instanceof Error ? error : undefined);
    }
  });
  socket.on('error', () => socket.destroy());
  socket.on('close', () => settle(137, false));

  // Held back until there is a connection: the helper may just be starting again.
  socket.cork();
  socket.write(frame('start', Buffer.from(JSON.stringify(order))));
  helper.ready().then(
    (path) => {
      if (killed || signal?.aborted === true) return socket.destroy();
      socket.connect(path);
      return socket.uncork();
    },
    () => socket.destroy(),
  );
  signal?.addEventListener('abort', kill, { once: true });
  return { input: inputOf(socket), output, done: result.promise, kill };
}

function inputOf(socket: Socket): Writable {
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      if (socket.destroyed) return done();
      let room = true;
      for (let at = 0; at < chunk.length; at += inputFrameBytes)
        room = socket.write(frame('input', chunk.subarray(at, at + inputFrameBytes)));
      if (room) return done();
      const go = (): void => {
        socket.off('drain', go);
        socket.off('close', go);
        done();
      };
      socket.once('drain', go);
      socket.once('close', go);
    },
    final: (done) => {
      if (!socket.destroyed) socket.write(frame('input_end'));
      done();
    },
  });
}

function exitCode(bytes: Buffer): number {
  const parsed: { readonly code: number } = JSON.parse(bytes.toString('utf8'));
  return parsed.code;
}

function lineReader(onLine: (line: string) => void): (bytes: Buffer) => void {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  return (bytes) => {
    const parts = (rest + decoder.write(bytes)).split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) onLine(part);
  };
}
