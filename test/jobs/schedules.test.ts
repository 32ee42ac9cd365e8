import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { id, type JobId, millis } from '../../src/base/ids.ts';
import type { ScheduleId } from '../../src/ports/schedules.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

describe('schedules, on SQLite and real git', () => {
  let server: TestServer;
  let alice: { id: number; token: string };
  let bob: { id: number; token: string };
  let runner: { id: number; token: string };
  let count = 0;

  beforeAll(async () => {
    server = await startTestServer();
    [alice, bob] = [await server.user('alice'), await server.user('bob')];
    runner = await server.runner();
  });
  afterAll(() => server.stop());
  beforeEach(drain);

  async function drain(): Promise<void> {
    for (let job = await server.claim(runner.token); job !== undefined; job = await server.claim(runner.token)) await server.finish(job);
  }
  /** A project where alice is maintainer and bob developer; `work` is not protected, `main` is. */
  async function project(): Promise<number> {
    count += 1;
    const made = await server.project(`group${count}/app`);
    await server.member(made, alice.id, 40);
    await server.member(made, bob.id, 30);
    await server.commit(made, '.gitlab-ci.yml', 'job:\n  script: ["true"]\n', { token: alice.token });
    await server.must('POST', `/api/v4/projects/${made}/repository/branches`, { branch: 'work', ref: 'main' }, alice.token);
    await drain();
    return made;
  }
  const root = (app: number): string => `/api/v4/projects/${app}/pipeline_schedules`;
  const nightly = { description: 'nightly', ref: 'work', cron: '0 4 * * *', cron_timezone: 'Europe/Berlin' };
  const make = (app: number, token: string, change: object = {}) => server.must('POST', root(app), { ...nightly, ...change }, token);
  /** As after a downtime of three days. */
  async function comeDue(schedule: unknown): Promise<void> {
    const nextRunAt = millis(Date.now() - 3 * 24 * 3600_000);
    await server.store.transactor.write((tx) => server.store.schedules.change(tx, id<ScheduleId>(Number(schedule)), { nextRunAt }));
  }
  const pipelines = async (app: number) =>
    (await server.call('GET', `/api/v4/projects/${app}/pipelines?source=schedule`, { token: alice.token })).list.filter(
      (one) => one['source'] === 'schedule',
    );

  test('a schedule has GitLab’s fields, and the time of its zone', async () => {
    const app = await project();
    const made = await make(app, bob.token);
    expect(made).toMatchObject({
      description: 'nightly',
      ref: 'refs/heads/work',
      cron: '0 4 * * *',
      cron_timezone: 'Europe/Berlin',
      active: true,
      owner: { username: 'bob' },
      last_pipeline: null,
      variables: [],
    });
    expect(String(made['next_run_at'])).toMatch(/T0[23]:00:00\.000Z$/);
    const { list } = await server.call('GET', `${root(app)}?scope=active`, { token: alice.token });
    expect(list.map((one) => one['id'])).toEqual([made['id']]);
    expect((await server.call('GET', `${root(app)}?scope=inactive`, { token: alice.token })).list).toEqual([]);
  });

  test('R13 a mistake is refused and says in which field', async () => {
    const app = await project();
    for (const [change, field] of [
      [{ cron: '61 * * * *' }, 'cron'],
      [{ cron: '0 0 30 2 *' }, 'cron'],
      [{ cron_timezone: 'Berlin' }, 'cron_timezone'],
      [{ ref: 'nowhere' }, 'ref'],
      [{ description: '  ' }, 'description'],
    ] as const) {
      const refused = await server.call('POST', root(app), { token: alice.token, body: { ...nightly, ...change } });
      expect([refused.status, Object.keys(refused.body['message'] as object)]).toEqual([400, [field]]);
    }
  });

  test('what came due runs once, as its owner, with its variables, on one of several nodes', async () => {
    const app = await project();
    const made = await make(app, bob.token);
    await server.must('POST', `${root(app)}/${String(made['id'])}/variables`, { key: 'WHO', value: 'night' }, bob.token);
    await comeDue(made['id']);
    await Promise.all([server.jobs.runSchedules(), server.jobs.runSchedules(), server.jobs.runSchedules()]);
    await server.jobs.runSchedules();
    const [run, ...more] = await pipelines(app);
    expect(more).toEqual([]);
    expect(run).toMatchObject({ source: 'schedule', ref: 'work' });
    const after = await server.must('GET', `${root(app)}/${String(made['id'])}`, undefined, bob.token);
    expect(after).toMatchObject({ last_pipeline: { id: run?.['id'] }, jobpass_problem: null, active: true });
    expect(Date.parse(String(after['next_run_at']))).toBeGreaterThan(Date.now());
    const job = await server.claim(runner.token);
    const variables = job?.payload['variables'] as { key: string; value: string }[];
    expect(Object.fromEntries(variables.map(({ key, value }) => [key, value]))).toMatchObject({
      CI_PIPELINE_SOURCE: 'schedule',
      CI_PIPELINE_SCHEDULE_DESCRIPTION: 'nightly',
      WHO: 'night',
      GITLAB_USER_LOGIN: 'bob',
    });
  });

  test('A4 who edits somebody else’s schedule owns it, and the pass follows the editor', async () => {
    const app = await project();
    const made = await make(app, bob.token);
    await server.must('POST', `${root(app)}/${String(made['id'])}/variables`, { key: 'BASH_ENV', value: '/evil' }, bob.token);
    const edited = await server.must('PUT', `${root(app)}/${String(made['id'])}`, { cron: '5 4 * * *', description: 'hers' }, alice.token);
    expect(edited['owner']).toMatchObject({ username: 'alice' });
    await comeDue(made['id']);
    await server.jobs.runSchedules();
    const job = await server.claim(runner.token);
    const [pass] = await server.store.passes.forJob(null, id<JobId>(job?.id ?? 0));
    // Bob's variable still steers the job, so bob's rights count as well (A56).
    expect(pass?.principals.map(({ userId }) => userId)).toEqual([alice.id, bob.id]);
    expect(pass?.principals[0]).toMatchObject({ userId: alice.id, reason: 'starter' });
  });

  test('A56 who described a schedule is a principal of its jobs, also where another runs them again', async () => {
    const app = await project();
    const made = await make(app, bob.token, { description: '$(evil)' });
    await comeDue(made['id']);
    await server.jobs.runSchedules();
    const job = await server.claim(runner.token);
    if (job === undefined) throw new Error('no job to take');
    await server.finish(job, 'failed');
    await server.must('POST', `/api/v4/projects/${app}/jobs/${job.id}/retry`, {}, alice.token);
    const again = await server.claim(runner.token);
    const [pass] = await server.store.passes.forJob(null, id<JobId>(again?.id ?? 0));
    expect(pass?.principals.map(({ userId }) => userId)).toEqual([alice.id, bob.id]);
  });

  test('A4 a developer does not touch somebody else’s schedule, nor see its variables', async () => {
    const app = await project();
    const made = await make(app, alice.token);
    const path = `${root(app)}/${String(made['id'])}`;
    await server.must('POST', `${path}/variables`, { key: 'SECRET', value: 'hidden' }, alice.token);
    const calls = [
      ['PUT', path],
      ['DELETE', path],
      ['POST', `${path}/take_ownership`],
      ['PUT', `${path}/variables/SECRET`],
      ['DELETE', `${path}/variables/SECRET`],
    ] as const;
    for (const [method, where] of calls)
      expect((await server.call(method, where, { token: bob.token, body: { value: 'x' } })).status, where).toBe(403);
    expect(Object.keys(await server.must('GET', path, undefined, bob.token))).not.toContain('variables');
    expect((await server.must('GET', path, undefined, alice.token))['variables']).toMatchObject([{ key: 'SECRET', value: 'hidden' }]);
  });

  test('R1 a schedule whose owner lost the right, or was blocked, is switched off and says why', async () => {
    const app = await project();
    const carol = await server.user(`carol${count}`);
    await server.member(app, carol.id, 30);
    const made = await make(app, carol.token);
    await server.must('PUT', `/api/v4/projects/${app}/members/${carol.id}`, { access_level: 20 });
    await comeDue(made['id']);
    await server.jobs.runSchedules();
    expect(await pipelines(app)).toEqual([]);
    const path = `${root(app)}/${String(made['id'])}`;
    const off = await server.must('GET', path, undefined, alice.token);
    expect(off).toMatchObject({ active: false, jobpass_problem: 'its owner may not run pipelines on this branch or tag any more' });
    await server.must('PUT', `/api/v4/projects/${app}/members/${carol.id}`, { access_level: 30 });
    await server.must('PUT', path, { active: true }, carol.token);
    await server.must('POST', `/api/v4/users/${carol.id}/block`);
    await comeDue(made['id']);
    await server.jobs.runSchedules();
    expect(await server.must('GET', path, undefined, alice.token)).toMatchObject({
      active: false,
      jobpass_problem: 'its owner is blocked',
    });
    expect(await server.must('POST', `${path}/take_ownership`, {}, alice.token)).toMatchObject({
      owner: { username: 'alice' },
      active: false,
    });
  });

  test('a schedule whose branch is gone is switched off; one without a file waits for its next time', async () => {
    const app = await project();
    const made = await make(app, bob.token);
    await server.must('DELETE', `/api/v4/projects/${app}/repository/branches/work`, undefined, alice.token);
    await comeDue(made['id']);
    await server.jobs.runSchedules();
    const path = `${root(app)}/${String(made['id'])}`;
    expect(await server.must('GET', path, undefined, bob.token)).toMatchObject({
      active: false,
      jobpass_problem: 'its branch or tag is gone',
    });
  });

  test('A3 nobody schedules or plays what they may not start: a developer on a protected branch', async () => {
    const app = await project();
    expect((await server.call('POST', root(app), { token: bob.token, body: { ...nightly, ref: 'main' } })).status).toBe(403);
    const made = await make(app, alice.token, { ref: 'main' });
    expect((await server.call('POST', `${root(app)}/${String(made['id'])}/play`, { token: bob.token })).status).toBe(403);
    const played = await server.call('POST', `${root(app)}/${String(made['id'])}/play`, { token: alice.token });
    expect([played.status, played.body]).toEqual([201, { message: '201 Created' }]);
    expect(await pipelines(app)).toHaveLength(1);
  });

  test('R5 no pass writes a schedule, nor sees its variables', async () => {
    const app = await project();
    const made = await make(app, alice.token);
    const path = `${root(app)}/${String(made['id'])}`;
    await server.must('PUT', `/api/v4/runners/${runner.id}`, { trust: 'full', unsafe_accepted: true });
    await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
    const job = await server.claim(runner.token);
    const pass = job?.fetchPass ?? '';
    for (const [method, where] of [
      ['POST', root(app)],
      ['PUT', path],
      ['DELETE', path],
      ['POST', `${path}/play`],
      ['POST', `${path}/take_ownership`],
      ['POST', `${path}/variables`],
    ] as const)
      expect((await server.call(method, where, { token: pass, body: nightly })).status, where).toBe(403);
  });
});
