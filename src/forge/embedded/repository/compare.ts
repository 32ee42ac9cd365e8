import { join } from 'node:path';
import { pipeline, Transform } from 'node:stream';
import { isJobpassError, JobpassError } from '../../../base/errors.ts';
import { type Oid, parseOid } from '../../../base/ids.ts';
import { limits } from '../../../base/limits.ts';
import type { ComparisonForge, FileDiff } from '../../comparison.ts';
import type { GitRunner } from '../git/processes.ts';
import type { ReadDeps } from './content.ts';
import { requireAny } from './grants.ts';
import { readablePath } from './names.ts';
import { entryAt, readCommit, readCommits, resolveCommit } from './reads.ts';

const mostCommits = 1000;
const mostFiles = 3000;
const mostTextBytes = 5 * 1024 * 1024;

/** @see GitLab REST API, "Repositories": "Compare branches, tags or commits", "Get file archive" */
export function comparisons({ git, repositories, directory }: ReadDeps): ComparisonForge {
  return {
    async compare(grant, project, query) {
      requireAny(grant, project, ['repository:read']);
      const { fromProject = project } = query;
      requireAny(grant, fromProject, ['repository:read']);
      const [repository, other] = [await repositories.existing(project), await repositories.existing(fromProject)];
      const [from, to] = await Promise.all([resolveCommit(git, other, query.from), resolveCommit(git, repository, query.to)]);
      if (from === undefined || to === undefined) throw new JobpassError('not_found', { what: 'Ref' });
      const both = other === repository ? git : withObjectsOf(git, other);
      const base = query.straight ? from.oid : await mergeBase(both, repository, from.oid, to.oid);
      if (base === undefined) throw new JobpassError('not_found', { what: 'Ref' });
      const newest = await readCommits(both, repository, [`--max-count=${mostCommits}`, `${from.oid}..${to.oid}`]);
      return { commits: newest.toReversed(), diffs: await diffsOf(both, repository, base, to.oid), sameRef: from.oid === to.oid };
    },
    async commitDiff(grant, project, sha) {
      requireAny(grant, project, ['commit:read']);
      const repository = await repositories.existing(project);
      const oid = (await resolveCommit(git, repository, sha))?.oid;
      if (oid === undefined) throw new JobpassError('not_found', { what: 'Commit' });
      const [parent] = (await readCommit(git, repository, oid)).parentIds;
      return diffsOf(git, repository, parent ?? (await emptyTree(git, repository)), oid);
    },
    async mergeBase(grant, project, refs) {
      requireAny(grant, project, ['repository:read']);
      const repository = await repositories.existing(project);
      const oids: Oid[] = [];
      for (const ref of refs) {
        const found = await resolveCommit(git, repository, ref);
        if (found === undefined) throw new JobpassError('not_found', { what: 'Ref' });
        oids.push(found.oid);
      }
      const base = await mergeBase(git, repository, ...oids);
      return base === undefined ? undefined : readCommit(git, repository, base);
    },
    async archive(grant, project, { ref, path, format }) {
      requireAny(grant, project, ['code:download']);
      const repository = await repositories.existing(project);
      const facts = await directory.project(null, project);
      const wanted = ref ?? facts?.defaultBranch;
      const commit = wanted === undefined ? undefined : (await resolveCommit(git, repository, wanted))?.oid;
      const inner = readablePath(path);
      if (facts === undefined || wanted === undefined || commit === undefined || inner === undefined)
        throw new JobpassError('not_found', { what: 'File' });
      if (inner !== '' && (await entryAt(git, repository, commit, inner)) === undefined)
        throw new JobpassError('not_found', { what: 'File' });
      const words = [facts.path.split('/').at(-1) ?? '', wanted, commit, inner].filter((word) => word !== '');
      const name = words
        .join('-')
        .replaceAll(/[^\w.-]+/g, '-')
        .slice(0, 200);
      const args = ['archive', `--format=${format}`, `--prefix=${name}/`, commit, ...(inner === '' ? [] : ['--', `:(literal)${inner}`])];
      const started = git.start(repository, args, { signal: grant.signal });
      started.input.end();
      return { name: `${name}.${format}`, body: pipeline(started.output, bounded(limits.archiveBytes), () => undefined) };
    },
  };
}

function bounded(mostBytes: number): Transform {
  let bytes = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      if (bytes > mostBytes) done(new JobpassError('too_large', `An archive has at most ${mostBytes} bytes.`));
      else done(null, chunk);
    },
  });
}

/** git with the objects of another repository beside those of its own; its refs stay out. */
function withObjectsOf(git: GitRunner, other: string): GitRunner {
  const env = { GIT_ALTERNATE_OBJECT_DIRECTORIES: join(other, 'objects') };
  const run: GitRunner['run'] = (repository, args, options = {}) =>
    git.run(repository, args, { ...options, env: { ...options.env, ...env } });
  // What two repositories say together is no answer of the one: it is kept for nobody.
  return { ...git, run, known: run };
}

/** The id of a tree with nothing in it, in the repository's own hash. */
async function emptyTree(git: GitRunner, repository: string): Promise<Oid> {
  const { output } = await git.run(repository, ['hash-object', '-t', 'tree', '--stdin'], { stdin: '' });
  const oid = parseOid(output.toString('utf8').trim());
  if (oid === undefined) throw new JobpassError('upstream_failed', {}, new Error('git names no empty tree'));
  return oid;
}

async function mergeBase(git: GitRunner, repository: string, ...commits: readonly Oid[]): Promise<Oid | undefined> {
  const { output } = await git.known(repository, ['merge-base', ...commits], { codes: [0, 1] });
  return parseOid(output.toString('utf8').trim());
}

async function diffsOf(git: GitRunner, repository: string, from: Oid, to: Oid): Promise<FileDiff[]> {
  const files = ['diff-tree', '-r', '-M', '-l1000', '--no-ext-diff', '--no-textconv'];
  const raw = await git.known(repository, [...files, '-z', '--raw', from, to], { maxBytes: 4 * 1024 * 1024 });
  const entries = parseRaw(raw.output);
  if (entries.length > mostFiles) throw new JobpassError('too_large', `More than ${mostFiles} files differ.`);
  const texts = await textsOf(git, repository, [...files, '-p', from, to]);
  return entries.map((entry, index) => ({ ...entry, text: texts === null ? null : (texts[index] ?? '') }));
}

/** In the order of `--raw`; null where they are too many bytes to tell. */
async function textsOf(git: GitRunner, repository: string, args: readonly string[]): Promise<readonly string[] | null> {
  try {
    const { output } = await git.run(repository, args, { maxBytes: mostTextBytes });
    // Within a hunk every line begins with a blank, a sign or a backslash.
    return output
      .toString('utf8')
      .split(/^diff --git /m)
      .slice(1)
      .map((section) => {
        const start = section.search(/^@@ /m);
        return start < 0 ? '' : section.slice(start);
      });
  } catch (error) {
    if (isJobpassError(error, 'too_large')) return null;
    throw error;
  }
}

const kinds: Readonly<Record<string, FileDiff['kind']>> = { A: 'added', D: 'deleted', R: 'renamed' };

function parseRaw(output: Buffer): Omit<FileDiff, 'text'>[] {
  const words = output.toString('utf8').split('\0');
  const entries: Omit<FileDiff, 'text'>[] = [];
  for (let at = 0; at < words.length; at += 2) {
    const [, oldMode, newMode, letter] = /^:(\d{6}) (\d{6}) \S+ \S+ ([A-Z])/.exec(words[at] ?? '') ?? [];
    if (oldMode === undefined || newMode === undefined || letter === undefined) continue;
    const oldPath = words[at + 1] ?? '';
    if (letter === 'R') at += 1;
    entries.push({ oldPath, newPath: words[at + 1] ?? '', oldMode, newMode, kind: kinds[letter] ?? 'modified' });
  }
  return entries;
}
