import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { silentLog } from '../../src/base/log.ts';
import { Secret } from '../../src/base/secret.ts';
import { registerRunner } from '../../src/runner/register.ts';
import { startRunner } from '../../src/runner/loop.ts';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';
import { runnerFeatures, startTestServer, type TestServer } from '../support/server.ts';

const run = promisify(execFile);

/** The gateway's own address is known to the forge, as GitLab's `external_url` would be. */
async function pair() {
  const draft = await startTestServer();
  const { port } = new URL(draft.url);
  await draft.stop();
  // The port that was free a moment ago is the gateway's.
  const url = `http://127.0.0.1:${port}`;
  const upstream = await startTestServer({ externalUrls: [url] });
  const runner = await upstream.runner();
  await upstream.must('PUT', `/api/v4/runners/${runner.id}`, { trust: 'none' });
  const older = await upstream.runner({ tags: ['older'] });
  await upstream.must('PUT', `/api/v4/runners/${older.id}`, { trust: 'none' });
  const gateway = await startTestGateway(upstream.url, upstream.root, {
    listen: [{ host: '127.0.0.1', port: Number(port) }],
    externalUrls: [url],
    trustedRunners: [runner.id as never],
    assistedRunners: [older.id as never],
  });
  return { upstream, gateway, runner, older };
}

const onlyByApi = `rules: [{if: '$CI_PIPELINE_SOURCE == "api"'}]`;

describe('what people do, through the gateway', () => {
  let upstream: TestServer;
  let gateway: TestGateway;
  let runner: { id: number; token: string };
  let older: { id: number; token: string };
  let alice: { id: number; token: string };
  let bob: { id: number; token: string };
  let app: number;
  let lib: number;
  let dir: string;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'jobpass-stories-'));
    // The shell executor's jobs run as another user.
    await chmod(dir, 0o711);
    ({ upstream, gateway, runner, older } = await pair());
    [alice, bob] = [await upstream.user('alice'), await upstream.user('bob')];
    [app, lib] = [await upstream.project('team/app'), await upstream.project('libs/secret')];
    await upstream.member(app, alice.id, 40);
    await upstream.member(app, bob.id, 30);
    await upstream.member(lib, alice.id, 30);
    await upstream.commit(lib, 'secret.txt', 'of the library\n', { token: upstream.root });
  }, 60_000);

  afterAll(async () => {
    await gateway?.stop();
    await upstream?.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const api = async (method: string, path: string, token: string, body?: unknown) => {
    const response = await fetch(`${gateway.url}${path}`, {
      method,
      redirect: 'manual',
      headers: { 'private-token': token, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, text: await response.text() };
  };

  async function ciFile(text: string): Promise<void> {
    const known = await upstream.call('GET', `/api/v4/projects/${app}/repository/files/.gitlab-ci.yml?ref=main`, { token: alice.token });
    await upstream.must(
      'POST',
      `/api/v4/projects/${app}/repository/commits`,
      {
        branch: 'main',
        commit_message: 'ci',
        actions: [{ action: known.status === 200 ? 'update' : 'create', file_path: '.gitlab-ci.yml', content: text }],
      },
      alice.token,
    );
  }

  async function claim(as: { token: string }, ref = 'main') {
    await upstream.must('POST', `/api/v4/projects/${app}/pipeline`, { ref }, as.token);
    const response = await fetch(`${gateway.url}/api/v4/jobs/request`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token: runner.token, info: { features: runnerFeatures } }),
    });
    if (response.status !== 201) throw new Error(`no job: ${response.status}`);
    const payload = (await response.json()) as { id: number; token: string; extended_job_token?: Record<string, unknown> };
    const extended = payload.extended_job_token;
    const end = async (): Promise<void> => {
      await fetch(`${gateway.url}/api/v4/jobs/${payload.id}`, {
        method: 'PUT',
        headers: { 'job-token': payload.token, 'content-type': 'application/json' },
        body: '{"state":"success"}',
      });
    };
    return {
      id: payload.id,
      extended,
      pass: String(extended?.['token']),
      fetch: String(extended?.['fetch_token']),
      notes: String(extended?.['notes']),
      end,
    };
  }

  const environment = (pass: string) => ({
    PATH: process.env['PATH'] ?? '',
    HOME: dir,
    PASS: pass,
    GIT_TERMINAL_PROMPT: '0',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_AUTHOR_NAME: 'a',
    GIT_AUTHOR_EMAIL: 'a@example.com',
    GIT_COMMITTER_NAME: 'a',
    GIT_COMMITTER_EMAIL: 'a@example.com',
  });
  const git = (pass: string, cwd: string, ...args: string[]) =>
    run('git', ['-c', 'credential.helper=', '-c', 'credential.helper=!f() { echo username=x; echo "password=$PASS"; }; f', ...args], {
      cwd,
      env: environment(pass),
    });

  test('R8 the jobpass runner clones a private submodule of another group, through the gateway', async () => {
    const work = join(dir, 'app');
    await git(alice.token, dir, 'init', '-q', '-b', 'main', work);
    await git(alice.token, work, 'remote', 'add', 'origin', `${gateway.url}/team/app.git`);
    await git(alice.token, work, 'submodule', '-q', 'add', '../../libs/secret.git', 'lib');
    const ci = `job:\n  ${onlyByApi}\n  variables: {GIT_SUBMODULE_STRATEGY: normal}\n  script: ["cat lib/secret.txt", "git -C lib remote -v"]\n`;
    await writeFile(join(work, '.gitlab-ci.yml'), ci);
    await git(alice.token, work, 'add', '.');
    await git(alice.token, work, 'commit', '-q', '-m', 'with the library');
    await git(alice.token, work, 'push', '-q', 'origin', 'main');
    const configPath = join(dir, 'config.toml');
    const { id, token } = await upstream.runner();
    await upstream.must('PUT', `/api/v4/runners/${id}`, { trust: 'none' });
    await registerRunner({
      url: gateway.url,
      token: new Secret(token),
      executor: 'shell',
      configPath,
      name: 'gateway',
      buildsDir: join(dir, 'builds'),
    });
    await upstream.must('PUT', `/api/v4/runners/${id}`, { trust: 'none' });
    await upstream.must('PUT', `/api/v4/runners/${runner.id}`, { paused: true });
    await upstream.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
    const handle = await startRunner({ configPath, log: silentLog, traceIntervalMs: 50, heartbeatMs: 200 });
    try {
      const job = await until(async () => {
        const { list } = await upstream.call('GET', `/api/v4/projects/${app}/jobs`, { token: alice.token });
        return list.find((one) => one['status'] === 'success' || one['status'] === 'failed');
      });
      const trace = await upstream.call('GET', `/api/v4/projects/${app}/jobs/${String(job['id'])}/trace`, { token: alice.token });
      expect(job['status'], trace.text).toBe('success');
      expect(trace.text).toContain('of the library');
      expect(trace.text).toContain('rights of: alice');
      expect(trace.text).not.toContain('jpt_');
    } finally {
      await handle.stop();
      await upstream.must('DELETE', `/api/v4/runners/${id}`);
      await upstream.must('PUT', `/api/v4/runners/${runner.id}`, { paused: false });
    }
  }, 60_000);

  test('a release with a link; quick actions are refused (A62)', async () => {
    await ciFile(`job:\n  ${onlyByApi}\n  variables: {JOBPASS_EXPOSE: variable}\n  script: ["true"]\n`);
    const job = await claim(alice);
    const release = {
      name: 'one',
      tag_name: 'v1',
      ref: 'main',
      description: 'first',
      assets: { links: [{ name: 'site', url: 'https://example.com' }] },
    };
    const made = await api('POST', `/api/v4/projects/${app}/releases`, job.pass, release);
    expect(made.status, made.text).toBe(201);
    expect(made.text).toContain('https://example.com');
    const sly = await api('PUT', `/api/v4/projects/${app}/releases/v1`, job.pass, { description: 'fine\n/close' });
    expect(sly.status).toBe(403);
    expect(sly.text).toContain('quick action');
    await job.end();
  });

  test('R5 what a pass wrote starts jobs without a pass; its push starts nothing', async () => {
    await ciFile(`job:\n  variables: {JOBPASS_EXPOSE: variable}\n  script: ["true"]\n`);
    // The commit above started one.
    await drain();
    const job = await claim(alice);
    const work = join(dir, 'chain');
    await git(job.pass, dir, 'clone', '-q', `${gateway.url}/team/app.git`, work);
    await git(job.pass, work, 'checkout', '-q', '-b', 'by-pass');
    await git(job.pass, work, 'commit', '-q', '--allow-empty', '-m', 'by the pass');
    await git(job.pass, work, 'push', '-q', 'origin', 'by-pass');
    const pipelines = await upstream.call('GET', `/api/v4/projects/${app}/pipelines?ref=by-pass`, { token: alice.token });
    expect(pipelines.list.filter((one) => one['ref'] === 'by-pass')).toEqual([]);
    await job.end();
    const child = await claim(alice, 'by-pass');
    expect(child.extended).toBeUndefined();
    await child.end();
  });

  test('R3 A55 a commit of another pusher on an unprotected branch makes both principals; A59 so does the last push to a protected one', async () => {
    await drain();
    await upstream.commit(app, 'by-bob.txt', 'x', { token: bob.token, branch: 'feature', start: 'main' });
    await drain();
    const job = await claim(alice, 'feature');
    expect(job.notes).toContain('alice');
    expect(job.notes).toContain('bob (pusher)');
    // Bob has no right in the library: neither has the pass.
    expect((await api('GET', `/api/v4/projects/${lib}`, job.pass)).status).toBe(404);
    expect((await api('GET', `/api/v4/projects/${app}`, job.pass)).status).toBe(200);
    const lists = await api('GET', '/api/v4/projects', job.pass);
    expect(lists.status).toBe(403);
    const release = await api('POST', `/api/v4/projects/${app}/releases`, job.pass, { tag_name: 'v9', ref: 'main', description: '' });
    expect(release.status).toBe(403);
    await job.end();
  });

  test('assist: the job token of an older runner fetches what its fetch pass may, and nothing more', async () => {
    await ciFile(`job:\n  ${onlyByApi}\n  tags: [older]\n  script: ["true"]\n`);
    await upstream.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
    const response = await fetch(`${gateway.url}/api/v4/jobs/request`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token: older.token, info: { features: runnerFeatures } }),
    });
    const { id, token } = (await response.json()) as { id: number; token: string };
    const remote = `${gateway.url}/libs/secret.git`;
    expect((await git(token, dir, 'ls-remote', remote)).stdout).toContain('refs/heads/main');
    // Its own project, by the forge's own leave.
    expect((await git(token, dir, 'ls-remote', `${gateway.url}/team/app.git`)).stdout).toContain('refs/heads/main');
    await expect(git(token, dir, 'ls-remote', `${gateway.url}/vault/closed.git`)).rejects.toThrow();
    const work = join(dir, 'assisted');
    await git(token, dir, 'clone', '-q', remote, work);
    await git(token, work, 'commit', '-q', '--allow-empty', '-m', 'no');
    await expect(git(token, work, 'push', '-q', 'origin', 'HEAD:refs/heads/no')).rejects.toThrow();
    expect((await api('GET', `/api/v4/projects/${lib}`, token)).status).toBe(401);
    await fetch(`${gateway.url}/api/v4/jobs/${id}`, {
      method: 'PUT',
      headers: { 'job-token': token, 'content-type': 'application/json' },
      body: '{"state":"success"}',
    });
    await expect(git(token, dir, 'ls-remote', remote)).rejects.toThrow();
  }, 60_000);

  async function drain(): Promise<void> {
    for (;;) {
      const response = await fetch(`${gateway.url}/api/v4/jobs/request`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ token: runner.token, info: { features: runnerFeatures } }),
      });
      if (response.status !== 201) return;
      const { id, token } = (await response.json()) as { id: number; token: string };
      await fetch(`${gateway.url}/api/v4/jobs/${id}`, {
        method: 'PUT',
        headers: { 'job-token': token, 'content-type': 'application/json' },
        body: '{"state":"success"}',
      });
    }
  }
});

/** Asks again until there is an answer: the events are in other processes. */
async function until<Value>(ask: () => Promise<Value | undefined>): Promise<Value> {
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
