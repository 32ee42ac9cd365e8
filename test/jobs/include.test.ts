import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { id, type PipelineId, type ProjectId } from '../../src/base/ids.ts';
import { IncludeSource } from '../../src/jobs/include-source.ts';
import { type Claimed, startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
let alice: { id: number; token: string };
let carol: { id: number; token: string };
let runner: { id: number; token: string };
let app: number;
let near: number;
let far: number;

beforeAll(async () => {
  server = await startTestServer();
  [alice, carol] = [await server.user('alice'), await server.user('carol')];
  runner = await server.runner();
  [app, near, far] = [await server.project('team/app'), await server.project('team/near'), await server.project('other/far')];
  await server.member(app, alice.id, 40);
  await server.commit(app, 'README', 'x', { token: alice.token });
  for (const templates of [near, far]) {
    await server.member(templates, alice.id, 20);
    await server.member(templates, carol.id, 40);
    await server.commit(templates, 'inputs.yml', 'inputs: {what: {default: made}}', { token: carol.token });
    await server.commit(templates, 'build.yml', '.build: {script: make}', { token: carol.token });
    await server.commit(templates, 'side.yml', '.side: {script: make}', { token: carol.token, branch: 'side', start: 'main' });
  }
});
afterAll(() => server.stop());

const included = (...entries: readonly string[]): string => `include: [${entries.join(', ')}]\na: {script: x}\n`;

const written = new Set<string>();
/** Creates a file, or changes it. */
async function write(project: number, path: string, content: string, token: string): Promise<void> {
  const key = `${project}:${path}`;
  const action = written.has(key) ? 'update' : 'create';
  written.add(key);
  const actions = [{ action, file_path: path, content }];
  await server.must('POST', `/api/v4/projects/${project}/repository/commits`, { branch: 'main', commit_message: path, actions }, token);
}
/** What the pipeline of alice's push of this file comes to. */
async function pushed(text: string): Promise<{ id: number; errors: string | null }> {
  await write(app, '.gitlab-ci.yml', text, alice.token);
  const { rows } = await server.store.jobs.listPipelines(null, id<ProjectId>(app), {}, { page: 1, perPage: 1 });
  return { id: Number(rows[0]?.id), errors: rows[0]?.yamlErrors ?? null };
}
async function claim(): Promise<Claimed> {
  const job = await server.claim(runner.token);
  if (job === undefined) throw new Error('no job');
  await server.finish(job);
  return job;
}
async function principals(text: string): Promise<unknown> {
  expect((await pushed(text)).errors).toBeNull();
  return principalsOf(await claim());
}
async function principalsOf(job: Claimed): Promise<unknown> {
  const page = await server.must('GET', `/api/v4/projects/${app}/jobs/${job.id}/jobpass`, undefined, alice.token);
  return (page['principals'] as { username: string; reason: string }[]).map(({ username, reason }) => `${username}: ${reason}`);
}

test('A57 R3 whoever pushed an included commit that no protected ref has is a principal', async () => {
  expect(await principals(included('{project: team/near, file: side.yml, ref: side}'))).toEqual(['alice: starter', 'carol: include']);
});

test('A57 R3 A59 of an included protected ref its last mover is a principal: beyond the own top-level group, or everywhere for a foreign one', async () => {
  expect(await principals(included('{project: team/near, file: build.yml}'))).toEqual(['alice: starter', 'carol: last_merger']);
  expect(await principals(included('{project: other/far, file: build.yml, ref: main}'))).toEqual(['alice: starter', 'carol: include']);
  await server.must('PUT', '/api/v4/user/jobpass/trusted_projects/other%2Ffar', undefined, alice.token);
  expect(await principals(included('{project: other/far, file: build.yml}'))).toEqual(['alice: starter']);
  await server.call('DELETE', `/api/v4/user/jobpass/trusted_projects/${far}`, { token: alice.token });
});

test('A57 A59 R3 who wrote an included file that triggers a child pipeline answers for the jobs of the child, and of its child', async () => {
  await write(near, 'hop.yml', 'hop: {trigger: {include: kids/child.yml}, variables: {WHAT: theirs}}\n', carol.token);
  await write(app, 'kids/child.yml', 'a: {script: $WHAT}\nnext: {trigger: {include: kids/grandchild.yml}}\n', alice.token);
  await write(app, 'kids/grandchild.yml', 'b: {script: $WHAT}\n', alice.token);
  expect((await pushed('include: [{project: team/near, file: hop.yml}]\n')).errors).toBeNull();
  for (const name of ['a', 'b']) {
    await expect.poll(async () => (await server.store.jobs.waiting(null, 10)).length, { timeout: 20_000, interval: 20 }).toBe(1);
    const job = await claim();
    expect([(job.payload['job_info'] as { name: string }).name, await principalsOf(job)]).toEqual([
      name,
      ['alice: starter', 'carol: last_merger'],
    ]);
  }
  // Whom the starter trusts by name is asked no further, in a child neither.
  await server.must('PUT', '/api/v4/user/jobpass/trusted_projects/team%2Fnear', undefined, alice.token);
  expect((await pushed('# again\ninclude: [{project: team/near, file: hop.yml}]\n')).errors).toBeNull();
  for (const _name of ['a', 'b']) {
    await expect.poll(async () => (await server.store.jobs.waiting(null, 10)).length, { timeout: 20_000, interval: 20 }).toBe(1);
    expect(await principalsOf(await claim())).toEqual(['alice: starter']);
  }
  await server.call('DELETE', `/api/v4/user/jobpass/trusted_projects/${near}`, { token: alice.token });
});

test('A57 R3 whoever wrote the inputs that a header includes is a principal, too', async () => {
  const header = 'spec: {include: [{project: other/far, file: inputs.yml}]}\n---\n';
  expect(await principals(`${header}a: {script: "$[[ inputs.what ]]"}\n`)).toEqual(['alice: starter', 'carol: include']);
});

test('A57 R3 of a sha that a protected ref has, whoever pushed that commit', async () => {
  const page = await server.must('GET', `/api/v4/projects/${far}/repository/branches/main`);
  const { id: sha } = page['commit'] as { id: string };
  expect(await principals(included(`{project: other/far, file: build.yml, ref: '${sha}'}`))).toEqual(['alice: starter', 'carol: include']);
});

test('A57 R3 who moved the ref when it was included counts, not who moved it since', async () => {
  expect((await pushed(included('{project: other/far, file: build.yml}'))).errors).toBeNull();
  await write(far, 'later.txt', 'x', server.root);
  expect(await principalsOf(await claim())).toEqual(['alice: starter', 'carol: include']);
  await write(far, 'later.txt', 'y', carol.token);
});

test('A57 a job whose included project is gone reaches its own project only', async () => {
  const gone = await server.project('other/gone');
  await server.member(gone, alice.id, 40);
  await server.commit(gone, 'a.yml', '.x: {script: x}', { token: alice.token });
  expect((await pushed(included('{project: other/gone, file: a.yml}'))).errors).toBeNull();
  await server.must('DELETE', `/api/v4/projects/${gone}`);
  const job = await claim();
  const [pass] = await server.store.passes.forJob(null, id(job.id));
  expect(pass?.ownProjectOnly).toBe(true);
});

test('R5 further down a chain that a pass began nothing of another project is included', async () => {
  const asked = vi.fn(() => Promise.resolve(undefined));
  const source = (parentJobId: number | null) =>
    new IncludeSource(
      { directory: { projectByPath: asked } } as never,
      { project: {}, creators: [], passId: null, parentJobId } as never,
      {} as never,
    );
  expect(await source(7).project('team/near', undefined)).toBeUndefined();
  expect(asked).not.toHaveBeenCalled();
  expect(await source(null).project('team/near', undefined)).toBeUndefined();
  expect(asked).toHaveBeenCalledOnce();
});

test('A41 R11 a hidden project and one that is not there look alike; a role makes the difference', async () => {
  const secret = await server.project('other/secret');
  await server.commit(secret, 'a.yml', '.x: {script: x}');
  const why = (path: string) => `line 1: include: project \`${path}\` does not exist, or not everybody whose pipeline this is may read it`;
  expect((await pushed(included('{project: other/secret, file: a.yml}'))).errors).toBe(why('other/secret'));
  expect((await pushed(included('{project: other/none, file: a.yml}'))).errors).toBe(why('other/none'));
  await server.member(secret, alice.id, 20);
  expect((await pushed(included('{project: other/secret, file: a.yml}'))).errors).toBeNull();
  await claim();
});

test('files of the own project are those of the pipeline’s commit, and wildcards find them', async () => {
  await server.commit(app, 'ci/one.yml', 'one: {script: x}', { token: alice.token });
  await claim();
  const made = await pushed(included('ci/*.yml'));
  expect(made.errors).toBeNull();
  const jobs = await server.store.jobs.jobsOfPipeline(null, id<PipelineId>(made.id));
  expect(jobs.map(({ name }) => name)).toEqual(['one', 'a']);
  expect(await server.store.pipelineIncludes.of(null, id<PipelineId>(made.id))).toEqual([]);
  await claim();
  await claim();
});

test('rules:changes and rules:exists look at the commit; a new branch counts every file as changed', async () => {
  const rules = [
    'a: {script: x, rules: [{changes: [src/**/*]}]}',
    'b: {script: x, rules: [{changes: [.gitlab-ci.yml]}]}',
    'c: {script: x, rules: [{exists: [ci/*.yml]}]}',
    'd: {script: x, rules: [{exists: [ci/*.toml]}]}',
    'e: {script: x, rules: [{changes: {paths: [src/*], compare_to: main}}]}',
  ].join('\n');
  const names = async (pipeline: number) =>
    (await server.store.jobs.jobsOfPipeline(null, id<PipelineId>(pipeline))).map(({ name }) => name);
  expect(await names((await pushed(rules)).id)).toEqual(['b', 'c']);
  await server.commit(app, 'src/x', '1', { token: alice.token, branch: 'feature', start: 'main' });
  const newest = async () => (await server.store.jobs.listPipelines(null, id<ProjectId>(app), {}, { page: 1, perPage: 1 })).rows[0];
  expect(await names(Number((await newest())?.id))).toEqual(['a', 'b', 'c', 'e']);
  await server.commit(app, 'other', '1', { token: alice.token, branch: 'feature' });
  expect(await names(Number((await newest())?.id))).toEqual(['c', 'e']);
  expect((await pushed('a: {script: x, rules: [{changes: {paths: [x], compare_to: none}}]}')).errors).toBe(
    'rules:changes: `compare_to`: there is no branch, tag or commit `none`',
  );
});

test('A56 R3 who set a variable of the bridge’s environment, which it hands on, answers for the jobs of the child', async () => {
  for (let left = await server.claim(runner.token); left !== undefined; left = await server.claim(runner.token)) await server.finish(left);
  await server.member(app, carol.id, 40);
  const variable = { key: 'KEPT', value: 'theirs', environment_scope: 'prod' };
  await server.must('POST', `/api/v4/projects/${app}/variables`, variable, carol.token);
  await write(app, 'kids/child.yml', 'a: {script: $WHAT}\n', alice.token);
  await pushed('hop: {trigger: {include: kids/child.yml}, environment: prod, variables: {WHAT: $KEPT}}\n');
  await expect.poll(async () => (await server.store.jobs.waiting(null, 10)).length, { timeout: 20_000, interval: 20 }).toBe(1);
  const job = await claim();
  expect((job.payload['variables'] as { key: string; value: string }[]).find(({ key }) => key === 'WHAT')?.value).toBe('theirs');
  expect(await principalsOf(job)).toEqual(['alice: starter', 'carol: kept_variable']);
});
