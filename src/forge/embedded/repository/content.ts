import { createHash } from 'node:crypto';
import { JobpassError } from '../../../base/errors.ts';
import { type Oid, parseOid, type ProjectId } from '../../../base/ids.ts';
import type { Directory } from '../../../ports/directory.ts';
import type { RepositoryForge } from '../../repository.ts';
import type { GitRunner } from '../git/processes.ts';
import type { Repositories } from '../git/repositories.ts';
import { contentReaders, readers, requireAny } from './grants.ts';
import { readablePath } from './names.ts';
import { entryAt, findCommit, pageOf, parseEntries, readCommit, readCommits, resolveCommit } from './reads.ts';

export interface ReadDeps {
  readonly git: GitRunner;
  readonly repositories: Repositories;
  readonly directory: Directory;
}

/** Reads of trees, files and commits. */
export function contentReads(
  deps: ReadDeps,
): Pick<RepositoryForge, 'resolve' | 'tree' | 'file' | 'fileVersion' | 'blob' | 'textFile' | 'commits' | 'commit'> {
  const { git, repositories, directory } = deps;
  const resolveOrDefault = async (repository: string, project: ProjectId, name: string | undefined): Promise<Oid | undefined> => {
    const wanted = name ?? (await directory.project(null, project))?.defaultBranch;
    return wanted === undefined ? undefined : (await resolveCommit(git, repository, wanted))?.oid;
  };

  return {
    async resolve(grant, project, name) {
      requireAny(grant, project, readers);
      return resolveCommit(git, await repositories.existing(project), name);
    },
    async tree(grant, project, query, page) {
      requireAny(grant, project, ['repository:read']);
      const repository = await repositories.existing(project);
      const path = readablePath(query.path ?? '');
      const commit = await resolveOrDefault(repository, project, query.ref);
      if (path === undefined || commit === undefined) throw new JobpassError('not_found', { what: 'Tree' });
      const args = ['ls-tree', '-z', ...(query.recursive ? ['-r', '-t'] : []), path === '' ? commit : `${commit}:${path}`];
      const { code, output } = await git.known(repository, args, { codes: [0, 128], maxBytes: 64 * 1024 * 1024 });
      if (code !== 0) throw new JobpassError('not_found', { what: 'Tree' });
      const { rows, total } = pageOf(parseEntries(output), page);
      const folder = path === '' ? '' : `${path}/`;
      const entries = rows.map(({ oid, type, mode, path: inner }) => ({
        id: oid,
        name: inner.split('/').at(-1) ?? inner,
        type,
        path: folder + inner,
        mode,
      }));
      return { rows: entries, total };
    },
    async file(grant, project, path, ref) {
      requireAny(grant, project, contentReaders);
      const repository = await repositories.existing(project);
      const commitId = await resolveOrDefault(repository, project, ref);
      if (commitId === undefined) throw new JobpassError('not_found', { what: 'Commit' });
      const entry = await entryAt(git, repository, commitId, readablePath(path) ?? '');
      if (entry?.type !== 'blob') throw new JobpassError('not_found', { what: 'File' });
      const [last] = await readCommits(git, repository, ['--max-count=1', commitId, '--', `:(literal)${entry.path}`]);
      const { sha256, sizeBytes } = await digestOf(git, repository, entry.oid, grant.signal);
      const executable = entry.mode === '100755';
      return { path: entry.path, blobId: entry.oid, commitId, lastCommitId: last?.id ?? commitId, sizeBytes, executable, sha256 };
    },
    async fileVersion(grant, project, sha, path) {
      requireAny(grant, project, contentReaders);
      const repository = await repositories.existing(project);
      const entry = await entryAt(git, repository, sha, readablePath(path) ?? '');
      if (entry?.type !== 'blob') return undefined;
      const [last] = await readCommits(git, repository, ['--max-count=1', sha, '--', `:(literal)${entry.path}`]);
      return { blobId: entry.oid, lastCommitId: last?.id ?? sha };
    },
    async blob(grant, project, blobId) {
      requireAny(grant, project, contentReaders);
      const repository = await repositories.existing(project);
      const { output } = await git.run(repository, ['cat-file', '--batch-check=%(objecttype) %(objectsize)'], { stdin: `${blobId}\n` });
      const [type, size] = output.toString('utf8').trim().split(' ');
      if (type !== 'blob') throw new JobpassError('not_found', { what: 'Blob' });
      const started = git.start(repository, ['cat-file', 'blob', blobId], { signal: grant.signal });
      started.input.end();
      return { sizeBytes: Number(size), body: started.output };
    },
    async textFile(grant, project, sha, path, maxBytes) {
      requireAny(grant, project, contentReaders);
      const repository = await repositories.existing(project);
      const entry = await entryAt(git, repository, sha, readablePath(path) ?? '');
      // A symbolic link's text is a path, not what the job's author meant to write.
      if (entry?.type !== 'blob' || entry.mode === '120000') return undefined;
      return (await git.known(repository, ['cat-file', 'blob', entry.oid], { maxBytes })).output.toString('utf8');
    },
    async commits(grant, project, query, page) {
      requireAny(grant, project, ['commit:read']);
      const repository = await repositories.existing(project);
      // `main..topic`: what the second has beside the first. No name of a ref holds two dots.
      const [, without, name] = /^(.+?)\.\.([^.].*)$/.exec(query.ref ?? '') ?? [];
      const commit = await resolveOrDefault(repository, project, name ?? query.ref);
      const left = without === undefined ? undefined : (await resolveCommit(git, repository, without))?.oid;
      if (commit === undefined || (without !== undefined && left === undefined)) throw new JobpassError('not_found', { what: 'Commit' });
      const path = readablePath(query.path ?? '');
      if (path === undefined) return { rows: [], total: 0 };
      const range = [...(left === undefined ? [] : [`^${left}`]), commit, '--', ...(path === '' ? [] : [`:(literal)${path}`])];
      const rows = await readCommits(git, repository, [
        `--skip=${(page.page - 1) * page.perPage}`,
        `--max-count=${page.perPage}`,
        ...range,
      ]);
      const counted = await git.known(repository, ['rev-list', '--count', ...range]);
      return { rows, total: Number(counted.output.toString('utf8').trim()) };
    },
    async commit(grant, project, name) {
      requireAny(grant, project, readers);
      const repository = await repositories.existing(project);
      const whole = parseOid(name);
      // One git instead of two, for what pages of jobs and pipelines ask most.
      if (whole !== undefined) return findCommit(git, repository, whole);
      const found = await resolveCommit(git, repository, name);
      return found === undefined ? undefined : readCommit(git, repository, found.oid);
    },
  };
}

/** SHA-256 and size of a blob, streamed. */
async function digestOf(
  git: GitRunner,
  repository: string,
  blob: Oid,
  signal: AbortSignal,
): Promise<{ sha256: string; sizeBytes: number }> {
  const started = git.start(repository, ['cat-file', 'blob', blob], { signal });
  started.input.end();
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const chunk of started.output as AsyncIterable<Buffer>) {
    hash.update(chunk);
    sizeBytes += chunk.length;
  }
  return { sha256: hash.digest('hex'), sizeBytes };
}
