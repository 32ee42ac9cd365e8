import { JobpassError } from '../../../base/errors.ts';
import { type Oid, zeroOid } from '../../../base/ids.ts';
import { present } from '../../../base/assert.ts';
import type { RepositoryForge } from '../../repository.ts';
import { listNames, readRefs } from '../git/refs.ts';
import type { ReadDeps } from './content.ts';
import { requireAny } from './grants.ts';
import { branchRef, tagRef } from './names.ts';
import { readCommit, resolveCommit } from './reads.ts';
import type { RefReads } from './refs.ts';
import { buildCommit, buildTag, moveRef, nothing, type WriteDeps } from './writes.ts';

type Deps = ReadDeps & WriteDeps;

/** Makes and deletes branches and tags. */
export function refWrites(deps: Deps, reads: RefReads): Pick<RepositoryForge, 'createBranch' | 'deleteBranch' | 'createTag' | 'deleteTag'> {
  const { git, repositories } = deps;
  return {
    async createBranch(grant, project, name, from, decide) {
      requireAny(grant, project, ['branch:write']);
      const repository = await repositories.existing(project);
      const ref = branchRef(name);
      const start = await resolveCommit(git, repository, from);
      if (start === undefined) throw new JobpassError('invalid_input', 'Invalid reference name');
      if ((await readRefs(git, repository, [ref])).has(ref)) throw new JobpassError('invalid_input', 'Branch already exists');
      const change = { ref, oldOid: zeroOid, newOid: start.oid };
      await moveRef(deps, grant, project, repository, change, nothing, decide);
      return present((await reads.branches(project, [name]))[0], 'the new branch');
    },
    async deleteBranch(grant, project, name, decide) {
      requireAny(grant, project, ['branch:write']);
      const repository = await repositories.existing(project);
      const ref = branchRef(name);
      const tip = (await readRefs(git, repository, [ref])).get(ref);
      if (tip === undefined) throw new JobpassError('not_found', { what: 'Branch' });
      const change = { ref, oldOid: tip.target, newOid: zeroOid };
      await moveRef(deps, grant, project, repository, change, nothing, decide);
    },
    async createTag(grant, project, name, from, message, tagger, decide) {
      // A job's own token makes the tag of its release (GitLab), which is asked as `release:write`; whether it may is the ref's rule, as for anybody.
      requireAny(grant, project, grant.identity.kind === 'job' ? ['tag:write', 'release:write'] : ['tag:write']);
      const repository = await repositories.existing(project);
      const ref = tagRef(name);
      const target = await resolveCommit(git, repository, from);
      if (target === undefined) throw new JobpassError('invalid_input', `Target ${from} is invalid`);
      if ((await readRefs(git, repository, [ref])).has(ref)) throw new JobpassError('invalid_input', `Tag ${name} already exists`);
      const annotated = message !== undefined && message !== '';
      const made = annotated
        ? await buildTag(name, target.oid, message, tagger, Math.floor(deps.clock.now() / 1000))
        : { oid: target.oid, pack: nothing };
      await moveRef(deps, grant, project, repository, { ref, oldOid: zeroOid, newOid: made.oid }, made.pack, decide);
      return present((await reads.tags(project, [name]))[0], 'the new tag');
    },
    async deleteTag(grant, project, name, decide) {
      requireAny(grant, project, ['tag:write']);
      const repository = await repositories.existing(project);
      const ref = tagRef(name);
      const tip = (await readRefs(git, repository, [ref])).get(ref);
      if (tip === undefined) throw new JobpassError('not_found', { what: 'Tag' });
      const change = { ref, oldOid: tip.target, newOid: zeroOid };
      await moveRef(deps, grant, project, repository, change, nothing, decide);
    },
  };
}

const noBranch = 'You can only create or edit files when you are on a branch';

/** Makes commits. */
export function commitWrites(deps: Deps): Pick<RepositoryForge, 'createCommit'> {
  const { git, repositories } = deps;

  /** Where a branch that is not there yet starts; undefined for the very first commit. */
  const startOf = async (repository: string, startRef: string | undefined): Promise<Oid | undefined> => {
    const start = startRef === undefined ? undefined : await resolveCommit(git, repository, startRef);
    if (start !== undefined) return start.oid;
    if (startRef !== undefined || (await listNames(git, repository, 'refs/heads')).length > 0)
      throw new JobpassError('invalid_input', noBranch);
    return undefined;
  };

  return {
    async createCommit(grant, project, request, decide) {
      requireAny(grant, project, ['commit:create', 'repository:write', 'project:create']);
      const repository = await repositories.existing(project);
      const { branch, startRef } = request;
      const ref = branchRef(branch);
      const tip = (await readRefs(git, repository, [ref])).get(ref)?.target;
      if (tip !== undefined && startRef !== undefined && startRef !== branch)
        throw new JobpassError(
          'invalid_input',
          `A branch called '${branch}' already exists. Switch to that branch in order to make changes`,
        );
      const parent = tip ?? (await startOf(repository, startRef));
      const { oid, pack } = await buildCommit(deps, repository, parent, request);
      await moveRef(deps, grant, project, repository, { ref, oldOid: tip ?? zeroOid, newOid: oid }, pack, decide);
      return readCommit(git, repository, oid);
    },
  };
}
