import { afterEach, expect, test } from 'vitest';
import type { JobId } from '../../src/base/ids.ts';
import { Secret } from '../../src/base/secret.ts';
import { jobsIn } from '../../src/doors/proxy/webhook.ts';
import { type Scene, scene } from '../support/scripted.ts';

let gate: Scene | undefined;
afterEach(async () => {
  await gate?.stop();
  gate = undefined;
});
const secret = 'a-secret-of-the-webhook';
const post = (at: Scene, body: unknown, token = secret) =>
  at.call('POST', '/-/jobpass/webhook', undefined, { body, headers: { 'x-gitlab-token': token } });

test('R2 a job event makes the gateway ask at once: its end cuts what is in flight, and its tokens go', async () => {
  gate = await scene({ webhookSecret: new Secret(secret) });
  const { gitlab } = gate;
  const job = await gate.job();
  const arrived = Promise.withResolvers<void>();
  gitlab.answers.set('GET /projects/8/repository/tree', () => {
    arrived.resolve();
    return undefined;
  });
  const held = gate.call('GET', '/api/v4/projects/8/repository/tree', job.pass);
  await arrived.promise;
  const [row] = gitlab.jobs;
  if (row !== undefined) row.status = 'canceled';
  expect((await post(gate, { object_kind: 'build', build_id: job.id, build_status: 'canceled' })).status).toBe(204);
  expect((await gate.gateway.store.gatewayJobs.byId(null, job.id as JobId))?.state).toBe('ended');
  // Nothing of an answer had gone out: it can be said why.
  expect(await held).toMatchObject({ status: 401, text: expect.stringContaining('has ended') });
  expect((await gate.call('GET', '/api/v4/user', job.pass)).status).toBe(401);
  await expect.poll(() => gitlab.acting.size).toBe(0);
});

test('R2 R13 what an event says is not believed: it ends nothing that runs, and wakes nothing that ended', async () => {
  gate = await scene({ webhookSecret: new Secret(secret) });
  const [alive, over] = [await gate.job(), await gate.job()];
  await gate.end(over);
  gate.gitlab.answers.set('GET /projects/8', [200, { ...gate.gitlab.projects.get(8) }]);
  for (const status of ['canceled', 'success', 'running'])
    for (const { id } of [alive, over]) await post(gate, { object_kind: 'build', build_id: id, build_status: status });
  expect((await gate.call('GET', '/api/v4/projects/8', alive.pass)).status).toBe(200);
  expect((await gate.call('GET', '/api/v4/projects/8', over.pass)).status).toBe(401);
});

test('R1 a system event drops what was kept of roles: one that was taken away counts at once', async () => {
  gate = await scene({ webhookSecret: new Secret(secret) });
  const job = await gate.job();
  gate.gitlab.answers.set('GET /projects/8/repository/tree', [200, []]);
  const tree = (): Promise<{ status: number }> => (gate as Scene).call('GET', '/api/v4/projects/8/repository/tree', job.pass);
  expect((await tree()).status).toBe(200);
  gate.gitlab.levels.delete('projects/8/2');
  await post(gate, { event_name: 'user_remove_from_team' });
  expect((await tree()).status).toBe(404);
});

test('without its secret a webhook is heard by nobody, and where none is set there is none', async () => {
  gate = await scene({ webhookSecret: new Secret(secret) });
  for (const token of ['', 'wrong', `${secret} `]) expect((await post(gate, {}, token)).status).toBe(token.trim() === secret ? 204 : 401);
  await gate.stop();
  gate = await scene();
  expect((await post(gate, {})).status).toBe(404);
});

test('R13 jobs are read out of job and pipeline events, and out of nothing else', () => {
  expect(jobsIn({ object_kind: 'build', build_id: 7 })).toEqual([7]);
  expect(jobsIn({ object_kind: 'pipeline', builds: [{ id: 7 }, { id: '8' }, null, { id: -1 }] })).toEqual([7]);
  for (const odd of [null, [], 'x', { object_kind: 'push', build_id: 7 }, { object_kind: 'pipeline', builds: {} }])
    expect(jobsIn(odd)).toEqual([]);
});

test("R1 --acting sudo: REST is asked with the administrator's token for the user, git with an impersonation token, and neither is shown", async () => {
  gate = await scene({ acting: 'sudo' });
  const job = await gate.job();
  gate.gitlab.answers.set('GET /projects/8/repository/tree', [200, []]);
  gate.gitlab.answers.set('POST /projects/7/issues', [201, { iid: 1 }]);
  const before = gate.gitlab.carried().length;
  const read = await gate.call('GET', '/api/v4/projects/8/repository/tree', job.pass);
  expect([read.status, JSON.stringify([...read.headers]), read.text]).toEqual([200, expect.not.stringContaining('glpat-'), '[]']);
  await gate.call('POST', '/api/v4/projects/7/issues', job.pass, { body: { title: 'x' } });
  for (const { headers } of gate.gitlab.carried().slice(before))
    expect([headers['private-token'], headers['sudo']]).toEqual(['glpat-root', '2']);
  expect(gate.gitlab.acting.size).toBe(0);
  const basic = `Basic ${Buffer.from(`x:${job.pass}`).toString('base64')}`;
  await gate.call('GET', '/libs/secret.git/info/refs?service=git-upload-pack', undefined, { headers: { authorization: basic } });
  const last = gate.gitlab.carried().at(-1);
  expect([last?.headers['sudo'], last?.headers['private-token']]).toEqual([undefined, undefined]);
  expect(Buffer.from(String(last?.headers.authorization).slice(6), 'base64').toString()).toBe('oauth2:glpat-made-1');
});

test('A3 R17 with it, no client says for whom it acts: header, query, form and body', async () => {
  gate = await scene({ acting: 'sudo' });
  const job = await gate.job();
  const before = gate.gitlab.carried().length;
  const issues = '/api/v4/projects/7/issues';
  for (const [path, options] of [
    [issues, { body: {}, headers: { sudo: '1' } }],
    [`${issues}?sudo=1`, { body: {} }],
    [issues, { body: { sudo: 1 } }],
    [issues, { raw: 'sudo=1', headers: { 'content-type': 'application/x-www-form-urlencoded' } }],
  ] as const)
    expect((await gate.call('POST', path, job.pass, options)).status, path).toBe(400);
  expect(gate.gitlab.carried().length).toBe(before);
});

test('A37 a right that was just given counts after one refusal', async () => {
  gate = await scene();
  const job = await gate.job();
  gate.gitlab.levels.set('projects/8/2', 20);
  gate.gitlab.answers.set('POST /projects/8/issues', [201, { iid: 1 }]);
  gate.gitlab.answers.set('POST /projects/8/repository/branches', [201, { name: 'x' }]);
  const branch = (): Promise<{ status: number }> =>
    (gate as Scene).call('POST', '/api/v4/projects/8/repository/branches', job.pass, { body: { branch: 'x', ref: 'main' } });
  expect((await branch()).status).toBe(403);
  gate.gitlab.levels.set('projects/8/2', 30);
  expect((await branch()).status).toBe(201);
});
