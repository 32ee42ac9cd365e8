import { millis, type ProjectId } from '../../../src/base/ids.ts';
import { type Params, pushImage, type Target, type World } from '../world.ts';
import type { Person } from '../oracle.ts';
import type { Sample, Samples } from '../sample.ts';

const P = '/api/v4/projects/:id';
const G = '/api/v4/groups/:id';
const chain = {
  status: 403,
  why: 'no job is started by a job: `jobpass_chain_depth` is 0 by default, and jobs are never retried or played by a pass (R5)',
};

/** A project that the call may break, with the same roles, visibility and state as the target. */
async function project({ server, next }: World, target: Target, person: Person): Promise<Params> {
  const name = `fresh-${next()}`;
  const { visibility, archived } = target.project;
  const { id } = await server.must('POST', '/api/v4/projects', { name, path: name, namespace_id: target.groupId, visibility });
  if (target.direct && person.role > 0)
    await server.must('POST', `/api/v4/projects/${String(id)}/members`, { user_id: person.id, access_level: person.role });
  if (archived) await server.must('POST', `/api/v4/projects/${String(id)}/archive`);
  return { id: String(id) };
}
async function user({ server, next }: World): Promise<Params> {
  const username = `fresh-${next()}`;
  const { id } = await server.must('POST', '/api/v4/users', { username, name: username, email: `${username}@example.com` });
  return { user: String(id) };
}
const member =
  (kind: 'projects' | 'groups') =>
  async (world: World, target: Target): Promise<Params> => {
    const { user: id = '' } = await user(world);
    const where = kind === 'projects' ? target.id : target.groupId;
    await world.server.must('POST', `/api/v4/${kind}/${where}/members`, { user_id: Number(id), access_level: 10 });
    return { user_id: id };
  };
const branch = async ({ server, next }: World, target: Target): Promise<Params> => {
  const name = `fresh-${next()}`;
  await server.must('POST', `/api/v4/projects/${target.id}/repository/branches`, { branch: name, ref: 'main' });
  return { branch: name };
};
const tag = async ({ server, next }: World, target: Target): Promise<Params> => {
  const name = `fresh-${next()}`;
  await server.must('POST', `/api/v4/projects/${target.id}/repository/tags`, { tag_name: name, ref: 'main' });
  return { tag_name: name };
};
const release = async ({ server, next }: World, target: Target): Promise<Params> => {
  const name = `fresh-${next()}`;
  const links = [{ name: 'one', url: 'https://example.com/one' }];
  const made = await server.must('POST', `/api/v4/projects/${target.id}/releases`, { tag_name: name, ref: 'main', assets: { links } });
  return { tag_name: name, link_id: String((made['assets'] as { links: { id: number }[] }).links[0]?.id) };
};
const image = async ({ server, next }: World, target: Target): Promise<Params> => ({
  repository_id: await pushImage(server, target.id, target.path, `fresh-${next()}`),
});
const pipeline = async ({ server }: World, target: Target): Promise<Params> => {
  const root = `/api/v4/projects/${target.id}`;
  const { id } = await server.must('POST', `${root}/pipeline`, { ref: 'work' });
  const { list } = await server.call('GET', `${root}/pipelines/${String(id)}/jobs`, { token: server.root });
  const named = (name: string): string => String(list.find((job) => job['name'] === name)?.['id']);
  return { pipeline_id: String(id), job_id: named('job'), manual_id: named('later') };
};
/** One that is stopped, so that it can be deleted. */
const environment = async ({ server, next }: World, target: Target): Promise<Params> => {
  const name = `fresh-${next()}`;
  const place = { projectId: target.id as ProjectId, name, slug: name, tier: 'other', createdAt: millis(1) } as const;
  const made = await server.store.transactor.write(async (tx) => {
    const id = await server.store.environments.ensure(tx, place, false);
    await server.store.environments.change(tx, id, { state: 'stopped' });
    return id;
  });
  return { environment_id: String(made) };
};
const canceled = async (world: World, target: Target): Promise<Params> => {
  const made = await pipeline(world, target);
  await world.server.must('POST', `/api/v4/projects/${target.id}/pipelines/${made['pipeline_id'] ?? ''}/cancel`);
  return made;
};
const manual = async (world: World, target: Target): Promise<Params> => {
  const made = await pipeline(world, target);
  return { ...made, job_id: made['manual_id'] ?? '' };
};
const nightly = { description: 'nightly', ref: 'work', cron: '0 4 1 1 *' };
/** The caller's own: of somebody else's only a maintainer may take care. */
const schedule = async ({ server }: World, target: Target, person: Person): Promise<Params> => {
  const root = `/api/v4/projects/${target.id}/pipeline_schedules`;
  const { id } = await server.must('POST', root, nightly, person.token);
  await server.must('POST', `${root}/${String(id)}/variables`, { key: 'ONE', value: 'x' }, person.token);
  return { schedule_id: String(id) };
};
const variable =
  (root: (target: Target) => string) =>
  async ({ server, next }: World, target: Target): Promise<Params> => {
    const key = `FRESH_${next()}`;
    await server.must('POST', root(target), { key, value: 'x' });
    return { key };
  };
const projectVariable = variable(({ id }) => `/api/v4/projects/${id}/variables`);
const groupVariable = variable(({ groupId }) => `/api/v4/groups/${groupId}/variables`);
const instanceVariable = variable(() => '/api/v4/admin/ci/variables');
const trigger = async ({ server }: World, target: Target, person: Person): Promise<Params> => {
  const { id } = await server.must('POST', `/api/v4/projects/${target.id}/triggers`, { description: 'bot' }, person.token);
  return { trigger_id: String(id) };
};
/** A branch with one commit more than `main`. */
const ahead = async (world: World, target: Target): Promise<Params> => {
  const made = await branch(world, target);
  await world.server.commit(target.id, 'ahead.txt', 'x', { branch: made['branch'] ?? '' });
  return made;
};
const request = async (world: World, target: Target): Promise<Params> => {
  const [from, into] = [await ahead(world, target), await branch(world, target)];
  const branches = { source_branch: from['branch'], target_branch: into['branch'] };
  const { iid } = await world.server.must('POST', `/api/v4/projects/${target.id}/merge_requests`, { ...branches, title: 'fresh' });
  return { iid: String(iid) };
};
/** By the caller: a note is its writer's. */
const noted = async (world: World, target: Target, _person: Person, headers: Readonly<Record<string, string>>): Promise<Params> => {
  const { iid = '' } = await request(world, target);
  const reply = await world.server.call('POST', `/api/v4/projects/${target.id}/merge_requests/${iid}/notes`, {
    headers,
    body: { body: 'fresh' },
  });
  return { iid, note_id: String(reply.body['id']) };
};
const packaged = async ({ server, next }: World, target: Target): Promise<Params> => {
  const root = `/api/v4/projects/${target.id}/packages`;
  const version = String(next());
  await server.call('PUT', `${root}/generic/fresh/${version}/x`, { headers: { 'private-token': server.root }, raw: 'x' });
  const { list } = await server.call('GET', `${root}?package_name=fresh&per_page=100`, { token: server.root });
  return { package_id: String(list.find((one) => one['version'] === version)?.['id']) };
};
const protection =
  (kind: 'branches' | 'tags') =>
  async ({ server, next }: World, target: Target): Promise<Params> => {
    const name = `fresh-${next()}`;
    await server.must('POST', `/api/v4/projects/${target.id}/protected_${kind}`, { name });
    return { name };
  };
const token = async (world: World, _target: Target, person: Person): Promise<Params> => {
  const { id } = await world.server.must('POST', `/api/v4/users/${person.id}/personal_access_tokens`, { name: 'walk', scopes: ['api'] });
  return { id: String(id) };
};
const impersonation = async (world: World): Promise<Params> => {
  const { id = '' } = await someUser(world);
  const made = await world.server.must('POST', `/api/v4/users/${id}/impersonation_tokens`, { name: 'walk', scopes: ['api'] });
  return { id, token_id: String(made['id']) };
};
const someUser = async (world: World): Promise<Params> => ({ id: (await user(world))['user'] ?? '' });
const runner = async (world: World): Promise<Params> => ({ id: String((await world.server.runner({ tags: ['never'] })).id) });

const file = (action: 'create' | 'update') => (params: Params) => ({
  branch: `fresh-${params['n'] ?? ''}`,
  start_branch: 'main',
  commit_message: action,
  content: 'x',
});
const name = (params: Params): string => `fresh-${params['n'] ?? ''}`;
const patScopes = { name: 'walk', scopes: ['api'] };

/** Rows that change something: each call that is going to be allowed gets a target of its own. */
export const writes: Samples = {
  'POST /api/v4/users': { body: (p) => ({ username: name(p), name: name(p), email: `${name(p)}@example.com` }) },
  'POST /api/v4/users/:id/block': { fresh: someUser },
  'POST /api/v4/users/:id/unblock': { fresh: someUser },
  'POST /api/v4/users/:id/personal_access_tokens': { fresh: someUser, body: () => patScopes },
  'POST /api/v4/users/:id/impersonation_tokens': { fresh: someUser, body: () => patScopes },
  'DELETE /api/v4/users/:id/impersonation_tokens/:token_id': { ok: 204, fresh: impersonation, params: { token_id: '1' } },
  'POST /api/v4/user/personal_access_tokens': { body: () => patScopes },
  'DELETE /api/v4/personal_access_tokens/self': {
    ok: 204,
    // With a token that only this call holds.
    fresh: async ({ server }, _target, person) => {
      const made = await server.must('POST', `/api/v4/users/${person.id}/personal_access_tokens`, patScopes);
      return { 'private-token': String(made['token']) };
    },
  },
  'DELETE /api/v4/personal_access_tokens/:id': { ok: 204, fresh: token, params: { id: '1' } },

  'POST /api/v4/groups': { asks: ['subgroup:create'], body: (p) => ({ name: name(p), path: name(p), parent_id: Number(p['group']) }) },
  [`POST ${G}/members`]: { fresh: user, body: (p) => ({ user_id: Number(p['user'] ?? p['user_id']), access_level: 10 }) },
  [`PUT ${G}/members/:user_id`]: { fresh: member('groups'), body: () => ({ access_level: 15 }) },
  [`DELETE ${G}/members/:user_id`]: { ok: 204, fresh: member('groups') },

  'POST /api/v4/projects': { asks: ['project:create'], body: (p) => ({ name: name(p), namespace_id: Number(p['group']) }) },
  [`PUT ${P}`]: { body: () => ({ description: 'walked' }) },
  [`DELETE ${P}`]: { ok: 202, fresh: project },
  [`POST ${P}/fork`]: { asks: ['project:fork', 'project:create'], body: (p) => ({ path: name(p), namespace_id: Number(p['group']) }) },
  [`POST ${P}/archive`]: { fresh: project },
  [`POST ${P}/unarchive`]: { fresh: project },
  [`POST ${P}/members`]: { fresh: user, body: (p) => ({ user_id: Number(p['user'] ?? p['user_id']), access_level: 10 }) },
  [`PUT ${P}/members/:user_id`]: { fresh: member('projects'), body: () => ({ access_level: 15 }) },
  [`DELETE ${P}/members/:user_id`]: { ok: 204, fresh: member('projects') },
  [`POST ${P}/protected_branches`]: { body: (p) => ({ name: name(p) }) },
  [`DELETE ${P}/protected_branches/:name`]: { ok: 204, fresh: protection('branches') },
  [`POST ${P}/protected_tags`]: { body: (p) => ({ name: name(p) }) },
  [`DELETE ${P}/protected_tags/:name`]: { ok: 204, fresh: protection('tags') },

  [`POST ${P}/repository/files/:file_path`]: { params: { file_path: 'new.txt' }, body: file('create') },
  [`PUT ${P}/repository/files/:file_path`]: { body: file('update') },
  [`DELETE ${P}/repository/files/:file_path`]: { ok: 204, body: file('update') },
  [`POST ${P}/repository/branches`]: { body: (p) => ({ branch: name(p), ref: 'main' }) },
  [`DELETE ${P}/repository/branches/:branch`]: { ok: 204, fresh: branch },
  [`POST ${P}/repository/tags`]: { body: (p) => ({ tag_name: name(p), ref: 'main' }) },
  [`DELETE ${P}/repository/tags/:tag_name`]: { ok: 204, fresh: tag },
  [`POST ${P}/statuses/:sha`]: { body: () => ({ state: 'success', name: 'walk', ref: 'work' }) },
  [`POST ${P}/repository/commits`]: {
    body: (p) => ({
      branch: name(p),
      start_branch: 'main',
      commit_message: 'walk',
      actions: [{ action: 'create', file_path: 'new.txt', content: 'x' }],
    }),
  },

  [`POST ${P}/releases`]: {
    asks: ['release:write', 'tag:write'],
    jobAsks: ['release:write'],
    body: (p) => ({ tag_name: name(p), ref: 'main' }),
  },
  [`PUT ${P}/releases/:tag_name`]: { fresh: release, body: () => ({ name: 'walked' }) },
  [`DELETE ${P}/releases/:tag_name`]: { fresh: release },
  [`POST ${P}/releases/:tag_name/assets/links`]: { body: (p) => ({ name: name(p), url: `https://example.com/${name(p)}` }) },
  [`PUT ${P}/releases/:tag_name/assets/links/:link_id`]: { fresh: release, body: () => ({ name: 'walked' }) },
  [`DELETE ${P}/releases/:tag_name/assets/links/:link_id`]: { fresh: release },

  [`POST ${P}/ci/lint`]: { ok: 200, body: () => ({ content: 'a: {script: x}' }) },
  [`POST ${P}/pipeline`]: { body: () => ({ ref: 'work' }), pass: chain },
  [`DELETE ${P}/registry/repositories/:repository_id`]: { ok: 202, fresh: image },
  [`DELETE ${P}/registry/repositories/:repository_id/tags/:tag_name`]: { fresh: image },
  [`POST ${P}/pipelines/:pipeline_id/cancel`]: { ok: 200, fresh: pipeline },
  [`POST ${P}/pipelines/:pipeline_id/retry`]: { fresh: canceled, pass: chain },
  [`POST ${P}/environments/:environment_id/stop`]: { ok: 200, fresh: environment },
  [`DELETE ${P}/environments/:environment_id`]: { ok: 204, fresh: environment },
  [`DELETE ${P}/pipelines/:pipeline_id`]: { ok: 204, fresh: canceled },
  [`PUT ${P}/pipelines/:pipeline_id/metadata`]: { fresh: pipeline, body: () => ({ name: 'walked' }) },
  [`PUT ${P}/resource_groups/:key`]: { body: () => ({ process_mode: 'unordered' }) },
  [`POST ${P}/jobs/:job_id/erase`]: { fresh: canceled },
  [`POST ${P}/jobs/:job_id/cancel`]: { fresh: pipeline },
  [`POST ${P}/jobs/:job_id/retry`]: { fresh: canceled, pass: chain },
  [`POST ${P}/jobs/:job_id/play`]: { ok: 200, fresh: manual, pass: chain },

  [`POST ${P}/pipeline_schedules`]: { body: () => nightly },
  [`PUT ${P}/pipeline_schedules/:schedule_id`]: { fresh: schedule, body: () => ({ description: 'walked' }) },
  [`DELETE ${P}/pipeline_schedules/:schedule_id`]: { ok: 204, fresh: schedule },
  [`POST ${P}/pipeline_schedules/:schedule_id/play`]: { fresh: schedule },
  [`POST ${P}/pipeline_schedules/:schedule_id/take_ownership`]: { fresh: schedule },
  [`POST ${P}/pipeline_schedules/:schedule_id/variables`]: { fresh: schedule, body: () => ({ key: 'MORE', value: 'x' }) },
  [`PUT ${P}/pipeline_schedules/:schedule_id/variables/:key`]: { fresh: schedule, params: { key: 'ONE' }, body: () => ({ value: 'x' }) },
  [`DELETE ${P}/pipeline_schedules/:schedule_id/variables/:key`]: { ok: 202, fresh: schedule, params: { key: 'ONE' } },

  [`POST ${P}/variables`]: { body: (p) => ({ key: `FRESH_${p['n'] ?? ''}`, value: 'x' }) },
  [`PUT ${P}/variables/:key`]: { fresh: projectVariable, body: () => ({ value: 'walked' }) },
  [`DELETE ${P}/variables/:key`]: { ok: 204, fresh: projectVariable },
  [`POST ${G}/variables`]: { body: (p) => ({ key: `FRESH_${p['n'] ?? ''}`, value: 'x' }) },
  [`PUT ${G}/variables/:key`]: { fresh: groupVariable, body: () => ({ value: 'walked' }) },
  [`DELETE ${G}/variables/:key`]: { ok: 204, fresh: groupVariable },
  'POST /api/v4/admin/ci/variables': { body: (p) => ({ key: `FRESH_${p['n'] ?? ''}`, value: 'x' }) },
  'PUT /api/v4/admin/ci/variables/:key': { fresh: instanceVariable, body: () => ({ value: 'walked' }) },
  'DELETE /api/v4/admin/ci/variables/:key': { ok: 204, fresh: instanceVariable },
  [`POST ${P}/triggers`]: { body: () => ({ description: 'walked' }) },
  [`PUT ${P}/triggers/:trigger_id`]: { fresh: trigger, body: () => ({ description: 'walked' }) },
  [`DELETE ${P}/triggers/:trigger_id`]: { ok: 204, fresh: trigger },
  // What a trigger token does is test/jobs/triggers.test.ts; a personal token has POST …/pipeline for it.
  [`POST ${P}/trigger/pipeline`]: { ok: 400, body: () => ({ ref: 'work' }), pass: chain },
  [`POST ${P}/ref/:ref/trigger/pipeline`]: { ok: 400, params: { ref: 'work' }, pass: chain },

  [`PUT ${P}/packages/generic/:package_name/:package_version/*`]: { ok: 201, params: { '*': 'walked' } },
  // A body that is not multipart is refused after the caller was let in.
  [`POST ${P}/uploads`]: { ok: 400 },
  [`DELETE ${P}/packages/:package_id`]: { ok: 204, fresh: packaged },
  [`POST ${P}/merge_requests`]: { fresh: ahead, body: (p) => ({ source_branch: p['branch'], target_branch: 'main', title: 'walked' }) },
  [`PUT ${P}/merge_requests/:iid`]: { fresh: request, body: () => ({ title: 'walked' }) },
  // Into a branch of its own: `main` is for maintainers.
  [`PUT ${P}/merge_requests/:iid/merge`]: { fresh: request },
  [`POST ${P}/merge_requests/:iid/notes`]: { fresh: request, body: () => ({ body: 'walked' }) },
  [`PUT ${P}/merge_requests/:iid/notes/:note_id`]: { fresh: noted, body: () => ({ body: 'walked' }) },
  [`DELETE ${P}/merge_requests/:iid/notes/:note_id`]: { ok: 204, fresh: noted },
  // The file has no job for it.
  [`POST ${P}/merge_requests/:iid/pipelines`]: { ok: 400, fresh: request, pass: chain },

  'POST /api/v4/user/runners': {
    asks: ['project_runner:write'],
    body: (p) => ({ runner_type: 'project_type', project_id: Number(p['project']) }),
  },
  'PUT /api/v4/runners/:id': { fresh: runner, params: { id: '1' }, body: () => ({ description: 'walked' }) },
  'DELETE /api/v4/runners/:id': { ok: 204, fresh: runner, params: { id: '1' } },
  'POST /api/v4/runners/:id/reset_authentication_token': { fresh: runner, params: { id: '1' } },
  'POST /api/v4/runners/reset_registration_token': {},
  'POST /api/v4/projects/:id/runners/reset_registration_token': {},
  'POST /api/v4/groups/:id/runners/reset_registration_token': {},
  'PUT /api/v4/jobpass/ceiling': { body: () => ({ permissions: ['*'] }) },
  'DELETE /api/v4/jobpass/ceiling': { ok: 204 },
  [`PUT ${G}/jobpass/ceiling`]: { body: () => ({ permissions: ['*'] }) },
  [`DELETE ${G}/jobpass/ceiling`]: { ok: 204 },
  [`PUT ${P}/jobpass/ceiling`]: { body: () => ({ permissions: ['*'] }) },
  [`DELETE ${P}/jobpass/ceiling`]: { ok: 204 },
  'PUT /api/v4/user/jobpass/ceiling': { body: () => ({ permissions: ['*'] }) },
  'DELETE /api/v4/user/jobpass/ceiling': { ok: 204 },
  'PUT /api/v4/application/settings': { body: () => ({}) },

  [`PUT ${P}/jobpass`]: { body: () => ({ max_exposure: 'variable' }) },
  'PUT /api/v4/user/jobpass': { body: () => ({ max_exposure: 'variable' }) },
  'PUT /api/v4/user/jobpass/trusted_projects/:id': { asks: ['project:read', 'self:settings'] },
  'DELETE /api/v4/user/jobpass/trusted_projects/:id': {
    ok: 204,
    fresh: async ({ server, targets }, _target, person) => {
      const id = String(targets.find(({ key }) => key === 'public')?.id);
      await server.must('PUT', `/api/v4/user/jobpass/trusted_projects/${id}`, {}, person.token);
      return { id };
    },
  },
};

/** More ways to call a row, where its body decides what is asked. */
export const variants: readonly (readonly [string, Sample])[] = [
  ['POST /api/v4/groups', { asks: ['group:create'], body: (p) => ({ name: name(p), path: name(p) }) }],
  ['POST /api/v4/user/runners', { asks: ['runner:write'], body: () => ({ runner_type: 'instance_type' }) }],
  [
    'POST /api/v4/user/runners',
    { asks: ['group_runner:write'], body: (p) => ({ runner_type: 'group_type', group_id: Number(p['group']) }) },
  ],
];
