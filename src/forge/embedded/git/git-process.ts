import type { Socket } from 'node:net';
import { Readable, Writable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { callbackify } from 'node:util';
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
  /** A new connection, to a new helper where the last one has died. @throws upstream_failed, shutting_down */
  connect(): Promise<{
    readonly socket: Socket;
    /** Resolves when that helper has died. */
    readonly gone: Promise<unknown>;
  }>;
  kill(id: number): void;
  /** One that was told to be killed is over: nothing of that number comes any more. */
  forget(id: number): void;
}

const inputFrameBytes = 64 * 1024;
/** A helper whose connections close is gone by then, or lives on. */
const dyingMs = 5000;

/** Starts git through the helper; input may be written at once. */
export function openGit(helper: HelperLink, order: StartGit, options: GitOptions): GitProcess {
  const { signal } = options;
  const result = Promise.withResolvers<GitEnd>();
  let socket: Socket | undefined;
  let words = '';
  let settled = false;
  let killed = signal?.aborted ?? false;

  const output = new Readable({
    read: () => socket?.resume(),
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
    if (socket !== undefined) helper.kill(order.id);
    output.destroy(cutOff());
    socket?.resume();
  };
  const settle = (code: number, clean: boolean): void => {
    if (settled) return;
    settled = true;
    signal?.removeEventListener('abort', kill);
    if (!clean) output.destroy(cutOff());
    if (killed && socket !== undefined) helper.forget(order.id);
    socket?.destroy();
    result.resolve({ code, words, clean });
  };
  signal?.addEventListener('abort', kill, { once: true });

  const wordsDecoder = new StringDecoder('utf8');
  const hookLines = lineReader((line) => options.onHookLine?.(line, (text) => socket?.write(frame('hook_answer', Buffer.from(text)))));
  const onFrame = (kind: FrameKind, bytes: Buffer): void => {
    if (kind === 'output') {
      if (!output.destroyed && !output.push(bytes)) socket?.pause();
    } else if (kind === 'output_end') {
      output.push(null);
      // An ended stream is never asked for more: where its last bytes have filled it, nobody else would let the exit code through.
      socket?.resume();
    } else if (kind === 'words') words += wordsDecoder.write(bytes);
    else if (kind === 'hook_ask') hookLines(bytes);
    else if (kind === 'exit') settle(exitCode(bytes), !killed);
  };
  const attach = ({ socket: connection, gone }: Awaited<ReturnType<HelperLink['connect']>>): Socket | undefined => {
    connection.on('error', () => connection.destroy());
    if (killed) {
      connection.destroy();
      settle(137, false);
      return undefined;
    }
    socket = connection;
    // The helper ends a connection only after git's exit, unless it is dying: who asks next must find the next helper. Or it has no room for one more file: then
    // the system closes what it has just taken.
    connection.on('close', () => {
      const late = setTimeout(() => settle(137, false), dyingMs).unref();
      void Promise.race([gone, result.promise])
        .finally(() => clearTimeout(late))
        .then(() => settle(137, false));
    });
    const read = frameReader(onFrame);
    connection.on('data', (chunk: Buffer) => {
      try {
        read(chunk);
      } catch {
        settle(137, false);
      }
    });
    connection.write(frame('start', Buffer.from(JSON.stringify(order))));
    return connection;
  };
  const connected = helper.connect().then(attach, () => {
    settle(137, false);
    return undefined;
  });
  return { input: inputOf(connected, () => killed || settled), output, done: result.promise, kill };
}

const cutOff = (): JobpassError => new JobpassError('upstream_failed', 'git was cut off.');

/** @param gone tells when nobody wants input any more; then it is dropped, so that whoever pipes it in still comes to an end */
function inputOf(connected: Promise<Socket | undefined>, gone: () => boolean): Writable {
  const write = async (chunk: Buffer): Promise<void> => {
    const socket = await connected;
    if (socket === undefined || gone()) return;
    let room = true;
    for (let at = 0; at < chunk.length; at += inputFrameBytes)
      room = socket.write(frame('input', chunk.subarray(at, at + inputFrameBytes)));
    if (!room && !socket.destroyed) await drained(socket);
  };
  const end = async (): Promise<void> => {
    const socket = await connected;
    if (socket !== undefined && !gone()) socket.write(frame('input_end'));
  };
  const writeNow = callbackify(write);
  return new Writable({ write: (chunk: Buffer, _encoding, done) => writeNow(chunk, done), final: callbackify(end) });
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      socket.off('drain', go);
      socket.off('close', go);
      resolve();
    };
    socket.on('drain', go);
    socket.on('close', go);
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
