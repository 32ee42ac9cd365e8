import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { access, constants, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { getCompileCacheDir } from 'node:module';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { JobpassError } from '../../../base/errors.ts';
import type { Log } from '../../../base/log.ts';
import { type GitOptions, type GitProcess, type HelperLink, openGit } from './git-process.ts';
import { hookScripts } from './hooks.ts';
import { type GitAnswer, KnownAnswers } from './known-answers.ts';

export type { GitEnd, GitOptions, GitProcess } from './git-process.ts';

export interface RunOptions extends GitOptions {
  readonly stdin?: string | Buffer;
  /** Longest answer; 8 MiB unless told. */
  readonly maxBytes?: number;
  /** Exit codes that are an answer; 0 unless told. */
  readonly codes?: readonly number[];
}

/** Starts git, always from the helper, always with an environment of our own. */
export interface GitRunner {
  start(repository: string, args: readonly string[], options?: GitOptions): GitProcess;
  /** Runs to the end with small input and output. @throws upstream_failed on another code than `codes`; too_large */
  run(repository: string, args: readonly string[], options?: RunOptions): Promise<GitAnswer>;
  /** As `run`, for what follows from whole object ids alone, no matter where refs stand or how git is set up: asked again, it is told from memory. */
  known(repository: string, args: readonly string[], options?: Omit<RunOptions, 'env' | 'signal' | 'onHookLine'>): Promise<GitAnswer>;
  /** Rejects unless our hooks will run: git leaves out a hook that is missing or not executable, and nothing would be decided. */
  checkHooks(): Promise<void>;
  close(): Promise<void>;
}

const helperPath = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './helper.ts' : './helper.js', import.meta.url));

/**
 * @param folder private to the server: holds git's HOME and our hooks
 * @throws upstream_failed where git's helper does not start or the folder cannot hold programs (`noexec`)
 */
export async function startGitRunner(folder: string, log: Log): Promise<GitRunner> {
  const hooks = join(folder, 'hooks');
  await mkdir(join(folder, 'home'), { recursive: true, mode: 0o700 });
  await mkdir(hooks, { recursive: true, mode: 0o700 });
  // Put in its place whole: a git of another node that found an empty hook would take it for a yes.
  for (const [name, text] of Object.entries(hookScripts)) {
    const fresh = join(folder, `${name}.${randomUUID()}`);
    await writeFile(fresh, text, { mode: 0o700 });
    await rename(fresh, join(hooks, name));
  }
  const checkHooks = async (): Promise<void> => {
    for (const name of Object.keys(hookScripts))
      await access(join(hooks, name), constants.X_OK).catch((error: unknown) => {
        throw new JobpassError('upstream_failed', 'git cannot run the hooks in the data folder (is it mounted noexec?).', error);
      });
  };
  await checkHooks();
  const helper = await startHelper(log);
  let lastId = 0;

  const start: GitRunner['start'] = (repository, args, options = {}) =>
    openGit(
      helper,
      {
        id: (lastId += 1),
        args,
        env: environment(folder, hooks, repository, options.env),
        cwd: folder,
        hooks: options.onHookLine !== undefined,
      },
      options,
    );
  const run: GitRunner['run'] = (repository, args, options) => runToEnd(start, repository, args, options);
  const answers = new KnownAnswers();
  const known: GitRunner['known'] = (repository, args, options = {}) => {
    // Which exit codes are an answer makes no difference: only what ended with 0 is remembered.
    const { codes: _codes, ...question } = options;
    return answers.ask(JSON.stringify([repository, args, question]), () => run(repository, args, options));
  };
  return { start, run, known, checkHooks, close: () => helper.close() };
}

function environment(
  folder: string,
  hooks: string,
  repository: string,
  more: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const config = {
    'safe.directory': '*',
    // Never a repository's own hooks (A39).
    'core.hooksPath': hooks,
    'gc.auto': '0',
    'maintenance.auto': 'false',
    'receive.autogc': 'false',
    // For git a quarantine borrows from another repository, whose refs it would ask for: they are this one's own, which it looks at anyway.
    'core.alternateRefsCommand': 'true',
  };
  const variables: Record<string, string> = {
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    HOME: join(folder, 'home'),
    LC_ALL: 'C',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_ATTR_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    // A replacement object would show our checks another history than the one that is pushed.
    GIT_NO_REPLACE_OBJECTS: '1',
    GIT_DIR: repository,
    GIT_CONFIG_COUNT: String(Object.keys(config).length),
  };
  for (const [index, [key, value]] of Object.entries(config).entries()) {
    variables[`GIT_CONFIG_KEY_${index}`] = key;
    variables[`GIT_CONFIG_VALUE_${index}`] = value;
  }
  return { ...variables, ...more };
}

async function runToEnd(
  start: GitRunner['start'],
  repository: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<GitAnswer> {
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
  const { code, words, clean } = await git.done;
  if (bytes > maxBytes) throw new JobpassError('too_large', `The answer is larger than ${maxBytes} bytes.`);
  if (!clean || !(options.codes ?? [0]).includes(code))
    throw new JobpassError('upstream_failed', {}, new Error(`git ${args[0] ?? ''} ended with ${code}: ${words.slice(0, 2000)}`));
  return { code, output: Buffer.concat(parts) };
}

/** The helper, started again on the next use when it dies. */
async function startHelper(log: Log): Promise<HelperLink & { close(): Promise<void> }> {
  // Not below the data folder: a socket's path has room for about a hundred bytes.
  const folder = await mkdtemp(join(tmpdir(), 'jobpass-git-'));
  const socketPath = join(folder, 'git.sock');
  let current: Promise<Helper> | undefined;
  let closed = false;
  const helper = (): Promise<Helper> => {
    if (closed) return Promise.reject(new JobpassError('shutting_down'));
    if (current !== undefined) return current;
    const starting = launch(socketPath);
    current = starting;
    void watch(starting);
    return starting;
  };
  const watch = async (starting: Promise<Helper>): Promise<void> => {
    const how = await starting.then(
      ({ gone }) => gone,
      () => 'not started',
    );
    if (current === starting) current = undefined;
    if (!closed) log.error('git.helper_died', { how });
  };
  let child = (await helper()).child;
  const tell = (message: { readonly kill: number } | { readonly forget: number }): void => {
    if (child.connected) child.send(message, () => undefined);
  };

  return {
    async connect() {
      for (;;) {
        const used = await helper();
        child = used.child;
        const socket = await connected(socketPath);
        if (socket !== undefined) return { socket, gone: used.gone };
        // It is dying: the next one is asked.
        await used.gone;
      }
    },
    kill: (kill) => tell({ kill }),
    forget: (forget) => tell({ forget }),
    async close() {
      closed = true;
      const last = await current?.catch(() => undefined);
      if (last?.child.connected === true) last.child.disconnect();
      // One that hangs at its own end does not keep the server from its end: by now its gits have been told to go.
      const late = setTimeout(() => last?.child.kill('SIGKILL'), longestEndMs);
      await last?.gone;
      clearTimeout(late);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Longer than the helper gives its gits. */
const longestEndMs = 20_000;

interface Helper {
  readonly child: ChildProcess;
  /** Resolves to the code or signal that it ended with. */
  readonly gone: Promise<string>;
}

async function launch(socketPath: string): Promise<Helper> {
  await rm(socketPath, { force: true });
  const compiled = getCompileCacheDir();
  const child = fork(helperPath, [socketPath], {
    env: { PATH: process.env['PATH'], ...(compiled === undefined ? {} : { NODE_COMPILE_CACHE: compiled }) },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    execArgv: ['--no-warnings'],
  });
  const gone = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? String(code)));
    child.once('error', (error) => resolve(error.message));
  });
  const ready = new Promise<'ready'>((resolve) => child.once('message', () => resolve('ready')));
  if ((await Promise.race([ready, gone])) === 'ready') return { child, gone };
  throw new JobpassError('upstream_failed', 'The git helper did not start.');
}

/** @returns undefined where nobody listens. @throws upstream_failed where there are too many connections */
function connected(path: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const failed = (error: NodeJS.ErrnoException): void => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(undefined);
      else reject(new JobpassError('upstream_failed', {}, error));
    };
    socket.once('error', failed);
    socket.once('connect', () => {
      socket.off('error', failed);
      resolve(socket);
    });
  });
}
