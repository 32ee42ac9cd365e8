import { JobpassError } from '../../base/errors.ts';
import type { UserId } from '../../base/ids.ts';
import type { Commit, User } from '../../forge/forge.ts';
import type { Grant } from '../../pass/grant.ts';
import type { UserFacts } from '../../ports/directory.ts';
import type { JobRecord } from '../../ports/jobs.ts';
import { job, type pipeline, pipelineFull } from './present.ts';
import type { ApiDeps, Call } from './route.ts';

export type Presenter = ReturnType<typeof presenter>;

/** Jobs and pipelines as answers show them, with the people and commits that belong to them. */
export function presenter(deps: ApiDeps) {
  const base = deps.externalUrl;
  const web = (call: Call): string => `${base}/${call.project.path}`;
  /** All of them at once. @returns one that is gone as GitLab's ghost */
  const users = async (ids: readonly UserId[]): Promise<(id: UserId) => User> => {
    const known = await deps.directory.users(null, [...new Set(ids)]);
    return (id) => shownUser(id, known.get(id));
  };
  const userOf = async (id: UserId): Promise<User> => (await users([id]))(id);
  const shownUser = (id: UserId, facts: UserFacts | undefined): User => {
    return {
      id,
      username: facts?.username ?? 'ghost',
      name: facts?.name ?? 'Ghost User',
      email: '',
      state: facts?.state ?? 'blocked',
      isAdmin: false,
      namespaceId: 0 as User['namespaceId'],
      createdAt: 0 as User['createdAt'],
    };
  };
  /** @param commits read already for this answer: reading one starts git, and the jobs of a pipeline share theirs */
  const shown = async (grant: Grant, address: string, one: JobRecord, commits = new Map<string, Promise<Commit | undefined>>()) => {
    const line = await deps.jobs.pipelines.one(grant, one.projectId, one.pipelineId);
    const readsCode = grant.accesses.some(
      (access) => access.permission === 'job:read' || access.permission === 'job:run' || access.permission === 'job:update',
    );
    const key = `${one.projectId} ${one.sha}`;
    const reading = !readsCode
      ? undefined
      : (commits.get(key) ?? deps.forge.repository.commit(grant, one.projectId, one.sha).catch(() => undefined));
    if (reading !== undefined) commits.set(key, reading);
    const commit = await reading;
    return job(base, address, one, { user: await userOf(one.userId), pipeline: line ?? gone(), commit });
  };
  return {
    web,
    users,
    pipeline: async (call: Call, one: Parameters<typeof pipeline>[1]) =>
      pipelineFull(base, web(call), one, await userOf(one.userId), await deps.jobs.pipelines.coverage(one)),
    job: (call: Call, one: JobRecord) => shown(call.grant, web(call), one),
    ownJob: (grant: Grant, address: string, one: JobRecord) => shown(grant, address, one),
    jobs: async (call: Call, rows: readonly JobRecord[]) => {
      const bodies: object[] = [];
      const commits = new Map<string, Promise<Commit | undefined>>();
      for (const row of rows) bodies.push(await shown(call.grant, web(call), row, commits));
      return bodies;
    },
  };
}

function gone(): never {
  throw new JobpassError('not_found', {});
}
