import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { id, type JobId, millis, type PassId, type PipelineId } from '../../src/base/ids.ts';
import { inheritedOf } from '../../src/jobs/inherited.ts';
import { passFor } from '../support/pass.ts';
import { type Claimed, startTestServer, type TestServer } from '../support/server.ts';

const ciFile = `stages: [test]
job:
  script: ["true"]
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
    - if: $CI_PIPELINE_SOURCE
gate:
  when: manual
  script: ["true"]
`;

const family = `job:
  tags: [family]
  script: ["true"]
down:
  needs: []
  trigger: {include: sub.yml}
`;

/** Everything by which a pass could set a job going. `starts` is false where a pass never may. */
const ways: readonly {
  readonly name: string;
  readonly work: (world: World) => Promise<{ readonly status: number; readonly text: string }>;
  readonly answer: number;
  /** Where the chain may be no deeper. */
  readonly refused?: number;
  readonly starts: boolean;
}[] = [
  {
    name: 'a commit on a branch',
    work: (world) =>
      world.post('repository/commits', {
        branch: 'work',
        commit_message: 'x',
        actions: [{ action: 'create', file_path: 'by-pass.txt', content: 'x' }],
      }),
    answer: 201,
    starts: true,
  },
  {
    name: 'a new branch',
    work: (world) => world.post('repository/branches', { branch: 'by-pass', ref: 'work' }),
    answer: 201,
    starts: true,
  },
  { name: 'a tag', work: (world) => world.post('repository/tags', { tag_name: 'v1', ref: 'work' }), answer: 201, starts: true },
  {
    name: 'a release that makes its tag',
    work: (world) => world.post('releases', { tag_name: 'r1', ref: 'work', name: 'x', description: 'x' }),
    answer: 201,
    starts: true,
  },
  { name: 'a pipeline', work: (world) => world.post('pipeline', { ref: 'work' }), answer: 201, refused: 403, starts: true },
  {
    name: 'a merge request',
    work: (world) => world.post('merge_requests', { source_branch: 'topic', target_branch: 'work', title: 'x' }),
    answer: 201,
    starts: true,
  },
  {
    name: 'a merge',
    work: (world) => world.put(`merge_requests/${world.mergeRequest}/merge`, {}),
    answer: 200,
    starts: true,
  },
  { name: 'a retried job', work: (world) => world.post(`jobs/${world.failed}/retry`, {}), answer: 403, refused: 403, starts: false },
  {
    name: 'a retried pipeline',
    work: (world) => world.post(`pipelines/${world.pipeline}/retry`, {}),
    answer: 403,
    refused: 403,
    starts: false,
  },
  { name: 'a manual job', work: (world) => world.post(`jobs/${world.manual}/play`, {}), answer: 403, refused: 403, starts: false },
];

interface World {
  readonly app: number;
  /** Its pass is what everything is sent with. */
  readonly job: Claimed;
  readonly mergeRequest: number;
  readonly failed: number;
  readonly manual: number;
  readonly pipeline: number;
  post(path: string, body: unknown): Promise<{ readonly status: number; readonly text: string }>;
  put(path: string, body: unknown): Promise<{ readonly status: number; readonly text: string }>;
}

describe('R5 chains: every way in which a pass could start a job', () => {
  let server: TestServer;
  let alice: { id: number; token: string };
  let runner: { token: string };

  const worlds = new Map<number, World>();
  beforeAll(async () => {
    server = await startTestServer();
    alice = await server.user('alice');
    runner = await server.runner();
    for (const depth of [0, 1]) worlds.set(depth, await world(depth));
  });
  afterAll(() => server.stop());

  const claim = async (): Promise<Claimed> => {
    const job = await server.claim(runner.token);
    if (job === undefined) throw new Error('no job');
    return job;
  };

  /** A project with a failed and a running pipeline, an open merge request, and the full pass of the running job. */
  async function world(depth: number): Promise<World> {
    const app = await server.project(`chain${depth}/app`);
    await server.member(app, alice.id, 40);
    await server.commit(app, 'readme.txt', 'x', { token: alice.token });
    for (const branch of ['work', 'topic', 'done'])
      await server.must('POST', `/api/v4/projects/${app}/repository/branches`, { branch, ref: 'main' }, alice.token);
    await server.commit(app, '.gitlab-ci.yml', ciFile, { token: alice.token, branch: 'work' });
    const failed = await claim();
    await server.finish(failed, 'failed');
    await server.commit(app, '.gitlab-ci.yml', ciFile, { token: alice.token, branch: 'topic' });
    await server.finish(await claim());
    await server.commit(app, 'merged.txt', 'x', { token: alice.token, branch: 'done' });
    await server.commit(app, 'more.txt', 'x', { token: alice.token, branch: 'work' });
    const job = await claim();
    const open = { source_branch: 'done', target_branch: 'work', title: 'x' };
    const { iid } = await server.must('POST', `/api/v4/projects/${app}/merge_requests`, open, alice.token);
    await server.must('PUT', `/api/v4/projects/${app}`, { jobpass_chain_depth: depth });
    const { list } = await server.call('GET', `/api/v4/projects/${app}/jobs?scope[]=manual`, { token: alice.token });
    const pass = await passFor(server, job, [alice.id]);
    const send = (method: string) => (path: string, body: unknown) =>
      server.call(method, `/api/v4/projects/${app}/${path}`, { token: pass, body });
    const row = await server.store.jobs.job(null, id<JobId>(failed.id));
    return {
      app,
      job,
      mergeRequest: Number(iid),
      failed: failed.id,
      manual: Number(list[0]?.['id']),
      pipeline: Number(row?.pipelineId),
      post: send('POST'),
      put: send('PUT'),
    };
  }

  const pipelines = async (app: number): Promise<readonly number[]> =>
    (await server.call('GET', `/api/v4/projects/${app}/pipelines?per_page=100`, { token: alice.token })).list.map((one) =>
      Number(one['id']),
    );
  const made = async (app: number, before: readonly number[]) => {
    const added = (await pipelines(app)).filter((one) => !before.includes(one));
    return Promise.all(added.map((one) => server.store.jobs.pipeline(null, id<PipelineId>(one))));
  };
  const jobs = async (app: number): Promise<number> =>
    (await server.call('GET', `/api/v4/projects/${app}/jobs?per_page=100`, { token: alice.token })).list.length;

  test.each(ways)('R5 $name starts nothing where chains are not allowed', async ({ work, answer, refused }) => {
    const here = worlds.get(0);
    if (here === undefined) throw new Error('no world');
    const [before, count] = [await pipelines(here.app), await jobs(here.app)];
    expect([await work(here), here.failed > 0, here.manual > 0, here.pipeline > 0]).toEqual([
      expect.objectContaining({ status: refused ?? answer }),
      true,
      true,
      true,
    ]);
    expect([await made(here.app, before), await jobs(here.app)]).toEqual([[], count]);
  });

  test.each(ways)('R5 $name names the job that started it, one level down, with its principals', async ({ work, answer, starts }) => {
    const here = worlds.get(1);
    if (here === undefined) throw new Error('no world');
    const [before, count] = [await pipelines(here.app), await jobs(here.app)];
    expect(await work(here)).toMatchObject({ status: answer });
    const added = await made(here.app, before);
    if (starts) expect(added).toEqual([expect.objectContaining({ parentJobId: here.job.id, chainDepth: 1, creators: [alice.id] })]);
    else expect([added, await jobs(here.app)]).toEqual([[], count]);
  });

  test('R5 what a pass starts is bounded as that pass is, child pipelines, too; where that pass leaked it may do nothing', async () => {
    const app = await server.project('family/app');
    await server.member(app, alice.id, 40);
    const elsewhere = await server.project('library/code');
    await server.member(elsewhere, alice.id, 40);
    await server.commit(elsewhere, 'a.txt', 'a');
    await server.commit(app, 'sub.yml', 'below: {tags: [family], script: ["true"]}');
    await server.commit(app, '.gitlab-ci.yml', family, { token: alice.token });
    await server.must('PUT', `/api/v4/projects/${app}`, { jobpass_chain_depth: 1 });
    const own = await server.runner({ tags: ['family'] });
    /** The child pipeline comes a little after the job beside its bridge. */
    const take = async (): Promise<Claimed> => {
      let job: Claimed | undefined;
      await expect.poll(async () => (job = await server.claim(own.token)) !== undefined, { timeout: 20_000, interval: 20 }).toBe(true);
      if (job === undefined) throw new Error('no job');
      return job;
    };
    const first = await take();
    await take();
    const full = await passFor(server, first, [alice.id]);
    const reach = async ({ fetchPass }: Claimed): Promise<readonly number[]> => {
      const authorization = `Basic ${Buffer.from(`x:${fetchPass}`).toString('base64')}`;
      const replies = ['family/app', 'library/code'].map((path) =>
        server.call('GET', `/${path}.git/info/refs?service=git-upload-pack`, { headers: { authorization } }),
      );
      return (await Promise.all(replies)).map(({ status }) => status);
    };
    const notes = ({ payload }: Claimed) => (payload['extended_job_token'] as { notes: string[] }).notes.join('\n');
    /** The job of the pipeline that a pass starts, and that of its child pipeline. */
    const started = async (pass: string): Promise<readonly Claimed[]> => {
      await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, pass);
      const both = [await take(), await take()];
      for (const job of both) expect(notes(job)).toContain(`the pass of job ${first.id}`);
      return both;
    };
    const reached = async (pass: string) => Promise.all((await started(pass)).map(reach));
    expect(await reached(full)).toEqual([
      [200, 200],
      [200, 200],
    ]);
    const narrow = await fetch(`${server.url}/-/jobpass/oauth/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: full,
        subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        scope: 'pipeline:create',
      }),
    });
    const narrowed = ((await narrow.json()) as { access_token: string }).access_token;
    expect(await reached(narrowed)).toEqual([
      [200, 403],
      [200, 403],
    ]);
    await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, full);
    const [pass] = await server.store.passes.forJob(null, id<JobId>(first.id)).then((all) => all.filter(({ kind }) => kind === 'full'));
    if (pass === undefined) throw new Error('no pass');
    await server.store.transactor.write((tx) => server.store.passes.revoke(tx, pass.id, 'found in the trace', millis(Date.now())));
    const late = await take();
    expect([await reach(late), notes(late)]).toEqual([[200, 403], expect.stringContaining('was found where it could be read')]);
    const row = await server.store.jobs.job(null, id<JobId>(late.id));
    const pipeline = row === undefined ? undefined : await server.store.jobs.pipeline(null, row.pipelineId);
    if (pipeline === undefined) throw new Error('no pipeline');
    const deps = { passes: server.store.passes, directory: server.store.directory, ceilings: server.store.ceilings };
    const bounds = async (passId: PassId | null) => (await inheritedOf(deps, { ...pipeline, passId })).limits.map((one) => one.permissions);
    expect([pipeline.passId, await bounds(null), await bounds(id<PassId>(9_999_999))]).toEqual([pass.id, [[]], [[]]]);
  });
});
