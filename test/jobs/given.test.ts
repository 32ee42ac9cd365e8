import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { JobCache, JobStep, JobVariable } from '../../src/wire/runner.ts';
import { payloadErrors } from '../conformance/runner-payload.ts';
import { type Claimed, startTestServer, type TestServer } from '../support/server.ts';

const secret = 'correct-horse-battery';
const file = (job: string): string => `stages: [test]\nvariables: {FROM_FILE: global, P_LEVEL: file}\njob:\n  script: ["true"]\n${job}`;

describe('what a job is given', () => {
  let server: TestServer;
  let alice: { id: number; token: string };
  let bob: { id: number; token: string };
  let runner: { id: number; token: string };
  let last = 0;

  beforeAll(async () => {
    server = await startTestServer();
    [alice, bob] = [await server.user('alice'), await server.user('bob')];
    runner = await server.runner();
  });
  afterAll(() => server.stop());

  /** A project of its own for each test, with a file on `main`, which is protected, and on `work`. */
  async function project(job: string): Promise<number> {
    const id = await server.project(`team/app${(last += 1)}`);
    for (const user of [alice, bob]) await server.member(id, user.id, 40);
    await server.commit(id, '.gitlab-ci.yml', file(job), { token: alice.token });
    await claim();
    return id;
  }
  async function claim(): Promise<Claimed> {
    const job = await server.claim(runner.token);
    if (job === undefined) throw new Error('no job');
    expect(payloadErrors(job.payload)).toEqual([]);
    return job;
  }
  async function run(id: number, ref: string, variables: readonly object[] = [], token = alice.token): Promise<Claimed> {
    await server.must('POST', `/api/v4/projects/${id}/pipeline`, { ref, variables }, token);
    return claim();
  }
  const variable = (where: string, key: string, value: string, more: object = {}) =>
    server.must('POST', `/api/v4/${where}/variables`, { key, value, ...more });
  const listed = ({ payload }: Claimed) => new Map((payload['variables'] as JobVariable[]).map((one) => [one.key, one]));
  const valueIn = (job: Claimed, key: string) => listed(job).get(key)?.value;

  test("the nearest owner's variable wins; protected ones are for protected refs; kinds and flags are the runner's", async () => {
    const id = await project('');
    await server.must('POST', `/api/v4/projects/${id}/repository/branches`, { branch: 'work', ref: 'main' }, alice.token);
    await claim();
    const project_ = `projects/${id}`;
    const group = `groups/${String(((await server.must('GET', `/api/v4/projects/${id}`))['namespace'] as { id: number }).id)}`;
    await server.must('POST', '/api/v4/admin/ci/variables', { key: 'P_LEVEL', value: 'instance' });
    await server.must('POST', '/api/v4/admin/ci/variables', { key: 'FROM_FILE', value: 'instance' });
    await variable(group, 'P_LEVEL', 'group');
    await variable(group, 'FROM_GROUP', 'group');
    await variable(project_, 'P_LEVEL', 'project');
    await variable(project_, 'GUARDED', secret, { protected: true, masked: true });
    await variable(project_, 'RAW', 'a$P_LEVEL', { raw: true });
    await variable(project_, 'NESTED', '<$P_LEVEL> $RAW $CI_JOB_ID');
    await variable(project_, 'CONFIG', 'lines\nand $P_LEVEL', { variable_type: 'file' });
    await variable(project_, 'LIVE_ONLY', 'x', { environment_scope: 'live' });
    const work = await run(id, 'work', [{ key: 'GIVEN', value: 'x' }]);
    expect(['P_LEVEL', 'FROM_FILE', 'FROM_GROUP', 'GUARDED', 'LIVE_ONLY', 'GIVEN'].map((key) => valueIn(work, key))).toEqual([
      'project',
      'instance',
      'group',
      undefined,
      undefined,
      'x',
    ]);
    expect(listed(work).get('CONFIG')).toEqual({ key: 'CONFIG', value: 'lines\nand $P_LEVEL', public: false, masked: false, file: true });
    expect(listed(work).get('RAW')).toMatchObject({ value: 'a$P_LEVEL', raw: true });
    // What the runner expands by itself stays: raw ones, and what only it knows.
    expect(valueIn(work, 'NESTED')).toBe('<project> $RAW $CI_JOB_ID');
    const main = await run(id, 'main', [{ key: 'P_LEVEL', value: 'pipeline' }]);
    expect(listed(main).get('GUARDED')).toEqual({ key: 'GUARDED', value: secret, public: false, masked: true });
    expect(valueIn(main, 'P_LEVEL')).toBe('pipeline');
    for (const key of ['P_LEVEL', 'FROM_FILE'])
      expect((await server.call('DELETE', `/api/v4/admin/ci/variables/${key}`, { token: server.root })).status).toBe(204);
  });

  test('A50 a CI/CD variable narrows what a job sees of its pass and may do with it, and never widens', async () => {
    const id = await project('  variables: {JOBPASS_PERMISSIONS: "code:*"}\n');
    await variable(`projects/${id}`, 'JOBPASS_EXPOSE', 'replace');
    await variable(`projects/${id}`, 'JOBPASS_PERMISSIONS', 'project:read code:download');
    const job = await run(id, 'main');
    expect((job.payload['extended_job_token'] as { exposure: string }).exposure).toBe('withhold');
    const notes = (job.payload['extended_job_token'] as { notes: string[] }).notes.join('\n');
    expect(notes).toContain('the job did not ask for its pass');
    expect(notes).toContain('bounded by the job: code:*');
    expect(notes).toContain('bounded by a CI/CD variable: project:read code:download');
  });

  test('R3 A56 whoever set a variable that a job gets is a principal, but within the top-level group; an administrator is none', async () => {
    const id = await project('');
    const elsewhere = await server.project('vault/closed');
    await server.member(elsewhere, alice.id, 40);
    await server.commit(elsewhere, 'a.txt', 'a');
    const set = (token: string) => server.must('PUT', `/api/v4/projects/${id}/variables/BASH_ENV`, { value: './steal.sh' }, token);
    const reach = async (job: Claimed): Promise<readonly number[]> => {
      const authorization = `Basic ${Buffer.from(`x:${job.fetchPass}`).toString('base64')}`;
      const paths = ['vault/closed', `team/app${last}`];
      const replies = paths.map((path) =>
        server.call('GET', `/${path}.git/info/refs?service=git-upload-pack`, { headers: { authorization } }),
      );
      return (await Promise.all(replies)).map(({ status }) => status);
    };
    const notes = ({ payload }: Claimed) => (payload['extended_job_token'] as { notes: string[] }).notes.join('\n');
    await server.must('POST', `/api/v4/projects/${id}/variables`, { key: 'BASH_ENV', value: 'x' }, bob.token);
    const byBob = await run(id, 'main');
    expect(notes(byBob)).toContain('rights of: alice (starter) ∩ bob (kept variable)');
    expect(await reach(byBob)).toEqual([404, 200]);
    await server.must('PUT', `/api/v4/user/jobpass/trusted_projects/${id}`, {}, alice.token);
    expect(await reach(await run(id, 'main'))).toEqual([200, 200]);
    expect((await server.call('DELETE', `/api/v4/user/jobpass/trusted_projects/${id}`, { token: alice.token })).status).toBe(204);
    await set(alice.token);
    expect(await reach(await run(id, 'main'))).toEqual([200, 200]);
    await set(bob.token);
    expect(await reach(await run(id, 'main'))).toEqual([404, 200]);
    await set(server.root);
    const byRoot = await run(id, 'main');
    expect([notes(byRoot).includes('kept variable'), await reach(byRoot)]).toEqual([false, [200, 200]]);
  });

  test('R13 a job whose variable cannot be opened fails, and says which', async () => {
    const id = await project('');
    await variable(`projects/${id}`, 'BROKEN', secret);
    const [row] = await server.store.variables.byKey(null, { kind: 'project', id: id as never }, 'BROKEN');
    if (row === undefined) throw new Error('no variable');
    await server.must('POST', `/api/v4/projects/${id}/pipeline`, { ref: 'main' }, alice.token);
    await server.store.transactor.write((tx) => server.store.variables.change(tx, row.id, { sealed: 'A'.repeat(60) }));
    expect(await server.claim(runner.token)).toBeUndefined();
    const { list } = await server.call('GET', `/api/v4/projects/${id}/jobs`, { token: alice.token });
    expect(list[0]).toMatchObject({ status: 'failed', failure_reason: 'runner_system_failure' });
    const refused = await server.call('POST', `/api/v4/projects/${id}/pipeline`, { token: alice.token, body: { ref: 'main' } });
    expect([refused.status, refused.text]).toEqual([400, expect.stringContaining('BROKEN cannot be opened')]);
  });

  test('id_tokens: others verify them with the published key, and read who runs where', async () => {
    const id = await project('  id_tokens: {VAULT: {aud: "https://vault.example"}, TWO: {aud: [one, "$FROM_FILE-$CI_PROJECT_ID"]}}\n');
    const job = await run(id, 'main');
    expect(listed(job).get('VAULT')).toMatchObject({ masked: true, public: false, raw: true });
    const metadata = await server.must('GET', '/.well-known/openid-configuration');
    expect(metadata).toMatchObject({ issuer: server.url, jwks_uri: `${server.url}/oauth/discovery/keys` });
    const keys = createRemoteJWKSet(new URL(String(metadata['jwks_uri'])));
    const check = async (name: string, audience: string) =>
      (await jwtVerify(valueIn(job, name) ?? '', keys, { issuer: server.url, audience, algorithms: ['RS256'] })).payload;
    const claims = await check('VAULT', 'https://vault.example');
    expect(claims).toMatchObject({
      aud: 'https://vault.example',
      sub: `project_path:team/app${last}:ref_type:branch:ref:main`,
      project_id: String(id),
      namespace_path: 'team',
      user_login: 'alice',
      job_id: String(job.id),
      ref_path: 'refs/heads/main',
      ref_protected: 'true',
      runner_id: runner.id,
      jobpass_principals: 1,
    });
    expect(Number(claims.exp) - Number(claims.iat)).toBe(3600);
    expect(Object.keys(claims).filter((name) => !(metadata['claims_supported'] as string[]).includes(name))).toEqual([]);
    expect((await check('TWO', `global-${id}`)).aud).toEqual(['one', `global-${id}`]);
    await expect(check('TWO', 'three')).rejects.toThrow(/aud/);
  });

  test("R5 an ID token ends with its job's timeout, R3 and does not speak for a person in whose job others had their hands", async () => {
    const id = await project('  timeout: 10m\n  id_tokens: {T: {aud: x}}\n');
    await server.commit(id, 'a.txt', 'a', { token: bob.token, branch: 'work', start: 'main' });
    await claim();
    const job = await run(id, 'work');
    const claims: Record<string, unknown> = JSON.parse(Buffer.from(String(valueIn(job, 'T')?.split('.')[1]), 'base64url').toString());
    expect(Number(claims['exp']) - Number(claims['iat'])).toBe(600);
    expect(claims).toMatchObject({ jobpass_principals: 2, ref_protected: 'false' });
    expect(Object.keys(claims).filter((name) => name.startsWith('user_'))).toEqual([]);
  });

  test('R15 A33 caches are kept apart by trust tier and principals, whatever the file says', async () => {
    const id = await project(
      '  cache:\n    - {key: deps, paths: [vendor], fallback_keys: [other]}\n    - {key: {files: [a.txt, gone], prefix: p}, paths: [x]}\n    - {key: {files: [gone]}, paths: [x]}\n',
    );
    const caches = (job: Claimed) => job.payload['cache'] as JobCache[];
    const main = await run(id, 'main');
    const inputs = (main.payload['extended_job_token'] as { inputs_key: string }).inputs_key;
    expect(inputs).toMatch(/^protected-[0-9a-f]{16}$/);
    expect(caches(main)[0]).toEqual({
      key: `deps-${inputs}`,
      fallback_keys: [`other-${inputs}`],
      untracked: false,
      policy: 'pull-push',
      paths: ['vendor'],
      when: 'on_success',
    });
    expect(
      caches(main)
        .map(({ key }) => key)
        .slice(1),
    ).toEqual([`p-default-${inputs}`, `default-${inputs}`]);
    await server.commit(id, 'a.txt', 'a', { token: bob.token, branch: 'work', start: 'main' });
    const [byBob, byAlice] = [await claim(), await run(id, 'work')];
    const [one, two] = [byBob, byAlice].map((job) => caches(job).map(({ key }) => key));
    expect(one?.[0]).toMatch(/^deps-non_protected-/);
    expect(one?.[1]).toMatch(/^p-[0-9a-f]{40}-non_protected-/);
    expect(one?.filter((key) => two?.includes(key))).toEqual([]);
    await server.commit(id, 'b.txt', 'b', { token: bob.token, branch: 'work' });
    expect(caches(await claim()).map(({ key }) => key)).toEqual(one);
  });

  test('R5 a release is made by the step that the runner gets, with the job token, values as they are', async () => {
    const id = await project(
      [
        '  hooks: {pre_get_sources_script: [date]}',
        '  after_script: [done]',
        '  release:',
        `    tag_name: v1/$CI_PIPELINE_ID`,
        '    name: "it\'s $FROM_FILE; $(touch pwned) `x`"',
        '    description: NOTES.md',
        '    assets: {links: [{name: "a tool", url: "https://files.example/$FROM_FILE", filepath: /bin/tool, link_type: package}]}',
        '',
      ].join('\n'),
    );
    const job = await run(id, 'main');
    expect(job.payload['hooks']).toEqual([{ name: 'pre_get_sources_script', script: ['date'] }]);
    const steps = job.payload['steps'] as JobStep[];
    expect(steps.map(({ name }) => name)).toEqual(['script', 'release', 'after_script']);
    const folder = await mkdtemp(join(tmpdir(), 'jobpass-release-'));
    try {
      await writeFile(join(folder, 'NOTES.md'), '# What is new\n\n"quotes" & more\n');
      const env = Object.fromEntries([...listed(job).values()].map(({ key, value }) => [key, value]));
      await promisify(execFile)('/bin/sh', ['-c', (steps[1]?.script ?? []).join('\n')], {
        cwd: folder,
        env: { ...env, PATH: '/usr/bin:/bin' },
      });
    } finally {
      await rm(folder, { recursive: true });
    }
    const tag = encodeURIComponent(`v1/${valueIn(job, 'CI_PIPELINE_ID') ?? ''}`);
    expect(await server.must('GET', `/api/v4/projects/${id}/releases/${tag}`, undefined, alice.token)).toMatchObject({
      name: "it's global; $(touch pwned) `x`",
      description: '# What is new\n\n"quotes" & more\n',
      author: { username: 'alice' },
      commit: { id: valueIn(job, 'CI_COMMIT_SHA') },
      assets: { links: [{ name: 'a tool', url: 'https://files.example/global', link_type: 'package' }] },
    });
    // What the job token wrote starts nothing.
    expect(await server.claim(runner.token)).toBeUndefined();
  });
});
