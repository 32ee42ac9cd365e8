import { hash } from 'node:crypto';
import { access, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isJobpassError, JobpassError } from '../../base/errors.ts';
import { privateDir } from '../places.ts';
import { runAs } from '../run-as.ts';
import { addressSetting, fetchEnvironment, gitEnvironment, type GitCredential } from './environment.ts';
import { type Given, givenBefore, keepOnly, noteGiven, type Ref, refsOf } from './given.ts';
import { Turns } from './turns.ts';

/** Where a job's repositories are fetched to, out of the job's reach. */
export interface MirrorRoom {
  readonly buildsDir: string;
  /** Jobs with another key use other mirrors (R15). */
  readonly trustKey: string;
  /** The folder that this runner's slots are in: two runners share no mirror, jobs of one do. */
  readonly runnerDir: string;
  readonly caFile: string | undefined;
  /** More flags of `git fetch`, out of the closed list of `flags.ts`. */
  readonly flags: readonly string[];
  readonly signal: AbortSignal;
  readonly onOutput: (bytes: Buffer) => void;
}

export interface FetchOrder {
  readonly url: URL;
  /** Where its name leads, `HOST:PORT:ADDRESS,…`; undefined = wherever git finds it. */
  readonly address?: string | undefined;
  readonly credential: GitCredential | undefined;
  /** Empty = the commit itself is asked for. */
  readonly refspecs: readonly string[];
  /** 0 = whole history. */
  readonly depth: number;
  readonly sha: string;
}

/** A bare repository of the runner's. It holds what the server has just let this job have, and nothing else. */
export interface Mirror {
  readonly dir: string;
  readonly home: string;
  readonly sha: string;
  /** Where the fetch put what it was for. */
  readonly refs: readonly Ref[];
}

const shaShape = /^[0-9a-f]{8,64}$/;
const everyBranch = '+refs/heads/*:refs/jobpass/heads/*';
/** Matches nothing. For a list of ids that are all here already, git would not even speak to the server; for a pattern it has to. */
const asks = '+refs/jobpass/none/*:refs/jobpass/none/*';
const refspecShape = /^\+?[\w./*@-]+(?::[\w./*@-]+)?$/;

const turns = new Turns();

/**
 * Fetches from the server anew, so that every job is authorised anew, also where all objects are here already (A34).
 * Jobs that share a mirror have it one after the other, until `work` has ended.
 * @throws invalid_input, upstream_failed
 */
export async function withMirror<Result>(room: MirrorRoom, order: FetchOrder, work: (mirror: Mirror) => Promise<Result>): Promise<Result> {
  if (!shaShape.test(order.sha)) throw new JobpassError('invalid_input', 'The commit to check out is not at least 8 hex digits.');
  const home = await privateDir(room.buildsDir, 'home');
  const key = hash('sha256', JSON.stringify([order.url.href, room.trustKey, room.runnerDir]), 'hex').slice(0, 40);
  const dir = join(await privateDir(room.buildsDir, 'mirrors'), key);
  if (turns.busy(dir)) room.onOutput(Buffer.from('Waiting for another job that fetches from there…\n'));
  return turns.take(dir, room.signal, async () => work(await fetchMirror(room, order, dir, home)));
}

async function fetchMirror(room: MirrorRoom, order: FetchOrder, dir: string, home: string): Promise<Mirror> {
  const before = await open(dir, home);
  const env = fetchEnvironment(home, order.credential, room.caFile, [['fetch.unpackLimit', '1'], ...addressSetting(order.address)]);
  const fetch = async (what: readonly string[], wantedDepth: number): Promise<void> => {
    const depth = wantedDepth > 0 ? [`--depth=${wantedDepth}`] : (await exists(join(dir, 'shallow'))) ? ['--unshallow'] : [];
    const flags = ['--no-tags', '--prune', '--force', '--no-recurse-submodules', '--no-write-fetch-head', ...room.flags, ...depth];
    await runAs(undefined, 'git', ['fetch', ...flags, '--', order.url.href, asks, ...what], {
      cwd: dir,
      env,
      signal: room.signal,
      onOutput: room.onOutput,
    });
  };
  const refspecs = order.refspecs.filter((refspec) => refspecShape.test(refspec));
  const targets = refspecs.flatMap((refspec) => refspec.replace(/^\+/, '').split(':')[1] ?? []);
  if (refspecs.length > 0) await fetch(refspecs, order.depth);
  let refs = await refsOf({ dir, home }, targets);
  let sha = refspecs.length === 0 ? undefined : await refs.holds(order.sha);
  if (sha === undefined) {
    try {
      await fetch([order.sha], order.depth);
      sha = await whole(dir, home, order.sha);
    } catch (error) {
      room.signal.throwIfAborted();
      if (!isJobpassError(error, 'upstream_failed')) throw error;
      // A server need not let go of a commit by its id; then it has to be in some branch.
      await fetch([everyBranch], 0);
      refs = await refsOf({ dir, home }, [...targets, everyBranch.split(':')[1] ?? '']);
      sha = await refs.holds(order.sha);
      if (sha === undefined) throw new JobpassError('upstream_failed', 'The server does not give the commit to check out.', error);
    }
  }
  await keepOnly({ dir, home }, { before, refs, sha, jobRef });
  return { dir, home, sha, refs: refs.tips.filter(({ name }) => !name.startsWith('refs/jobpass/')) };
}

/** Makes the folder ready. @returns what the server has given so far; undefined where that is not known */
async function open(dir: string, home: string): Promise<Given | undefined> {
  if (await exists(join(dir, 'HEAD'))) {
    const before = await givenBefore(dir);
    if (before === undefined) await removeLocks(dir);
    return before;
  }
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await runAs(undefined, 'git', ['init', '--quiet', '--bare', '--template=', '.'], { cwd: dir, env: gitEnvironment(home) });
  await noteGiven(dir, []);
  return givenBefore(dir);
}

async function whole(dir: string, home: string, sha: string): Promise<string> {
  const { stdout } = await runAs(undefined, 'git', ['rev-parse', '--verify', '--end-of-options', `${sha}^{commit}`], {
    cwd: dir,
    env: gitEnvironment(home),
    collectBytes: 1024,
  });
  return stdout.trim();
}

const unusedMs = 14 * 86_400_000;

/** Removes mirrors that no job has used for two weeks. */
export async function removeUnusedMirrors(buildsDir: string): Promise<void> {
  const mirrors = await privateDir(buildsDir, 'mirrors');
  for (const name of await readdir(mirrors)) {
    const dir = join(mirrors, name);
    // Another runner of the folder may start, and remove it, at the same time.
    const found = await stat(dir).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > unusedMs) await rm(dir, { recursive: true, force: true });
  }
}

/** The ref that holds the job's commit in a mirror. */
export const jobRef = 'refs/jobpass/job';

/** A mirror has one job at a time, so a lock in it is of a git that was killed; it would fail every fetch to come. */
async function removeLocks(dir: string): Promise<void> {
  const names = [...(await readdir(dir)), ...(await readdir(join(dir, 'refs'), { recursive: true })).map((name) => join('refs', name))];
  for (const name of names.filter((one) => one.endsWith('.lock'))) await rm(join(dir, name), { force: true });
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
