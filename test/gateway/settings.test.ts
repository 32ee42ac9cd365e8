import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Handed, type Scene, scene } from '../support/scripted.ts';

const P = '/api/v4/projects/7/jobpass';
const bounded = { permissions: ['project:read', 'self:read'] };
let gate: Scene;

beforeAll(async () => {
  gate = await scene();
  gate.gitlab.user(4, 'carol');
  gate.gitlab.levels.set('groups/1007/2', 50);
  gate.gitlab.levels.set('groups/1007/3', 40);
  gate.gitlab.personal.set('glpat-reads', { user: 2, scopes: ['read_api'] });
  gate.gitlab.personal.set('glpat-plain-root', { user: 1, scopes: ['api'] });
  // Admin Mode: only a token with its scope reaches what an administrator's does.
  gate.gitlab.answers.set('GET /application/settings', ({ headers }) => [headers['private-token'] === 'glpat-root' ? 200 : 403, {}]);
});
afterAll(() => gate.stop());

const put = (path: string, token: string | undefined, body: unknown) => gate.call('PUT', path, token, { body });
const remove = (path: string, token: string) => gate.call('DELETE', path, token);
const reads = async (job: Handed, path: string): Promise<number> => {
  gate.gitlab.answers.set(`GET ${path.replace('/api/v4', '')}`, [200, {}]);
  return (await gate.call('GET', path, job.pass)).status;
};

test('R4 who may set a ceiling is what the forge says of the asker: its own token, its scope, its role there', async () => {
  for (const [path, token, status] of [
    [`${P}/ceiling`, 'glpat-alice', 200],
    [`${P}/ceiling`, 'glpat-bob', 403],
    [`${P}/ceiling`, 'glpat-carol', 404],
    [`${P}/ceiling`, 'glpat-reads', 403],
    [`${P}/ceiling`, 'glpat-nobody', 401],
    [`${P}/ceiling`, undefined, 404],
    ['/api/v4/groups/team/jobpass/ceiling', 'glpat-alice', 200],
    ['/api/v4/groups/1007/jobpass/ceiling', 'glpat-bob', 403],
    ['/api/v4/user/jobpass/ceiling', 'glpat-carol', 200],
    // Its operator writes it in a file.
    ['/api/v4/jobpass/ceiling', 'glpat-root', 404],
  ] as const) {
    const answer = await put(path, token, bounded);
    expect([path, token, answer.status, answer.text]).toEqual([path, token, status, expect.anything()]);
  }
  expect(gate.gitlab.carried(), 'nothing of it went on').toEqual([]);
  for (const [path, token] of [
    [`${P}/ceiling`, 'glpat-alice'],
    ['/api/v4/groups/1007/jobpass/ceiling', 'glpat-alice'],
    ['/api/v4/user/jobpass/ceiling', 'glpat-carol'],
  ] as const)
    expect((await remove(path, token)).status).toBe(204);
});

test.each([
  ['project', `${P}/ceiling`],
  ['group', '/api/v4/groups/1007/jobpass/ceiling'],
  ['user', '/api/v4/user/jobpass/ceiling'],
])('R4 the ceiling of a %s bounds a pass from the next request on, and is gone when it is taken away', async (_level, path) => {
  const job = await gate.job();
  const tree = '/api/v4/projects/8/repository/tree';
  expect(await reads(job, tree)).toBe(200);
  expect((await put(path, 'glpat-alice', bounded)).status).toBe(200);
  expect(await reads(job, tree)).toBe(403);
  expect(await reads(job, '/api/v4/projects/8')).toBe(200);
  expect((await put(path, 'glpat-alice', { permissions: ['repository:read'], projects: ['team/app'] })).status).toBe(200);
  expect(await reads(job, tree)).toBe(403);
  expect((await remove(path, 'glpat-alice')).status).toBe(204);
  expect(await reads(job, tree)).toBe(200);
  gate.gitlab.answers.delete('GET /projects/8');
  await gate.end(job);
});

test('R5 no pass sets or reads what bounds it', async () => {
  const job = await gate.job();
  for (const [method, path] of [
    ['PUT', `${P}/ceiling`],
    ['DELETE', '/api/v4/user/jobpass/ceiling'],
    ['PUT', P],
    ['PUT', '/api/v4/user/jobpass/trusted_projects/7'],
    ['GET', '/api/v4/jobpass/audit'],
  ] as const) {
    const answer = await gate.call(method, path, job.pass, method === 'GET' ? {} : { body: bounded });
    expect([path, answer.status]).toEqual([path, 403]);
  }
  expect(gate.gitlab.carried()).toEqual(gate.gitlab.carried().filter(({ path }) => !path.includes('jobpass')));
  await gate.end(job);
});

test('R7 project and starting user bound what a job sees of its pass', async () => {
  for (const [path, token] of [
    [P, 'glpat-alice'],
    ['/api/v4/user/jobpass', 'glpat-alice'],
  ] as const) {
    expect((await put(path, token, { max_exposure: 'withhold' })).status).toBe(200);
    const job = await gate.job();
    expect([job.pass, job.fetch]).toEqual(['undefined', expect.stringMatching(/^jpt_f/)]);
    expect((await put(path, token, { max_exposure: null })).status).toBe(200);
    await gate.end(job);
  }
});

test('R3 A59 who last pushed to a protected branch counts, unless the starting user trusts the project by name', async () => {
  gate.gitlab.answers.set('GET /projects/7/events', [
    200,
    [{ id: 1, author_id: 3, push_data: { action: 'pushed', ref_type: 'branch', ref: 'main', commit_to: gate.sha } }],
  ]);
  const before = await gate.job();
  expect(before.notes).toContain('bob (last merger)');
  expect((await put('/api/v4/user/jobpass/trusted_projects/7', 'glpat-alice', {})).status).toBe(200);
  const after = await gate.job();
  expect(after.notes).not.toContain('bob');
  for (const job of [before, after]) await gate.end(job);
  gate.gitlab.answers.delete('GET /projects/7/events');
});

test('R3 A59 a branch that was cut from a protected one is answered for by who last pushed there', async () => {
  await remove('/api/v4/user/jobpass/trusted_projects/7', 'glpat-alice');
  gate.gitlab.answers.set('GET /projects/7/events', [
    200,
    [{ id: 1, author_id: 3, push_data: { action: 'pushed', ref_type: 'branch', ref: 'main', commit_to: gate.sha } }],
  ]);
  const job = await gate.job({ ref: 'cut' });
  expect(job.notes).toContain('bob (last merger)');
  await gate.end(job);
  gate.gitlab.answers.delete('GET /projects/7/events');
});

test("R10 the trail is read by an administrator's token that reaches it, and by no other", async () => {
  const job = await gate.job();
  await reads(job, '/api/v4/projects/8/repository/tree');
  const trail = await gate.call('GET', `/api/v4/jobpass/audit?job_id=${job.id}`, 'glpat-root');
  expect([trail.status, trail.text]).toEqual([200, expect.stringContaining('repository:read@project:8')]);
  for (const token of ['glpat-plain-root', 'glpat-alice'])
    expect((await gate.call('GET', '/api/v4/jobpass/audit', token)).status, token).toBe(403);
  const passes = await gate.call('GET', `/api/v4/projects/7/jobs/${job.id}/jobpass`, 'glpat-bob');
  expect([passes.status, passes.text]).toEqual([200, expect.stringContaining('"username":"alice"')]);
  expect((await gate.call('GET', `/api/v4/projects/8/jobs/${job.id}/jobpass`, 'glpat-alice')).status).toBe(404);
  await gate.end(job);
});
