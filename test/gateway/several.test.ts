import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Handed, jobOfBoth, type Scene, scene } from '../support/scripted.ts';

const basic = (pass: string) => ({ authorization: `Basic ${Buffer.from(`x:${pass}`).toString('base64')}` });

// alice is everywhere what she is, bob pushed what the job runs: what only she may see, the pass does not.
describe('R3 a pass of several people, where the forge answers as one of them', () => {
  let gate: Scene;
  let both: Handed;
  beforeAll(async () => {
    gate = await scene();
    both = await jobOfBoth(gate);
    const { gitlab } = gate;
    const open = (id: number, path: string, fields: object): void => {
      gitlab.project(id, path, { 2: 40 });
      Object.assign(gitlab.projects.get(id) ?? {}, fields);
    };
    open(20, 'open/all', { visibility: 'public', repository_access_level: 'enabled', public_jobs: true });
    open(21, 'open/code', { visibility: 'public', repository_access_level: 'private' });
    open(22, 'open/parts', {
      visibility: 'internal',
      ...Object.fromEntries(
        ['merge_requests', 'builds', 'releases', 'package_registry', 'container_registry'].map((one) => [`${one}_access_level`, 'private']),
      ),
    });
    open(23, 'open/jobs', { visibility: 'public', public_jobs: false });
    open(24, 'inner/all', { visibility: 'internal' });
  });
  beforeEach(() => {
    gate.gitlab.answers.clear();
    for (const [method, path] of [
      ['GET', '/info/refs'],
      ...['repository/tree', 'merge_requests', 'jobs', 'pipelines', 'releases', 'packages', 'jobs/9/trace'].map((one) => ['GET', one]),
    ] as const)
      for (const id of [7, 20, 21, 22, 23, 24]) gate.gitlab.answers.set(`${method} /projects/${id}/${path}`, [200, []]);
  });
  afterAll(() => gate.stop());

  const status = async (path: string, one = both): Promise<number> => (await gate.call('GET', `/api/v4${path}`, one.pass)).status;

  test('R3 the parts of a public project that are for its members only are not read for who is none', async () => {
    for (const part of ['repository/tree', 'merge_requests', 'jobs', 'pipelines', 'releases', 'packages'])
      expect([part, await status(`/projects/20/${part}`)]).toEqual([part, 200]);
    expect(await status('/projects/21/repository/tree')).toBe(403);
    for (const part of ['merge_requests', 'jobs', 'pipelines', 'releases', 'packages'])
      expect([part, await status(`/projects/22/${part}`)]).toEqual([part, 403]);
    for (const part of ['jobs', 'pipelines']) expect([part, await status(`/projects/23/${part}`)]).toEqual([part, 403]);
    gate.gitlab.answers.set('GET /open/code.git/info/refs', [200, 'refs']);
    const refs = '/open/code.git/info/refs?service=git-upload-pack';
    expect((await gate.call('GET', refs, undefined, { headers: basic(both.pass) })).status).toBe(403);
    // The members of it read it.
    gate.gitlab.levels.set('projects/21/3', 20);
    await expect.poll(() => status('/projects/21/repository/tree'), { timeout: 10_000 }).toBe(200);
    gate.gitlab.levels.delete('projects/21/3');
  });

  test('R3 what is internal is nothing to somebody from outside', async () => {
    expect(await status('/projects/24/repository/tree')).toBe(200);
    Object.assign(gate.gitlab.users.get(3) ?? {}, { external: true });
    await expect.poll(() => status('/projects/24/repository/tree'), { timeout: 10_000 }).toBe(404);
    Object.assign(gate.gitlab.users.get(3) ?? {}, { external: false });
  });

  test('R3 events, and logs that may be in debug mode, are read where each of them may', async () => {
    gate.gitlab.answers.set('GET /projects/7/events', [200, [{ note: { body: 'internal' } }]]);
    expect(await status('/projects/7/events')).toBe(403);
    expect(await status('/projects/7/jobs/9/trace')).toBe(200);
    expect(await status('/projects/20/jobs/9/trace')).toBe(403);
    const alices = await gate.job();
    expect(await status('/projects/20/jobs/9/trace', alices)).toBe(200);
    await gate.end(alices);
  });

  test('R3 a group tells of itself only, and a project not where it was forked from', async () => {
    const group = { id: 50, full_path: 'wide', visibility: 'public' };
    const shown = { ...group, projects: [{ id: 8 }], shared_projects: [{ id: 9 }], shared_with_groups: [{ group_id: 3 }] };
    gate.gitlab.groups.set(50, shown);
    gate.gitlab.levels.set('groups/50/2', 40);
    Object.assign(gate.gitlab.projects.get(7) ?? {}, { forked_from_project: { id: 8, path_with_namespace: 'libs/secret' } });
    const told = async (path: string, one: Handed) => JSON.parse((await gate.call('GET', `/api/v4${path}`, one.pass)).text) as unknown;
    expect(await told('/groups/50', both)).toEqual(group);
    expect(await told('/projects/7', both)).not.toHaveProperty('forked_from_project');
    const alices = await gate.job();
    expect(await told('/groups/50', alices)).toEqual(shown);
    expect(await told('/projects/7', alices)).toHaveProperty('forked_from_project');
    await gate.end(alices);
  });

  test('R4 issues that a merge request closes may be of any project: a pass that is bounded to some reads none', async () => {
    const path = '/projects/7/merge_requests/9/closes_issues';
    gate.gitlab.answers.set(`GET ${path}`, [200, [{ project_id: 8, title: 'of the library' }]]);
    const told = async (variables: readonly object[]): Promise<number> => {
      const job = await gate.job({ variables: [{ key: 'JOBPASS_EXPOSE', value: 'variable' }, ...variables] });
      const read = await status(path, job);
      await gate.end(job);
      return read;
    };
    expect(await told([])).toBe(200);
    expect(await told([{ key: 'JOBPASS_PROJECTS', value: 'team/app' }])).toBe(403);
  });

  test('R3 no lock of a large file is taken or broken: the forge asks one of them', async () => {
    const headers = { ...basic(both.pass), 'content-type': 'application/vnd.git-lfs+json' };
    for (const path of ['locks', 'locks/9/unlock'])
      expect((await gate.call('POST', `/team/app.git/info/lfs/${path}`, undefined, { raw: '{"force":true}', headers })).status).toBe(403);
    gate.gitlab.answers.set('POST /team/app.git/info/lfs/locks/verify', [200, { ours: [] }]);
    expect((await gate.call('POST', '/team/app.git/info/lfs/locks/verify', undefined, { raw: '{}', headers })).status).toBe(200);
  });

  test("R4 R9 the archives of other jobs are not fetched with the job's own token, past every ceiling", async () => {
    const alices = await gate.job();
    const before = gate.gitlab.carried().length;
    expect(await status('/jobs/9/artifacts', alices)).toBe(501);
    expect(gate.gitlab.carried().length).toBe(before);
    expect(await status('/job', alices)).toBe(200);
    await gate.end(alices);
  });
});

describe('R3 a pipeline of what a merge request would be once merged', () => {
  test.each([
    ['merge', false],
    // Made of other requests, too.
    ['train', true],
  ])('runs on a commit of the forge (%s), and who pushed what that is made of counts; it is not provable: %s', async (kind, ownOnly) => {
    const gate = await scene();
    try {
      const [merged, topic] = ['aa'.repeat(20), 'bb'.repeat(20)];
      const { answers } = gate.gitlab;
      answers.set('GET /projects/7/repository/merge_base', [200, { id: gate.sha }]);
      answers.set('GET /projects/7/repository/commits', [
        200,
        [
          { id: merged, parent_ids: [gate.sha, topic] },
          { id: topic, parent_ids: [gate.sha] },
        ],
      ]);
      answers.set('GET /projects/7/events', [
        200,
        [
          { id: 2, author_id: 3, push_data: { action: 'pushed', ref_type: 'branch', ref: 'topic', commit_from: null, commit_to: topic } },
          { id: 1, author_id: 2, push_data: { action: 'pushed', ref_type: 'branch', ref: 'main', commit_to: gate.sha } },
        ],
      ]);
      answers.set(`GET /projects/7/repository/commits/${merged}`, [200, { id: merged, parent_ids: [gate.sha, topic] }]);
      answers.set('GET /projects/7/merge_requests/5', [200, { source_project_id: 7, source_branch: 'topic' }]);
      const job = await gate.job({ sha: merged, ref: `refs/merge-requests/5/${kind}`, source: 'merge_request_event' });
      expect([job.notes.includes('bob (pusher)'), job.notes.includes('own project only')]).toEqual([!ownOnly, ownOnly]);
    } finally {
      await gate.stop();
    }
  });
});
