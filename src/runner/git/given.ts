import { readdir, readFile, rename, rm, unlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runAs } from '../run-as.ts';
import { gitEnvironment } from './environment.ts';

/** A bare repository of the runner's. */
export interface Repository {
  readonly dir: string;
  readonly home: string;
}

interface Tip {
  readonly type: string;
  readonly oid: string;
}

/** What a server has let jobs have: all that these lead to. */
export type Given = readonly Tip[];

export interface Ref extends Tip {
  readonly name: string;
  /** What an annotated tag is of. */
  readonly peeled: string | undefined;
}

/** The refs of a mirror after a fetch. */
export interface Refs {
  /** Those that the fetch was for. */
  readonly tips: readonly Ref[];
  /** Names of those that an earlier job's fetch was for. */
  readonly stale: readonly string[];
  /** @returns the whole name of a commit, where what was fetched leads to it */
  holds(sha: string): Promise<string | undefined>;
}

const listBytes = 64 * 1024 * 1024;
const noteName = 'jobpass-given';
const mostPacks = 20;

/** @param targets names of refs, each with at most one `*`: where the fetch put what it got */
export async function refsOf(repository: Repository, targets: readonly string[]): Promise<Refs> {
  const { stdout } = await git(repository, ['for-each-ref', '--format=%(objecttype) %(objectname) %(refname) %(*objectname)'], '');
  const [tips, stale]: [Ref[], string[]] = [[], []];
  for (const line of stdout.split('\n').filter((text) => text !== '')) {
    const [type = '', oid = '', name = '', peeled = ''] = line.split(' ');
    if (targets.some((target) => matches(target, name))) tips.push({ type, oid, name, peeled: peeled === '' ? undefined : peeled });
    else stale.push(name);
  }
  return {
    tips,
    stale,
    async holds(sha) {
      if (tips.some(({ type, oid }) => type === 'commit' && oid === sha)) return sha;
      const parsed = await git(repository, ['rev-parse', '--verify', '--quiet', '--end-of-options', `${sha}^{commit}`], '');
      const whole = parsed.stdout.trim();
      return parsed.code === 0 && (await leadTo(repository, tips, [whole])) ? whole : undefined;
    },
  };
}

function matches(target: string, name: string): boolean {
  const star = target.indexOf('*');
  if (star < 0) return target === name;
  const [head, tail] = [target.slice(0, star), target.slice(star + 1)];
  return name.length >= head.length + tail.length && name.startsWith(head) && name.endsWith(tail);
}

/**
 * Leaves nothing in a mirror but what the server has just given, so that its packs may go to the job as they are: refs of other jobs go, and where a
 * branch was rewritten or another one was here before, so do the objects that only those led to (A34).
 * @param before what was given until now; undefined where that is not known
 */
export async function keepOnly(
  repository: Repository,
  { before, refs, sha, jobRef }: { readonly before: Given | undefined; readonly refs: Refs; readonly sha: string; readonly jobRef: string },
): Promise<void> {
  const stale = refs.stale.filter((name) => name !== jobRef);
  await git(
    repository,
    ['update-ref', '--stdin'],
    [`update ${jobRef} ${sha}`, ...stale.map((name) => `delete ${name}`), ''].join('\n'),
    true,
  );
  const tips = [...refs.tips, { type: 'commit', oid: sha }];
  const packs = (await packFiles(repository.dir)).filter((name) => name.endsWith('.pack'));
  if (before === undefined || packs.length > mostPacks || !(await stillGiven(repository, before, tips))) await dropTheRest(repository);
  await noteGiven(repository.dir, tips);
  // Says when the mirror was last of use.
  const now = new Date();
  await utimes(repository.dir, now, now);
}

async function stillGiven(repository: Repository, before: Given, tips: Given): Promise<boolean> {
  const now = new Set(tips.map(({ oid }) => oid));
  const others = before.filter(({ oid }) => !now.has(oid));
  if (others.some(({ type }) => type !== 'commit')) return false;
  return leadTo(
    repository,
    tips,
    others.map(({ oid }) => oid),
  );
}

async function leadTo(repository: Repository, tips: Given, commits: readonly string[]): Promise<boolean> {
  if (commits.length === 0) return true;
  const lines = [...commits, ...tips.map(({ oid }) => `^${oid}`), ''].join('\n');
  const { code, stdout } = await git(repository, ['rev-list', '--max-count=1', '--stdin'], lines);
  return code === 0 && stdout === '';
}

async function dropTheRest(repository: Repository): Promise<void> {
  const dir = join(repository.dir, 'objects', 'pack');
  // Of a fetch that was cut off: git would leave such a pack alone.
  for (const name of await readdir(dir)) if (name.endsWith('.keep')) await rm(join(dir, name), { force: true });
  await git(repository, ['-c', 'repack.writeBitmaps=false', 'repack', '-a', '-d', '-q'], '', true);
  await git(repository, ['prune', '--expire=now'], '', true);
}

/** @returns names of the files that hold a mirror's objects */
export async function packFiles(dir: string): Promise<readonly string[]> {
  const names = await readdir(join(dir, 'objects', 'pack'));
  return names.filter((name) => /^pack-[0-9a-f]{40,64}\.(?:pack|idx|rev)$/.test(name));
}

/** Reads the note and removes it: until a fetch has ended well, nothing is known of a mirror. */
export async function givenBefore(dir: string): Promise<Given | undefined> {
  const path = join(dir, noteName);
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  await unlink(path);
  const lines = text.split('\n').filter((line) => line !== '');
  if (!lines.every((line) => /^[a-z]+ [0-9a-f]{40,64}$/.test(line))) return undefined;
  return lines.map((line) => ({ type: line.split(' ')[0] ?? '', oid: line.split(' ')[1] ?? '' }));
}

export async function noteGiven(dir: string, given: Given): Promise<void> {
  const path = join(dir, noteName);
  await writeFile(`${path}.new`, given.map(({ type, oid }) => `${type} ${oid}\n`).join(''));
  await rename(`${path}.new`, path);
}

function git(
  { dir, home }: Repository,
  args: readonly string[],
  input: string,
  strict = false,
): Promise<{ readonly code: number; readonly stdout: string }> {
  return runAs(undefined, 'git', args, { cwd: dir, env: gitEnvironment(home), input, collectBytes: listBytes, anyExit: !strict });
}
