import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { JobpassError } from '../../base/errors.ts';

const launcher = fileURLToPath(new URL('../../../bin/jobpass.js', import.meta.url));

/** A `jobpass …` of our own, with its output kept in a file. */
export interface Child {
  readonly pid: number;
  /** Ends it with SIGTERM and waits; SIGKILL after ten seconds. */
  stop(): Promise<void>;
}

/**
 * Starts one command and waits until it prints something that matches.
 * @param env its whole environment; secrets travel here, never as arguments
 * @throws upstream_failed when it ends first
 */
export async function startChild(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  logFile: string,
  ready: RegExp,
): Promise<{ child: Child; match: RegExpExecArray }> {
  const process_ = spawn(process.execPath, [launcher, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const log = createWriteStream(logFile, { flags: 'a', mode: 0o600 });
  let seen = '';
  const match = await new Promise<RegExpExecArray>((resolve, reject) => {
    let waiting = true;
    const look = (chunk: Buffer): void => {
      log.write(chunk);
      if (!waiting) return;
      seen = (seen + chunk.toString('utf8')).slice(-20_000);
      const found = ready.exec(seen);
      if (found === null) return;
      waiting = false;
      resolve(found);
    };
    process_.stdout.on('data', look);
    process_.stderr.on('data', look);
    process_.on('error', reject);
    process_.on('exit', (code) =>
      reject(
        new JobpassError('upstream_failed', `jobpass ${args.slice(0, 2).join(' ')} ended with code ${code}:\n${seen.trim().slice(-1500)}`),
      ),
    );
  });
  return { child: { pid: process_.pid ?? 0, stop: () => stopChild(process_) }, match };
}

/** Runs one command to its end. @throws upstream_failed with its last words */
export async function runChild(args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const child = spawn(process.execPath, [launcher, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let words = '';
  const keep = (chunk: Buffer): void => {
    words = (words + chunk.toString('utf8')).slice(-2000);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const code = await new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => resolve(status ?? 1));
  });
  if (code !== 0) throw new JobpassError('upstream_failed', `jobpass ${args.slice(0, 2).join(' ')} failed: ${words.trim()}`);
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const kill = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await gone;
  clearTimeout(kill);
}
