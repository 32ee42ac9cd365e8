import { type ChildProcess, fork } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { JobpassError } from '../../../base/errors.ts';
import type { Log } from '../../../base/log.ts';
import { frame, type FrameKind, frameReader, type StartGit } from './frames.ts';
import { hookScripts } from './hooks.ts';

/** One git, run by the helper. */
export interface GitProcess {
  readonly input: Writable;
  readonly output: Readable;
  /** Resolves when git has ended; `words` is what it said on standard error, at most 64 KiB. */
  readonly done: Promise<{ readonly code: number; readonly words: string }>;
  kill(): void;
}
export interface GitOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Called with every line that a hook of ours sends; the answer goes back to it. */
  readonly onHookLine?: (line: string, answer: (text: string) => void) => void;
}

/** Starts git, always from the helper, always with an environment of our own. */
export interface GitRunner {
  start(repository: string, args: readonly string[], options?: GitOptions): GitProcess;
  /** Runs to the end with small input and output. @throws upstream_failed on another code than `codes`; too_large */
  run(
    repository: string,
    args: readonly string[],
    options?: GitOptions & { readonly stdin?: string | Buffer; readonly maxBytes?: number; readonly codes?: readonly number[] },
  ): Promise<{ readonly code: number; readonly output: Buffer }>;
  close(): Promise<void>;
}

const helperPath = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './helper.ts' : './helper.js', import.meta.url));

/** @param folder private to the server: holds the helper's socket, git's HOME and our hooks */
export async function startGitRunner(folder: string, log: Log): Promise<GitRunner> {
  await mkdir(join(folder, 'home'), { recursive: true, mode: 0o700 });
  await mkdir(join(folder, 'hooks'), { recursive: true, mode: 0o700 });
  for (const [name, text] of Object.entries(hookScripts)) await writeFile(join(folder, 'hooks', name), text, { mode: 0o700 });
  const socketPath = join(folder, `git-${process.pid}.sock`);
  let closing = false;
  let helper = await startHelper();

  async function startHelper(): Promise<ChildProcess> {
    await rm(socketPath, { force: true });
    const child = fork(helperPath, [socketPath], {
      env: { PATH: process.env['PATH'] },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      execArgv: ['--no-warnings'],
    });
    await new Promise<void>((resolve, reject) => {
      child.once('message', () => resolve());
      child.once('exit', (code) =>
        reject(new JobpassError('upstream_failed', `The git helper ended with code ${code} before it was ready.`)),
      );
      child.once('error', reject);
    });
    child.once('exit', (code, signal) => {
      if (closing) return;
      log.error('git.helper_died', { code, signal });
      startHelper().then(
        (next) => (helper = next),
        (error: unknown) => log.error('git.helper_failed', {}, error),
      );
    });
    return child;
  }

  const environment = (repository: string, more: Readonly<Record<string, string>> = {}): Record<string, string> => ({
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    HOME: join(folder, 'home'),
    LC_ALL: 'C',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_TERMINAL_PROMPT: '0',
    GIT_DIR: repository,
    GIT_CONFIG_COUNT: '4',
    GIT_CONFIG_KEY_0: 'safe.directory',
    GIT_CONFIG_VALUE_0: '*',
    GIT_CONFIG_KEY_1: 'core.hooksPath',
    // Never a repository's own hooks (A39).
    GIT_CONFIG_VALUE_1: join(folder, 'hooks'),
    GIT_CONFIG_KEY_2: 'gc.auto',
    GIT_CONFIG_VALUE_2: '0',
    GIT_CONFIG_KEY_3: 'receive.autogc',
    GIT_CONFIG_VALUE_3: 'false',
    ...more,
  });

  const start: GitRunner['start'] = (repository, args, options = {}) =>
    connectGit(
      socketPath,
      { args, env: environment(repository, options.env), cwd: folder, hooks: options.onHookLine !== undefined },
      options,
    );

  return {
    start,
    async run(repository, args, options = {}) {
      const git = start(repository, args, options);
      git.input.end(options.stdin ?? '');
      const maxBytes = options.maxBytes ?? 8 * 1024 * 1024;
      const parts: Buffer[] = [];
      let bytes = 0;
      git.output.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > maxBytes) git.kill();
        else parts.push(chunk);
      });
      const { code, words } = await git.done;
      if (bytes > maxBytes) throw new JobpassError('too_large', `The answer is larger than ${maxBytes} bytes.`);
      if (!(options.codes ?? [0]).includes(code))
        throw new JobpassError('upstream_failed', {}, new Error(`git ${args[0] ?? ''} ended with ${code}: ${words.slice(0, 2000)}`));
      return { code, output: Buffer.concat(parts) };
    },
    async close() {
      closing = true;
      if (helper.exitCode === null && helper.signalCode === null) {
        const gone = new Promise((resolve) => helper.once('exit', resolve));
        helper.disconnect();
        await gone;
      }
      await rm(socketPath, { force: true });
    },
  };
}

function connectGit(path: string, order: StartGit, options: GitOptions): GitProcess {
  const socket = connect(path);
  const result = Promise.withResolvers<{ code: number; words: string }>();
  result.promise.catch(() => undefined);
  let words = '';
  const output = new Readable({ read: () => socket.resume(), destroy: (error, done) => done(error) });
  const hookLines = lines((line) => options.onHookLine?.(line, (text) => socket.write(frame('hook_answer', Buffer.from(text)))));
  const onFrame = (kind: FrameKind, bytes: Buffer): void => {
    if (kind === 'output' && !output.destroyed && !output.push(bytes)) socket.pause();
    else if (kind === 'output_end') output.push(null);
    else if (kind === 'words') words += bytes.toString('utf8');
    else if (kind === 'hook_ask') hookLines(bytes.toString('utf8'));
    else if (kind === 'exit') {
      const { code }: { code: number } = JSON.parse(bytes.toString('utf8'));
      if (!output.readableEnded) output.push(null);
      result.resolve({ code, words });
    }
  };
  const read = frameReader(onFrame);
  socket.on('data', (chunk: Buffer) => read(chunk));
  socket.write(frame('start', Buffer.from(JSON.stringify(order))));
  const kill = (): void => {
    socket.destroy();
  };
  options.signal?.addEventListener('abort', kill, { once: true });
  if (options.signal?.aborted === true) kill();
  socket.on('error', (error) => output.destroy(error));
  socket.on('close', () => {
    options.signal?.removeEventListener('abort', kill);
    // The end of the stream before git's own: somebody must not take a half answer for a whole one.
    if (!output.readableEnded && !output.destroyed) output.destroy(new JobpassError('upstream_failed', 'git was cut off.'));
    result.resolve({ code: 137, words });
  });
  return { input: inputOf(socket), output, done: result.promise, kill };
}

function inputOf(socket: Socket): Writable {
  const input = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      if (socket.destroyed) done();
      else if (socket.write(frame('input', chunk))) done();
      else {
        const go = (): void => {
          socket.off('drain', go);
          socket.off('close', go);
          done();
        };
        socket.on('drain', go);
        socket.on('close', go);
      }
    },
    final: (done) => {
      if (!socket.destroyed) socket.write(frame('input_end'));
      done();
    },
  });
  finished(input).catch(() => undefined);
  return input;
}

function lines(onLine: (line: string) => void): (text: string) => void {
  let rest = '';
  return (text) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) onLine(part);
  };
}
