import { afterAll, beforeAll, expect, test } from 'vitest';
import { type EnvironmentId, id, type JobId, millis, type ProjectId } from '../../src/base/ids.ts';
import { newPassToken } from '../../src/base/pass-token.ts';
import { soon, twoPeople, type TwoPeople } from '../support/two-people.ts';

let two: TwoPeople;
beforeAll(async () => void (two = await twoPeople()));
afterAll(() => two.server.stop());

const file = [
  'deploy: {script: x, environment: {name: live, on_stop: stop, auto_stop_in: 1 day}}',
  'stop: {stage: deploy, script: x, when: manual, environment: {name: live, action: stop}}',
].join('\n');

/** A project with something deployed by two.alice. */
async function deployed(text = file, more: Readonly<Record<string, string>> = {}) {
  const { id: app } = await two.project({ '.gitlab-ci.yml': text, ...more });
  await two.work();
  const get = async (path: string) => (await two.server.call('GET', `/api/v4/projects/${app}/${path}`, { token: two.alice.token })).list;
  const place = async () => (await get('environments'))[0] ?? {};
  const environment = id<EnvironmentId>(Number((await place())['id']));
  const stop = (token: string, body: object = {}) =>
    two.server.call('POST', `/api/v4/projects/${app}/environments/${environment}/stop`, { token, body });
  const job = async (name: string) => (await get('jobs')).find((one) => one['name'] === name);
  const overdue = () =>
    two.server.store.transactor.write((tx) => two.server.store.environments.change(tx, environment, { autoStopAt: millis(1) }));
  const state = async () => (await place())['state'];
  return { app, place, stop, job, overdue, state };
}

test('stopping an environment starts what `on_stop` names, in the name of who stops it; then it is stopped', async () => {
  const { app, place, stop, job, state } = await deployed();
  const before = await place();
  expect(before['state']).toBe('available');
  expect(Date.parse(String(before['auto_stop_at']))).toBeGreaterThan(Date.now() + 86_000_000);
  expect((await stop(two.bob.token)).body).toMatchObject({ state: 'stopping', auto_stop_at: null });
  expect(await job('stop')).toMatchObject({ status: 'pending', user: { username: 'bob' } });
  await two.work();
  expect(await state()).toBe('stopped');
  // There is nothing more to stop.
  expect((await stop(two.bob.token)).body).toMatchObject({ state: 'stopped' });
  const first = await job('deploy');
  await two.server.must('POST', `/api/v4/projects/${app}/jobs/${String(first?.['id'])}/retry`, {}, two.alice.token);
  await two.work();
  expect(await state()).toBe('available');
  // The job that stopped it before runs again.
  expect((await stop(two.alice.token)).body).toMatchObject({ state: 'stopping' });
  expect(await job('stop')).toMatchObject({ status: 'pending', user: { username: 'alice' } });
  expect((await stop(two.alice.token, { force: true })).body).toMatchObject({ state: 'stopped' });
  await two.work();
});

test('where the job that stops an environment fails or is canceled, it is available again, and stopped by the next one', async () => {
  const { app, stop, job, state } = await deployed();
  await stop(two.alice.token);
  await two.work('failed');
  await expect.poll(state, soon).toBe('available');
  expect((await stop(two.alice.token)).body).toMatchObject({ state: 'stopping' });
  const again = await job('stop');
  await two.server.must('POST', `/api/v4/projects/${app}/jobs/${String(again?.['id'])}/cancel`, {}, two.alice.token);
  await expect.poll(state, soon).toBe('available');
  expect((await stop(two.alice.token)).body).toMatchObject({ state: 'stopping' });
  await two.work();
  expect(await state()).toBe('stopped');
});

test('a bridge that is named by `on_stop` stops an environment with the pipeline that it triggers', async () => {
  const { app, stop, job, state } = await deployed(
    [
      'deploy: {script: x, environment: {name: live, on_stop: stop}}',
      'stop: {stage: deploy, trigger: {include: child.yml, strategy: mirror}, when: manual, environment: {name: live, action: stop}}',
    ].join('\n'),
    { 'child.yml': 'undo: {script: x, when: manual, allow_failure: false}\n' },
  );
  expect((await stop(two.alice.token)).body).toMatchObject({ state: 'stopping' });
  const undo = async () => (await two.server.store.jobs.listJobs(null, id<ProjectId>(app), ['manual'], { page: 1, perPage: 1 })).rows[0];
  await expect.poll(async () => (await undo())?.name, soon).toBe('undo');
  // It shows what its pipeline waits for, and is under way all the same: nothing starts a second one.
  await expect.poll(() => two.server.store.flow.staleMirrors(null, 10), soon).toEqual([]);
  expect([await state(), (await stop(two.alice.token)).body['state']]).toEqual(['stopping', 'stopped']);
  await two.server.must('POST', `/api/v4/projects/${app}/jobs/${String((await undo())?.id)}/play`, {}, two.alice.token);
  await two.work();
  await expect.poll(state, soon).toBe('stopped');
  expect(await job('stop')).toBeUndefined();
});

test('A6 R5 who may not run the job on its protected branch does not stop what runs there, and a pass starts no job', async () => {
  const { app, stop, job, state } = await deployed();
  await two.server.must('PUT', `/api/v4/projects/${app}/members/${two.bob.id}`, { access_level: 30 });
  const refused = await stop(two.bob.token);
  expect([refused.status, await state(), (await job('stop'))?.['status']]).toEqual([403, 'available', 'manual']);
  await two.server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, two.alice.token);
  const running = await two.claim();
  const [fetch] = await two.server.store.passes.forJob(null, id<JobId>(running.id));
  if (fetch === undefined) throw new Error('no pass');
  const secret = newPassToken('full');
  const { id: _id, revokedAt: _at, revokedReason: _reason, ...facts } = fetch;
  await two.server.store.transactor.write((tx) => two.server.store.passes.insert(tx, { ...facts, kind: 'full', digest: secret.digest() }));
  const byPass = await stop(secret.reveal());
  expect([byPass.status, byPass.text, await state()]).toEqual([403, expect.stringContaining('R5'), 'available']);
  await two.server.finish(running);
});

test('A7 what is to be stopped by itself is stopped by who deployed it, as long as that one may', async () => {
  const { overdue, job, state } = await deployed();
  await overdue();
  await two.server.jobs.stopOverdue();
  expect(await state()).toBe('stopping');
  expect(await job('stop')).toMatchObject({ status: 'pending', user: { username: 'alice' } });
  await two.work();
  expect(await state()).toBe('stopped');
  const lost = await deployed();
  await two.server.must('PUT', `/api/v4/projects/${lost.app}/members/${two.alice.id}`, { access_level: 20 });
  await lost.overdue();
  await two.server.jobs.stopOverdue();
  expect([await lost.state(), (await lost.job('stop'))?.['status']]).toEqual(['available', 'manual']);
  const plain = await deployed('deploy: {script: x, environment: {name: live, auto_stop_in: 1 day}}');
  await plain.overdue();
  await two.server.jobs.stopOverdue();
  expect(await plain.state()).toBe('stopped');
});
