import { JobpassError } from '../../../base/errors.ts';
import { type Oid, parseOid, type ProjectId, zeroOid } from '../../../base/ids.ts';
import { isProtected } from '../../../base/refs.ts';
import type { Directory, ProtectedRef } from '../../../ports/directory.ts';
import type { Branch, Commit, Page, Paged, RepositoryForge, Tag, TreeEntry } from '../../forge.ts';
import type { Repositories } from '../git/repositories.ts';
import { branchRef, readablePath, tagRef } from './names.ts';
import { blobDigest, entryAt, readCommit, readCommits, requireAny, resolveCommit, revParse } from './reads.ts';
import { buildCommit, buildTag, moveRef, withScratch, type WriteDeps } from './writes.ts';

export interface RepositoryDeps extends WriteDeps {
  readonly repositories: Repositories;
  readonly directory: Directory;
  readonly onPushed: (repository: string) => void;
}

/** Reads and writes of a repository over the API, by git's plumbing. */
export function makeRepositoryForge(deps: RepositoryDeps): RepositoryForge {
  const { git, repositories, directory } = deps;

  const commitOf = async (repository: string, project: ProjectId, name: string | undefined): Promise<Oid> => {
    const wanted = name ?? (await directory.project(null, project))?.defaultBranch ?? 'main';
    const found = await resolveCommit(git, repository, wanted);
    if (found === undefined) throw new JobpassError('not_found', { what: 'Commit' });
    return found.oid;
  };
  const listRefs = async (repository: string, prefix: 'refs/heads' | 'refs/tags', search: string | undefined): Promise<string[]> => {
    const { output } = await git.run(repository, ['for-each-ref', '--format=%(refname)', prefix], { maxBytes: 32 * 1024 * 1024 });
    const names = output
      .toString('utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.slice(prefix.length + 1));
    return search === undefined ? names : names.filter((name) => name.toLowerCase().includes(search.toLowerCase()));
  };
  const branchOf = async (
    repository: string,
    name: string,
    rules: readonly ProtectedRef[],
    defaultBranch: string,
  ): Promise<Branch | undefined> => {
    const oid = await revParse(git, repository, `${branchRef(name)}^{commit}`);
    if (oid === undefined) return undefined;
    const base = name === defaultBranch ? undefined : await revParse(git, repository, `refs/heads/${defaultBranch}^{commit}`);
    const merged =
      base !== undefined && (await git.run(repository, ['merge-base', '--is-ancestor', oid, base], { codes: [0, 1, 128] })).code === 0;
    return {
      name,
      commit: await readCommit(git, repository, oid),
      protected: isProtected(rules, 'branch', name),
      default: name === defaultBranch,
      merged,
    };
  };
  const tagOf = async (repository: string, name: string, rules: readonly ProtectedRef[]): Promise<Tag | undefined> => {
    const target = await revParse(git, repository, tagRef(name));
    const commit = await revParse(git, repository, `${tagRef(name)}^{commit}`);
    if (target === undefined || commit === undefined) return undefined;
    let message = '';
    if (target !== commit) {
      const { output } = await git.run(repository, ['cat-file', 'tag', target], { maxBytes: 1024 * 1024 });
      message = output.toString('utf8').split('\n\n').slice(1).join('\n\n').replace(/\n$/, '');
    }
    return { name, message, target, commit: await readCommit(git, repository, commit), protected: isProtected(rules, 'tag', name) };
  };

  return {
    async resolve(grant, project, name) {
      requireAny(grant, project);
      return resolveCommit(git, await repositories.existing(project), name);
    },
    async tree(grant, project, query, page) {
      requireAny(grant, project, ['repository:read']);
      const repository = await repositories.existing(project);
      const path = readablePath(query.path ?? '');
      if (path === undefined) throw new JobpassError('not_found', { what: 'Tree' });
      const commit = await commitOf(repository, project, query.ref).catch(() => {
        throw new JobpassError('not_found', { what: 'Tree' });
      });
      const { code, output } = await git.run(
        repository,
        ['ls-tree', '-z', ...(query.recursive ? ['-r', '-t'] : []), path === '' ? commit : `${commit}:${path}`],
        { codes: [0, 128], maxBytes: 64 * 1024 * 1024 },
      );
      if (code !== 0) throw new JobpassError('not_found', { what: 'Tree' });
      return slice(
        output
          .toString('utf8')
          .split('\0')
          .flatMap((line) => treeEntry(line, path)),
        page,
      );
    },
    async file(grant, project, path, ref) {
      requireAny(grant, project);
      const repository = await repositories.existing(project);
      const commitId = await commitOf(repository, project, ref);
      const clean = readablePath(path);
      const entry = clean === undefined ? undefined : await entryAt(git, repository, commitId, clean);
      if (clean === undefined || entry?.type !== 'blob') throw new JobpassError('not_found', { what: 'File' });
      const [last] = await readCommits(git, repository, ['-1', commitId, '--', `:(literal)${clean}`]);
      const { sha256, sizeBytes } = await blobDigest(git, repository, entry.oid);
      return {
        path: clean,
        blobId: entry.oid,
        commitId,
        lastCommitId: last?.id ?? commitId,
        sizeBytes,
        executable: entry.mode === '100755',
        sha256,
      };
    },
    async blob(grant, project, blobId) {
      requireAny(grant, project);
      const repository = await repositories.existing(project);
      const { output } = await git.run(repository, ['cat-file', '-s', blobId], { codes: [0] });
      const started = git.start(repository, ['cat-file', 'blob', blobId], { signal: grant.signal });
      started.input.end();
      return { sizeBytes: Number(output.toString('utf8').trim()), body: started.output };
    },
    async textFile(grant, project, sha, path, maxBytes) {
      requireAny(grant, project);
      const repository = await repositories.existing(project);
      const entry = await entryAt(git, repository, sha, path);
      if (entry === undefined || entry.type !== 'blob' || entry.mode === '120000') return undefined;
      return (await git.run(repository, ['cat-file', 'blob', entry.oid], { maxBytes })).output.toString('utf8');
    },
    async branches(grant, project, search, page) {
      requireAny(grant, project, ['branch:read']);
      const repository = await repositories.existing(project);
      const names = slice(await listRefs(repository, 'refs/heads', search), page);
      const rules = await directory.protectedRefs(null, project);
      const defaultBranch = (await directory.project(null, project))?.defaultBranch ?? '';
      const rows = await Promise.all(names.rows.map((name) => branchOf(repository, name, rules, defaultBranch)));
      return { rows: rows.flatMap((row) => row ?? []), total: names.total };
    },
    async branch(grant, project, name) {
      requireAny(grant, project);
      const repository = await repositories.existing(project);
      return branchOf(
        repository,
        name,
        await directory.protectedRefs(null, project),
        (await directory.project(null, project))?.defaultBranch ?? '',
      );
    },
    async createBranch(grant, project, name, from, decide) {
      requireAny(grant, project, ['branch:write']);
      const repository = await repositories.existing(project);
      const ref = branchRef(name);
      const start = await resolveCommit(git, repository, from);
      if (start === undefined) throw new JobpassError('invalid_input', 'Invalid reference name');
      if ((await revParse(git, repository, ref)) !== undefined) throw new JobpassError('invalid_input', 'Branch already exists');
      await withScratch(deps, repository, (scratch) =>
        moveRef(deps, grant, project, repository, scratch, { ref, oldOid: zeroOid, newOid: start.oid }, decide),
      );
      const branch = await branchOf(repository, name, await directory.protectedRefs(null, project), '');
      if (branch === undefined) throw new JobpassError('not_found', { what: 'Branch' });
      return branch;
    },
    async deleteBranch(grant, project, name, decide) {
      requireAny(grant, project, ['branch:write']);
      const repository = await repositories.existing(project);
      const ref = branchRef(name);
      const oldOid = await revParse(git, repository, ref);
      if (oldOid === undefined) throw new JobpassError('not_found', { what: 'Branch' });
      await withScratch(deps, repository, (scratch) =>
        moveRef(deps, grant, project, repository, scratch, { ref, oldOid, newOid: zeroOid }, decide),
      );
    },
    async tags(grant, project, search, page) {
      requireAny(grant, project, ['tag:read']);
      const repository = await repositories.existing(project);
      const names = slice((await listRefs(repository, 'refs/tags', search)).toReversed(), page);
      const rules = await directory.protectedRefs(null, project);
      const rows = await Promise.all(names.rows.map((name) => tagOf(repository, name, rules)));
      return { rows: rows.flatMap((row) => row ?? []), total: names.total };
    },
    async tag(grant, project, name) {
      requireAny(grant, project);
      return tagOf(await repositories.existing(project), name, await directory.protectedRefs(null, project));
    },
    async createTag(grant, project, name, from, message, tagger, decide) {
      requireAny(grant, project, ['tag:write']);
      const repository = await repositories.existing(project);
      const ref = tagRef(name);
      const target = await resolveCommit(git, repository, from);
      if (target === undefined) throw new JobpassError('invalid_input', `Target ${from} is invalid`);
      if ((await revParse(git, repository, ref)) !== undefined) throw new JobpassError('invalid_input', `Tag ${name} already exists`);
      await withScratch(deps, repository, async (scratch) => {
        const newOid =
          message === undefined || message === ''
            ? target.oid
            : await buildTag(deps, scratch, name, target.oid, message, tagger, Math.floor(deps.clock.now() / 1000));
        await moveRef(deps, grant, project, repository, scratch, { ref, oldOid: zeroOid, newOid }, decide);
      });
      const tag = await tagOf(repository, name, await directory.protectedRefs(null, project));
      if (tag === undefined) throw new JobpassError('not_found', { what: 'Tag' });
      return tag;
    },
    async deleteTag(grant, project, name, decide) {
      requireAny(grant, project, ['tag:write']);
      const repository = await repositories.existing(project);
      const ref = tagRef(name);
      const oldOid = await revParse(git, repository, ref);
      if (oldOid === undefined) throw new JobpassError('not_found', { what: 'Tag' });
      await withScratch(deps, repository, (scratch) =>
        moveRef(deps, grant, project, repository, scratch, { ref, oldOid, newOid: zeroOid }, decide),
      );
    },
    async commits(grant, project, query, page) {
      requireAny(grant, project, ['commit:read']);
      const repository = await repositories.existing(project);
      const commit = await commitOf(repository, project, query.ref);
      const path = query.path === undefined || query.path === '' ? [] : ['--', `:(literal)${query.path}`];
      const rows = await readCommits(git, repository, [
        `--skip=${(page.page - 1) * page.perPage}`,
        `--max-count=${page.perPage}`,
        commit,
        ...path,
      ]);
      const counted = await git.run(repository, ['rev-list', '--count', commit, ...path]);
      return { rows, total: Number(counted.output.toString('utf8').trim()) };
    },
    async commit(grant, project, name): Promise<Commit | undefined> {
      requireAny(grant, project);
      const repository = await repositories.existing(project);
      const found = await resolveCommit(git, repository, name);
      return found === undefined ? undefined : readCommit(git, repository, found.oid);
    },
    async createCommit(grant, project, request, decide) {
      requireAny(grant, project, ['commit:create', 'repository:write', 'project:create']);
      const repository = await repositories.existing(project);
      const ref = branchRef(request.branch);
      const tip = await revParse(git, repository, `${ref}^{commit}`);
      if (tip !== undefined && request.startRef !== undefined && request.startRef !== request.branch)
        throw new JobpassError(
          'invalid_input',
          `A branch called '${request.branch}' already exists. Switch to that branch in order to make changes`,
        );
      const parent = tip ?? (await startOf(repository, request.startRef));
      return withScratch(deps, repository, async (scratch) => {
        const newOid = await buildCommit(deps, scratch, parent, request);
        const commit = await readCommit(git, scratch, newOid);
        await moveRef(deps, grant, project, repository, scratch, { ref, oldOid: tip ?? zeroOid, newOid }, decide);
        deps.onPushed(repository);
        return commit;
      });
    },
    async unprotectedCommits(grant, project, sha, limit) {
      requireAny(grant, project);
      const repository = await repositories.existing(project);
      const rules = await directory.protectedRefs(null, project);
      const names = [
        ...(await listRefs(repository, 'refs/heads', undefined)).filter((name) => isProtected(rules, 'branch', name)).map(branchRef),
        ...(await listRefs(repository, 'refs/tags', undefined)).filter((name) => isProtected(rules, 'tag', name)).map(tagRef),
      ];
      const { output } = await git.run(repository, ['rev-list', `--max-count=${limit + 1}`, '--stdin'], {
        stdin: `${sha}\n--not\n${names.join('\n')}\n`,
      });
      const commits = output
        .toString('utf8')
        .split('\n')
        .flatMap((line) => parseOid(line) ?? []);
      return commits.length > limit ? null : commits;
    },
  };

  async function startOf(repository: string, startRef: string | undefined): Promise<Oid | undefined> {
    if (startRef !== undefined) {
      const start = await resolveCommit(git, repository, startRef);
      if (start === undefined) throw new JobpassError('invalid_input', 'You can only create or edit files when you are on a branch');
      return start.oid;
    }
    // The very first commit may make its branch; later a new branch needs to be told where it starts.
    if ((await listRefs(repository, 'refs/heads', undefined)).length > 0)
      throw new JobpassError('invalid_input', 'You can only create or edit files when you are on a branch');
    return undefined;
  }
}

function slice<Row>(rows: readonly Row[], page: Page): Paged<Row> {
  return { rows: rows.slice((page.page - 1) * page.perPage, page.page * page.perPage), total: rows.length };
}

function treeEntry(line: string, folder: string): TreeEntry[] {
  const match = /^(\d{6}) (tree|blob|commit) ([0-9a-f]+)\t(.*)$/s.exec(line);
  const id = parseOid(match?.[3] ?? '');
  if (match === null || id === undefined) return [];
  const inner = match[4] ?? '';
  const type = match[2] === 'tree' ? 'tree' : match[2] === 'commit' ? 'commit' : 'blob';
  return [{ id, name: inner.split('/').at(-1) ?? inner, type, path: folder === '' ? inner : `${folder}/${inner}`, mode: match[1] ?? '' }];
}
