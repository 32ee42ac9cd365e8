import { afterAll, beforeAll, expect, test } from 'vitest';
import { type EnvironmentId, id, type JobId, millis } from '../../src/base/ids.ts';
import { newPassToken } from '../../src/base/pass-token.ts';
import { type Claimed, startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
let alice: { id: number; token: string };
let bob: { id: number; token: string };
let runner: string;
let made = 0;
beforeAll(async () => {
  server = await startTestServer();
  [alice, bob] = [await server.user('alice'), await server.user('bob')];
  ({ token: runner } = await server.runner());
});
afterAll(() => server.stop());

const file = [
  'deploy: {script: x, environment: {name: live, on_stop: stop, auto_stop_in: 1 day}}',
  'stop: {stage: deploy, script: x, when: manual, environment: {name: live, action: stop}}',
].join('\n');

/** A project with something deployed by alice. */
async function deployed(text = file) {
  made += 1;
  const app = await server.project(`live${made}/app`);
  for (const person of [alice, bob]) await server.member(app, person.id, 40);
  await server.commit(app, '.gitlab-ci.yml', text, { token: alice.token });
  await finish();
  const get = async (path: string) => (await server.call('GET', `/api/v4/projects/${app}/${path}`, { token: alice.token })).list;
  const place = async () => (await get('environments'))[0] ?? {};
  const environment = id<EnvironmentId>(Number((await place())['id']));
  const stop = (token: string, body: object = {}) =>
    server.call('POST', `/api/v4/projects/${app}/environments/${environment}/stop`, { token, body });
  const job = async (name: string) => (await get('jobs')).find((one) => one['name'] === name);
  const overdue = () => server.store.transactor.write((tx) => server.store.environments.change(tx, environment, { autoStopAt: millis(1) }));
  const state = async () => (await place())['state'];
  return { app, place, stop, job, overdue, state };
}
async function claim(): Promise<Claimed> {
  const job = await server.claim(runner);
  if (job === undefined) throw new Error('no job');
  return job;
}
const finish = async (): Promise<void> => {
  await server.finish(await claim());
};

test('stopping an environment starts what `on_stop` names, in the name of who stops it; then it is stopped', async () => {
  const { app, place, stop, job, state } = await deployed();
  const before = await place();
  expect(before['state']).toBe('available');
  expect(Date.parse(String(before['auto_stop_at']))).toBeGreaterThan(Date.now() + 86_000_000);
  expect((await stop(bob.token)).body).toMatchObject({ state: 'stopping', auto_stop_at: null });
  expect(await job('stop')).toMatchObject({ status: 'pending', user: { username: 'bob' } });
  await finish();
  expect(await state()).toBe('stopped');
  // There is nothing more to stop.
  expect((await stop(bob.token)).body).toMatchObject({ state: 'stopped' });
  const first = await job('deploy');
  await server.must('POST', `/api/v4/projects/${app}/jobs/${String(first?.['id'])}/retry`, {}, alice.token);
  await finish();
  expect(await state()).toBe('available');
  // The job that stopped it before runs again.
  expect((await stop(alice.token)).body).toMatchObject({ state: 'stopping' });
  expect(await job('stop')).toMatchObject({ status: 'pending', user: { username: 'alice' } });
  expect((await stop(alice.token, { force: true })).body).toMatchObject({ state: 'stopped' });
  await finish();
});

test('A6 R5 who may not run the job on its protected branch does not stop what runs there, and a pass starts no job', async () => {
  const { app, stop, job, state } = await deployed();
  await server.must('PUT', `/api/v4/projects/${app}/members/${bob.id}`, { access_level: 30 });
  const refused = await stop(bob.token);
  expect([refused.status, await state(), (await job('stop'))?.['status']]).toEqual([403, 'available', 'manual']);
  await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
  const running = await claim();
  const [fetch] = await server.store.passes.forJob(null, id<JobId>(running.id));
  if (fetch === undefined) throw new Error('no pass');
  const secret = newPassToken('full');
  const { id: _id, revokedAt: _at, revokedReason: _reason, ...facts } = fetch;
  await server.store.transactor.write((tx) => server.store.passes.insert(tx, { ...facts, kind: 'full', digest: secret.digest() }));
  const byPass = await stop(secret.reveal());
  expect([byPass.status, byPass.text, await state()]).toEqual([403, expect.stringContaining('R5'), 'available']);
  await server.finish(running);
});

test('A7 what is to be stopped by itself is stopped by who deployed it, as long as that one may', async () => {
  const { overdue, job, state } = await deployed();
  await overdue();
  await server.jobs.stopOverdue();
  expect(await state()).toBe('stopping');
  expect(await job('stop')).toMatchObject({ status: 'pending', user: { username: 'alice' } });
  await finish();
  expect(await state()).toBe('stopped');
  const lost = await deployed();
  await server.must('PUT', `/api/v4/projects/${lost.app}/members/${alice.id}`, { access_level: 20 });
  await lost.overdue();
  await server.jobs.stopOverdue();
  expect([await lost.state(), (await lost.job('stop'))?.['status']]).toEqual(['available', 'manual']);
  const plain = await deployed('deploy: {script: x, environment: {name: live, auto_stop_in: 1 day}}');
  await plain.overdue();
  await server.jobs.stopOverdue();
  expect(await plain.state()).toBe('stopped');
});
