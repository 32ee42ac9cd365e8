import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Handed, jobOfBoth, type Scene, scene } from '../support/scripted.ts';

const P = '/api/v4/projects/7';
const lfs = '/team/app.git/info/lfs';
const lfsType = { 'content-type': 'application/vnd.git-lfs+json' };

describe('what a GitLab could read of a request beside what was judged', () => {
  let gate: Scene;
  let job: Handed;
  beforeAll(async () => {
    gate = await scene();
    job = await gate.job();
  });
  beforeEach(() => gate.gitlab.answers.clear());
  afterAll(() => gate.stop());

  /** @returns status, words, and how many requests reached the forge */
  async function asked(method: string, path: string, options: Parameters<Scene['call']>[3] = {}, pass = job.pass) {
    const before = gate.gitlab.carried().length;
    const answer = await gate.call(method, path, pass, options);
    return [answer.status, answer.text, gate.gitlab.carried().length - before] as const;
  }

  test('R13 A22 a word in the place of a number is another route at the forge', async () => {
    gate.gitlab.answers.set('DELETE /projects/7/environments/review_apps', [200, {}]);
    expect(await asked('DELETE', `${P}/environments/review_apps?dry_run=false`)).toEqual([
      400,
      expect.stringContaining('environment_id'),
      0,
    ]);
    for (const id of ['07', '7.json', '7_0', '%207'])
      expect([id, ...(await asked('POST', `${P}/jobs/${id}/play`))]).toEqual([id, 400, expect.stringContaining('job_id'), 0]);
    gate.gitlab.answers.set('DELETE /projects/7/environments/9', [204]);
    expect(await asked('DELETE', `${P}/environments/9`)).toEqual([204, '', 1]);
  });

  test('R5 variables and inputs of a schedule, which its owner would see, are in no answer to a pass', async () => {
    const schedule = {
      id: 9,
      description: 'nightly',
      variables: [{ key: 'KEY', value: 'secret' }],
      inputs: [{ name: 'a', value: 'secret' }],
    };
    gate.gitlab.answers.set('GET /projects/7/pipeline_schedules/9', [200, schedule]);
    expect(await asked('GET', `${P}/pipeline_schedules/9`)).toEqual([200, '{"id":9,"description":"nightly"}', 1]);
    gate.gitlab.answers.set('GET /projects/7/pipeline_schedules', [200, [schedule]]);
    expect(await asked('GET', `${P}/pipeline_schedules`)).toEqual([200, '[{"id":9,"description":"nightly"}]', 1]);
  });

  test('R3 R4 what a bridge started in another project is told of to no pass that is bounded or of several people', async () => {
    const bridges = [{ id: 9, downstream_pipeline: { id: 4, project_id: 8, ref: 'secret' } }];
    gate.gitlab.answers.set('GET /projects/7/pipelines/9/bridges', [200, bridges]);
    expect((await asked('GET', `${P}/pipelines/9/bridges`))[1]).toContain('downstream_pipeline');
    const both = await jobOfBoth(gate);
    gate.gitlab.answers.set('GET /projects/7/pipelines/9/bridges', [200, bridges]);
    expect(await asked('GET', `${P}/pipelines/9/bridges`, {}, both.pass)).toEqual([200, '[{"id":9}]', 1]);
  });

  test('R4 A66 below .jobpass/ nothing is written by the query either', async () => {
    const query = new URLSearchParams([
      ['actions[][action]', 'create'],
      ['actions[][file_path]', '.jobpass/x'],
      ['actions[][content]', 'x'],
    ]);
    const body = { branch: 'a', commit_message: 'x' };
    expect(await asked('POST', `${P}/repository/commits?${query.toString()}`, { body })).toEqual([
      403,
      expect.stringContaining('.jobpass/'),
      0,
    ]);
  });

  test('R5 no pass lets others push to a branch when the job is over', async () => {
    for (const name of ['allow_collaboration', 'allow_maintainer_to_push']) {
      expect(await asked('PUT', `${P}/merge_requests/9`, { body: { [name]: true } })).toEqual([403, expect.stringContaining(name), 0]);
      expect(await asked('PUT', `${P}/merge_requests/9?${name}=1`, { body: {} })).toEqual([403, expect.stringContaining(name), 0]);
    }
    gate.gitlab.answers.set('PUT /projects/7/merge_requests/9', [200, { iid: 9, sha: 'x' }]);
    expect(await asked('PUT', `${P}/merge_requests/9`, { body: { allow_collaboration: false } })).toMatchObject([200, {}, 1]);
  });

  test('A22 a large-file call says what it wants in its body only: Rails takes the query first', async () => {
    const raw = JSON.stringify({ operation: 'download', objects: [{ oid: 'ab'.repeat(32), size: 1 }] });
    for (const [path, body] of [
      ['/objects/batch?operation=upload', raw],
      ['/locks/9/unlock?force=true', '{}'],
      ['/locks?path=b', '{"path":"a"}'],
      ['/objects/verify?size=1', raw],
    ] as const)
      expect([path, ...(await asked('POST', `${lfs}${path}`, { raw: body, headers: lfsType }))]).toEqual([
        path,
        400,
        expect.any(String),
        0,
      ]);
    gate.gitlab.answers.set('GET /team/app.git/info/lfs/locks', [200, { locks: [] }]);
    expect((await asked('GET', `${lfs}/locks?path=a`))[0]).toBe(200);
  });

  test("R4 to take another's lock back a pass needs the right for that", async () => {
    gate.gitlab.answers.set('POST /team/app.git/info/lfs/locks/9/unlock', [200, { lock: { id: '9' } }]);
    const bounded = await gate.job({
      variables: [
        { key: 'JOBPASS_EXPOSE', value: 'variable' },
        { key: 'JOBPASS_PERMISSIONS', value: 'code:*' },
      ],
    });
    const unlock = (body: unknown, pass: string) =>
      asked('POST', `${lfs}/locks/9/unlock`, { raw: JSON.stringify(body), headers: lfsType }, pass);
    expect(await unlock({ force: true }, bounded.pass)).toEqual([403, expect.stringContaining('lfs_lock:force'), 0]);
    expect((await unlock({ force: false, ref: { name: 'refs/heads/a' } }, bounded.pass)).slice(0, 1)).toEqual([200]);
    expect((await unlock({ force: true }, job.pass)).slice(0, 1)).toEqual([200]);
    await gate.end(bounded);
  });

  test('A22 refs are asked for with one service: one reader takes the first, another the last', async () => {
    const refs = '/team/app.git/info/refs?service=git-upload-pack';
    gate.gitlab.answers.set('GET /team/app.git/info/refs', [200, 'refs']);
    expect((await asked('GET', refs))[0]).toBe(200);
    expect(await asked('GET', `${refs}&service=git-receive-pack`)).toEqual([403, expect.any(String), 0]);
  });
});
