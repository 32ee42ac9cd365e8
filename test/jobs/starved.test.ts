import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { id, millis, type ProjectId } from '../../src/base/ids.ts';
import type { ScheduleId } from '../../src/ports/schedules.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const run = promisify(execFile);

/** What one project leaves waiting must not be all that the server ever looks at. */
describe('R13 nobody is starved by what others leave waiting', () => {
  let server: TestServer;
  let folder: string;
  let mallory: { id: number; token: string };
  let alice: { id: number; token: string };
  let theirs: number;
  let ours: number;
  beforeAll(async () => {
    server = await startTestServer();
    folder = await mkdtemp(join(tmpdir(), 'jobpass-starved-'));
    [mallory, alice] = [await server.user('mallory'), await server.user('alice')];
    [theirs, ours] = [await server.project('theirs/app'), await server.project('ours/app')];
    await server.member(theirs, mallory.id, 40);
    await server.member(ours, alice.id, 40);
    await server.commit(ours, '.gitlab-ci.yml', 'job: {script: x, rules: [{if: $CI_PIPELINE_SOURCE != "push"}]}\n', { token: alice.token });
  });
  afterAll(async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });
  const start = async (project: number, ref: string, token: string) =>
    Number((await server.must('POST', `/api/v4/projects/${project}/pipeline`, { ref }, token))['id']);
  const projectOf = (payload: Record<string, unknown> | undefined) =>
    (payload?.['job_info'] as { project_id?: number } | undefined)?.project_id;

  test('R13 a runner of a group, or of protected refs, finds its job behind a thousand that wait for runners of others', async () => {
    await server.must('DELETE', `/api/v4/projects/${theirs}/protected_branches/main`);
    const file = 'a: {script: x, parallel: 200}\nb: {script: x, parallel: 200}\nc: {script: x, parallel: 100}\n';
    await server.commit(theirs, '.gitlab-ci.yml', file, { token: mallory.token });
    for (const branch of ['one', 'two'])
      await server.must('POST', `/api/v4/projects/${theirs}/repository/branches`, { branch, ref: 'main' }, mallory.token);
    expect(await server.store.jobs.waiting(null, 2000)).toHaveLength(1500);
    await start(ours, 'main', alice.token);
    const { id: group } = await server.must('GET', '/api/v4/groups/ours');
    const runner = await server.must('POST', '/api/v4/user/runners', { runner_type: 'group_type', group_id: group });
    const job = await server.claim(String(runner['token']));
    expect(projectOf(job?.payload)).toBe(ours);
    if (job !== undefined) await server.finish(job);
    await start(ours, 'main', alice.token);
    const careful = await server.must('POST', '/api/v4/user/runners', { runner_type: 'instance_type', access_level: 'ref_protected' });
    const next = await server.claim(String(careful['token']));
    expect(projectOf(next?.payload)).toBe(ours);
    if (next !== undefined) await server.finish(next);
    for (const branch of ['main', 'one', 'two'])
      await server.must('POST', `/api/v4/projects/${theirs}/pipelines/${await newest(branch)}/cancel`, {}, mallory.token);
    expect(await server.store.jobs.waiting(null, 10)).toEqual([]);
  });
  const newest = async (ref: string): Promise<number> =>
    (await server.store.jobs.listPipelines(null, id<ProjectId>(theirs), { ref }, { page: 1, perPage: 1 })).rows[0]?.id ?? 0;

  test('R13 jobs that cannot be prepared do not keep a runner from the others', async () => {
    // Git's answer about the file has no room in the server: the commit that last changed it has a message of 33 MiB.
    const git = (...args: string[]) =>
      run(
        'git',
        ['-c', 'user.name=m', '-c', 'user.email=m@example.com', '-c', `http.extraHeader=PRIVATE-TOKEN: ${mallory.token}`, ...args],
        {
          cwd: folder,
          env: { PATH: process.env['PATH'] ?? '', HOME: folder, GIT_CONFIG_NOSYSTEM: '1', GIT_TERMINAL_PROMPT: '0' },
        },
      );
    await git('init', '-q');
    await writeFile(join(folder, 'key'), 'x');
    await writeFile(join(folder, 'message'), `${'m'.repeat(1000)}\n`.repeat(34_000));
    await git('add', 'key');
    await git('commit', '-q', '-F', 'message');
    await writeFile(
      join(folder, '.gitlab-ci.yml'),
      'bad: {script: x, parallel: 12, cache: {key: {files: [key]}, paths: [x]}, rules: [{if: $CI_PIPELINE_SOURCE != "push"}]}\n',
    );
    await git('add', '.gitlab-ci.yml');
    await git('commit', '-q', '-m', 'small');
    await git('push', '-q', `${server.url}/theirs/app.git`, 'HEAD:refs/heads/heavy');
    const bad = await start(theirs, 'heavy', mallory.token);
    await start(ours, 'main', alice.token);
    const { token: runner } = await server.runner();
    const asked = [await server.claim(runner), await server.claim(runner)];
    expect(asked.map((job) => projectOf(job?.payload))).toContain(ours);
    for (const job of asked) if (job !== undefined) await server.finish(job);
    const { list } = await server.call('GET', `/api/v4/projects/${theirs}/pipelines/${bad}/jobs`, { token: mallory.token });
    expect(list[0]).toMatchObject({ status: 'failed', failure_reason: 'runner_system_failure' });
  });

  test('R13 schedules that cannot be started stand behind the others at the next round', async () => {
    const nightly = { description: 'nightly', ref: 'main', cron: '0 4 * * *' };
    const made: number[] = [];
    for (let count = 0; count < 50; count += 1)
      made.push(Number((await server.must('POST', `/api/v4/projects/${theirs}/pipeline_schedules`, nightly, mallory.token))['id']));
    const good = Number((await server.must('POST', `/api/v4/projects/${ours}/pipeline_schedules`, nightly, alice.token))['id']);
    await server.store.transactor.write(async (tx) => {
      // A line that no version of ours reads.
      for (const one of made) await server.store.schedules.change(tx, id<ScheduleId>(one), { cron: '?', nextRunAt: millis(1) });
      await server.store.schedules.change(tx, id<ScheduleId>(good), { nextRunAt: millis(2) });
    });
    await server.jobs.runSchedules();
    await server.jobs.runSchedules();
    const shown = await server.must('GET', `/api/v4/projects/${ours}/pipeline_schedules/${good}`, undefined, alice.token);
    expect(shown['last_pipeline']).not.toBeNull();
    const broken = await server.must('GET', `/api/v4/projects/${theirs}/pipeline_schedules/${made[0]}`, undefined, mallory.token);
    expect(broken).toMatchObject({ active: true, jobpass_problem: 'it could not be started, and is tried again' });
  });
});
