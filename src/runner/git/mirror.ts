import { hash } from 'node:crypto';
import { access, mkdir, readdir, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { isJobpassError, JobpassError } from '../../base/errors.ts';
import { privateDir } from '../places.ts';
import { runAs } from '../run-as.ts';
import { fetchEnvironment, gitEnvironment, type GitCredential } from './environment.ts';

/** Where a job's repositories are fetched to, out of the job's reach. */
export interface MirrorRoom {
  readonly buildsDir: string;
  /** Jobs with another key use other mirrors (R15). */
  readonly trustKey: string;
  readonly slot: number;
  readonly caFile: string | undefined;
  /** More flags of `git fetch`, out of the closed list of `flags.ts`. */
  readonly flags: readonly string[];
  readonly signal: AbortSignal;
  readonly onOutput: (bytes: Buffer) => void;
}

export interface FetchOrder {
  readonly url: URL;
  readonly credential: GitCredential | undefined;
  /** Empty = the commit itself is asked for. */
  readonly refspecs: readonly string[];
  /** 0 = whole history. */
  readonly depth: number;
  readonly sha: string;
}

/** A bare repository of the runner's, with one commit that the server has just let us have. */
export interface Mirror {
  readonly dir: string;
  readonly home: string;
  readonly sha: string;
}

const shaShape = /^[0-9a-f]{8,64}$/;
const refspecShape = /^\+?[\w./*@-]+(?::[\w./*@-]+)?$/;

/**
 * Fetches from the server anew, so that every job is authorised anew, also where all objects are here already (A34).
 * @throws invalid_input, upstream_failed
 */
export async function fetchMirror(room: MirrorRoom, order: FetchOrder): Promise<Mirror> {
  if (!shaShape.test(order.sha)) throw new JobpassError('invalid_input', 'The commit to check out is not at least 8 hex digits.');
  const home = await privateDir(room.buildsDir, 'home');
  const key = hash('sha256', JSON.stringify([order.url.href, room.trustKey, room.slot]), 'hex').slice(0, 40);
  const dir = join(await privateDir(room.buildsDir, 'mirrors'), key);
  const plain = { cwd: dir, env: gitEnvironment(home) };
  if (!(await exists(join(dir, 'HEAD')))) {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await runAs(undefined, 'git', ['init', '--quiet', '--bare', '--template=', '.'], plain);
  }
  await removeLocks(dir);
  const env = fetchEnvironment(home, order.credential, room.caFile);
  const fetch = async (what: readonly string[], wantedDepth: number): Promise<void> => {
    const depth = wantedDepth > 0 ? [`--depth=${wantedDepth}`] : (await exists(join(dir, 'shallow'))) ? ['--unshallow'] : [];
    const flags = ['--no-tags', '--prune', '--force', '--no-recurse-submodules', '--no-write-fetch-head', ...room.flags, ...depth];
    await runAs(undefined, 'git', ['fetch', ...flags, '--', order.url.href, ...what], {
      cwd: dir,
      env,
      signal: room.signal,
      onOutput: room.onOutput,
    });
  };
  const refspecs = order.refspecs.filter((refspec) => refspecShape.test(refspec));
  if (refspecs.length > 0) await fetch(refspecs, order.depth);
  if (refspecs.length === 0 || !(await has(dir, home, order.sha))) {
    try {
      await fetch([order.sha], order.depth);
    } catch (error) {
      room.signal.throwIfAborted();
      if (!isJobpassError(error, 'upstream_failed')) throw error;
      // A server need not let go of a commit by its id; then it has to be in some branch.
      await fetch(['+refs/heads/*:refs/jobpass/heads/*'], 0);
    }
  }
  const parsed = await runAs(undefined, 'git', ['rev-parse', '--verify', '--end-of-options', `${order.sha}^{commit}`], {
    ...plain,
    collectBytes: 1024,
  });
  const sha = parsed.stdout.trim();
  // What the checkout is handed out by.
  await runAs(undefined, 'git', ['update-ref', jobRef, sha], plain);
  await tidy(dir, home);
  return { dir, home, sha };
}

/** Fetches pile up packs; cleaning up is left to git's own measure. The folder's time says when it was last of use. */
async function tidy(dir: string, home: string): Promise<void> {
  const env = gitEnvironment(home, [
    ['gc.auto', '2000'],
    ['gc.autoPackLimit', '30'],
    ['gc.autoDetach', 'false'],
  ]);
  await runAs(undefined, 'git', ['gc', '--auto', '--quiet'], { cwd: dir, env, anyExit: true });
  const now = new Date();
  await utimes(dir, now, now);
}

const unusedMs = 14 * 86_400_000;

/** Removes mirrors that no job has used for two weeks. */
export async function removeUnusedMirrors(buildsDir: string): Promise<void> {
  const mirrors = await privateDir(buildsDir, 'mirrors');
  for (const name of await readdir(mirrors)) {
    const dir = join(mirrors, name);
    const { mtimeMs } = await stat(dir);
    if (Date.now() - mtimeMs > unusedMs) await rm(dir, { recursive: true, force: true });
  }
}

/** The ref that holds the job's commit in a mirror. */
export const jobRef = 'refs/jobpass/job';

/** A slot has one job at a time, so a lock in its mirror is a killed runner's. */
async function removeLocks(dir: string): Promise<void> {
  for (const name of ['shallow', 'packed-refs', 'config', 'HEAD', jobRef]) await rm(join(dir, `${name}.lock`), { force: true });
}

async function has(dir: string, home: string, sha: string): Promise<boolean> {
  const { code } = await runAs(undefined, 'git', ['cat-file', '-e', `${sha}^{commit}`], {
    cwd: dir,
    env: gitEnvironment(home),
    anyExit: true,
  });
  return code === 0;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
