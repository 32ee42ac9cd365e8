import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JobId, PipelineId } from '../../src/base/ids.ts';
import { fixedSeed, randomSeed } from '../fuzz/cases.ts';
import { passFor } from '../support/pass.ts';
import { type Claimed, startTestServer, type TestServer } from '../support/server.ts';
import { branches, type Hands, type Line, Model, people, type Step, step } from './history-model.ts';

/** How deep pipelines that passes start may nest. */
const depth = 2;
/** Jobs of one story that are looked at once it is told. */
const lastJobs = 6;
const ciFile = `stages: [build, test]
build:
  stage: build
  script: ["true"]
  artifacts: {paths: [out]}
test:
  stage: test
  script: ["true"]
`;
const archive = '--b\r\ncontent-disposition: form-data; name="file"; filename="a.zip"\r\n\r\nPK\r\n--b--\r\n';

let server: TestServer;
let users: readonly { readonly id: number; readonly token: string }[];
let group = 0;
let runners: readonly string[];
beforeAll(async () => {
  server = await startTestServer();
  users = await Promise.all(people.map((name) => server.user(name)));
  group = Number((await server.must('POST', '/api/v4/groups', { name: 'team', path: 'team', visibility: 'private' }))['id']);
  for (const { id } of users) await server.must('POST', `/api/v4/groups/${group}/members`, { user_id: id, access_level: 50 });
  const instance = await server.runner();
  const own = async (by: number): Promise<string> => {
    const made = await server.must(
      'POST',
      '/api/v4/user/runners',
      { runner_type: 'group_type', group_id: group, run_untagged: true },
      users[by]?.token,
    );
    return String(made['token']);
  };
  runners = [instance.token, await own(1), await own(2)];
});
afterAll(() => server.stop());

/** One story, told to the server and to the model. @returns how many jobs were compared */
async function play(steps: readonly Step[]): Promise<number> {
  const model = new Model();
  const made = await server.must('POST', '/api/v4/projects', {
    name: `p${String(Math.random()).slice(2)}`,
    namespace_id: group,
    visibility: 'private',
  });
  const project = Number(made['id']);
  const P = `/api/v4/projects/${project}`;
  await server.must('PUT', P, { jobpass_chain_depth: depth });
  const token = (number: number): string => users[number]?.token ?? '';
  const seen = new Set<number>();
  let files = 0;
  let compared = 0;
  const failed: number[] = [];

  /** Pipelines that a push made are told by nobody: they are looked for. */
  async function pipelinesOf(line: Line): Promise<void> {
    const { list } = await server.call('GET', `${P}/pipelines?per_page=100`, { token: server.root });
    for (const { id } of list) {
      if (seen.has(Number(id))) continue;
      seen.add(Number(id));
      model.lines.set(Number(id), line);
    }
  }

  async function push(by: Hands, credential: string, name: string, line: Line): Promise<void> {
    const exists = model.heads.has(name);
    if (!exists) {
      const start = model.heads.get('main');
      if (start !== undefined) model.heads.set(name, start);
    }
    const start = exists || name === 'main' ? {} : { start: 'main' };
    const file = files === 0 ? '.gitlab-ci.yml' : `f${files}.txt`;
    files += 1;
    const sha = await server.commit(project, file, files === 1 ? ciFile : 'x', { token: credential, branch: name, ...start });
    model.moved(name, sha, by);
    await pipelinesOf(line);
  }

  async function start(credential: string, name: string, variables: boolean, line: Line): Promise<number> {
    const body = { ref: name, ...(variables ? { variables: [{ key: 'A', value: '1' }] } : {}) };
    const { status } = await server.call('POST', `${P}/pipeline`, { token: credential, body });
    if (status === 201) await pipelinesOf(line);
    return status;
  }

  async function take(one: Extract<Step, { does: 'run' }>): Promise<void> {
    const job = await server.claim(runners[one.runner] ?? '');
    if (job === undefined) return;
    const row = await server.store.jobs.job(null, job.id as JobId);
    if (row === undefined) throw new Error('no job');
    const facts = { starter: numberOf(row.userId), pipeline: Number(row.pipelineId), sha: row.sha, ref: row.ref, stage: row.stage };
    const wanted = model.rightsOf(facts, one.runner === 0 ? undefined : one.runner);
    const found = await server.store.jobRights.of(null, row.id);
    const told = found?.principals.map(({ userId }) => numberOf(userId)) ?? [];
    expect([told[0], new Set(told), found?.provable, told.length]).toEqual([facts.starter, wanted, true, wanted.size]);
    compared += 1;
    model.rights.set(job.id, wanted);
    await usePass(one, job, wanted, model.lines.get(facts.pipeline)?.depth ?? 0);
    if (one.end === 'success' && row.stage === 'build') {
      const headers = { 'job-token': job.token, 'content-type': 'multipart/form-data; boundary=b' };
      await server.call('POST', `/api/v4/jobs/${job.id}/artifacts`, { headers, raw: archive });
      model.built.set(facts.pipeline, job.id);
    }
    await server.finish(job, one.end);
    if (one.end === 'failed') failed.push(job.id);
  }

  /** What a pass does counts as done by all whose rights it has, and stands one deeper in the chain. */
  async function usePass(one: Extract<Step, { does: 'run' }>, job: Claimed, hands: Hands, at: number): Promise<void> {
    const [first] = hands;
    const full = await passFor(
      server,
      job,
      [...hands].map((number) => users[number]?.id ?? 0),
    );
    const line = { hands, user: first ?? 0, depth: at + 1 };
    const [writes, starts] = [branches[one.writes - 1], branches[one.starts - 1]];
    if (writes !== undefined && model.heads.has(writes)) {
      await push(hands, full, writes, line);
      // At the end of the chain the push works and starts nothing (R5).
      if (at === depth) expect([...model.lines.values()].every((known) => known.depth <= depth)).toBe(true);
    }
    if (starts !== undefined && model.heads.has(starts)) expect(await start(full, starts, false, line)).toBe(at < depth ? 201 : 403);
  }

  const numberOf = (id: number): number => users.findIndex((user) => user.id === id);
  const alone = (number: number): Line => ({ hands: new Set(), user: number, depth: 0 });
  await push(new Set([0]), token(0), 'main', alone(0));
  for (const one of steps) {
    const name = 'branch' in one ? (branches[one.branch] ?? 'main') : 'main';
    if (one.does === 'push') await push(new Set([one.who]), token(one.who), name, alone(one.who));
    else if (one.does === 'run') await take(one);
    else if (one.does === 'trust' || one.does === 'distrust') {
      const method = one.does === 'trust' ? 'PUT' : 'DELETE';
      await server.call(method, `/api/v4/user/jobpass/trusted_projects/${project}`, { token: token(one.who) });
      if (one.does === 'trust') model.trusting.add(one.who);
      else model.trusting.delete(one.who);
    } else if (one.does === 'retry') {
      const id = failed.pop();
      if (id !== undefined) await server.call('POST', `${P}/jobs/${id}/retry`, { token: token(one.who) });
    } else if (!model.heads.has(name) && one.does !== 'branch') continue;
    else if (one.does === 'protect' || one.does === 'unprotect') {
      const path = one.does === 'protect' ? `${P}/protected_branches` : `${P}/protected_branches/${name}`;
      await server.call(one.does === 'protect' ? 'POST' : 'DELETE', path, {
        token: server.root,
        ...(one.does === 'protect' ? { body: { name } } : {}),
      });
      if (one.does === 'protect') model.guarded.add(name);
      else model.guarded.delete(name);
    } else if (one.does === 'branch') {
      const from = model.heads.get(branches[one.from] ?? 'main');
      if (from === undefined || model.heads.has(name)) continue;
      await server.must('POST', `${P}/repository/branches`, { branch: name, ref: from }, token(one.who));
      model.moved(name, from, new Set([one.who]));
      await pipelinesOf(alone(one.who));
    } else if (one.does === 'pipeline' || one.does === 'variables') {
      const variables = one.does === 'variables';
      await start(token(one.who), name, variables, variables ? { ...alone(one.who), hands: new Set([one.who]) } : alone(one.who));
    }
  }
  for (let more = 0; more < lastJobs; more += 1) await take({ does: 'run', runner: more % 3, writes: 0, starts: 0, end: 'success' });
  for (const id of model.lines.keys()) {
    const row = await server.store.jobs.pipeline(null, id as PipelineId);
    expect([row?.chainDepth, row?.parentJobId === null]).toEqual([model.lines.get(id)?.depth, model.lines.get(id)?.depth === 0]);
  }
  // The next story begins with nothing.
  await server.must('DELETE', P);
  return compared;
}

test('R3 R5 A1 A2 A55 A56 A58 A59 random histories: the rights of every job are what the rules make of the story', async () => {
  let jobs = 0;
  let stories = 0;
  for (const seed of [fixedSeed, randomSeed]) {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 6, maxLength: 10 }), async (steps) => {
        stories += 1;
        jobs += await play(steps);
      }),
      { seed, numRuns: 2, endOnFailure: true },
    );
  }
  console.log(`random histories: ${stories} stories, the rights of ${jobs} jobs compared, random seed ${randomSeed}`);
  expect(jobs).toBeGreaterThan(10);
}, 900_000);
