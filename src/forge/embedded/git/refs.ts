import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Oid, parseOid, type RefName } from '../../../base/ids.ts';
import type { GitRunner } from './processes.ts';

/** Where a ref stands. */
export interface RefTip {
  /** What it names: a commit, or the object of an annotated tag. */
  readonly target: Oid;
  /** The commit in the end; undefined where a tag names something else. */
  readonly commit: Oid | undefined;
}

/**
 * Looks refs up by their exact names. `rev-parse` would not do: where `refs/tags/v1` is missing it takes `refs/heads/refs/tags/v1`, so that a
 * branch passes for a protected tag (A39).
 */
export async function readRefs(git: GitRunner, repository: string, names: readonly RefName[]): Promise<ReadonlyMap<RefName, RefTip>> {
  const tips = new Map<RefName, RefTip>();
  const loose = await Promise.all(names.map((name) => looseBranch(repository, name)));
  for (const [index, name] of names.entries()) {
    const commit = loose[index];
    if (commit !== undefined) tips.set(name, { target: commit, commit });
  }
  const others = names.filter((name) => !tips.has(name));
  for (let at = 0; at < others.length; at += namesPerRun) {
    const wanted = others.slice(at, at + namesPerRun);
    for (const line of await forEachRef(git, repository, wanted)) {
      const ref = wanted.find((name) => line.startsWith(`${name} `));
      const tip = ref === undefined ? undefined : await tipOf(git, repository, line);
      if (ref !== undefined && tip !== undefined) tips.set(ref, tip);
    }
  }
  return tips;
}

/** Elsewhere a file system may fold case, and `Main` would be read for `main` (A39). */
const namesAreExact = process.platform === 'linux';

/**
 * Where a branch stands that is a file of its own, as each one is after it moved: git looks there first, but a git costs fifty times as much. Only a
 * branch, since git lets none name anything else than a commit.
 * @returns undefined where git has to be asked: the ref is packed, symbolic, no branch, or not there
 */
export async function looseBranch(repository: string, ref: RefName): Promise<Oid | undefined> {
  if (!namesAreExact || !ref.startsWith('refs/heads/')) return undefined;
  const text = await readFile(join(repository, ref), 'utf8').catch(() => '');
  return text.endsWith('\n') ? parseOid(text.slice(0, -1)) : undefined;
}

/** As many as fit on a command line. */
const namesPerRun = 100;

async function forEachRef(git: GitRunner, repository: string, patterns: readonly string[]): Promise<string[]> {
  const format = '--format=%(refname) %(objecttype) %(objectname) %(*objecttype) %(*objectname)';
  const { output } = await git.run(repository, ['for-each-ref', format, ...patterns], { maxBytes: 32 * 1024 * 1024 });
  return output.toString('utf8').trimEnd().split('\n');
}

async function tipOf(git: GitRunner, repository: string, line: string): Promise<RefTip | undefined> {
  const [, type, name = '', innerType, innerName = ''] = line.split(' ');
  const target = parseOid(name);
  if (target === undefined) return undefined;
  if (type === 'commit') return { target, commit: target };
  // A tag of a tag is the only case that takes another look.
  return { target, commit: innerType === 'commit' ? parseOid(innerName) : await commitOf(git, repository, target) };
}

/** @param oid a full object id, or a unique beginning of one */
export async function commitOf(git: GitRunner, repository: string, oid: string): Promise<Oid | undefined> {
  const args = ['rev-parse', '--verify', '--quiet', '--end-of-options', `${oid}^{commit}`];
  const { code, output } = await git.run(repository, args, { codes: [0, 1, 128] });
  return code === 0 ? parseOid(output.toString('utf8').trim()) : undefined;
}

/** Short names of all branches or tags, in git's order. */
export async function listNames(git: GitRunner, repository: string, prefix: 'refs/heads' | 'refs/tags'): Promise<string[]> {
  return (await listRefs(git, repository, [prefix])).map((name) => name.slice(prefix.length + 1));
}

/** Full names, in git's order. */
export async function listRefs(
  git: GitRunner,
  repository: string,
  prefixes: readonly ('refs/heads' | 'refs/tags')[] = ['refs/heads', 'refs/tags'],
): Promise<string[]> {
  const { output } = await git.run(repository, ['for-each-ref', '--format=%(refname)', ...prefixes], { maxBytes: 32 * 1024 * 1024 });
  return output
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '');
}
