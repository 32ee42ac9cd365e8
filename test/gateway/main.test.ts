import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';
import { runnerFeatures, startTestServer, type TestServer } from '../support/server.ts';

const run = promisify(execFile);

interface Job {
  readonly id: number;
  readonly token: string;
  readonly pass: string;
  readonly fetch: string;
  readonly extended: Record<string, unknown> | undefined;
}

describe('a gateway in front of a forge that knows nothing of passes', () => {
  let upstream: TestServer;
  let gateway: TestGateway;
  let alice: { id: number; token: string };
  let app: number;
  let lib: number;
  let runner: { id: number; token: string };
  let dir: string;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'jobpass-gateway-test-'));
    upstream = await startTestServer();
    alice = await upstream.user('alice');
    [app, lib] = [await upstream.project('team/app'), await upstream.project('libs/secret')];
    await upstream.member(app, alice.id, 40);
    await upstream.member(lib, alice.id, 30);
    await upstream.commit(lib, 'secret.txt', 'of the library\n', { token: upstream.root });
    const ciFile = 'job:\n  rules: [{if: \'$CI_PIPELINE_SOURCE == "api"\'}]\n  variables: {JOBPASS_EXPOSE: variable}\n  script: ["true"]\n';
    await upstream.commit(app, '.gitlab-ci.yml', ciFile, { token: alice.token });
    runner = await upstream.runner();
    // The forge's own passes off: it speaks plain GitLab.
    await upstream.must('PUT', `/api/v4/runners/${runner.id}`, { trust: 'none' });
    gateway = await startTestGateway(upstream.url, upstream.root, { trustedRunners: [runner.id as never] });
  }, 60_000);

  afterAll(async () => {
    await gateway?.stop();
    await upstream?.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const call = async (method: string, path: string, token?: string, body?: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(`${gateway.url}${path}`, {
      method,
      redirect: 'manual',
      headers: {
        ...(token === undefined ? {} : { 'private-token': token }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, text, headers: response.headers };
  };

  async function startJob(): Promise<Job> {
    await upstream.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
    const reply = await call('POST', '/api/v4/jobs/request', undefined, { token: runner.token, info: { features: runnerFeatures } });
    if (reply.status !== 201) throw new Error(`no job: ${reply.status} ${reply.text}`);
    const payload = JSON.parse(reply.text) as Record<string, unknown>;
    const extended = payload['extended_job_token'] as Record<string, unknown> | undefined;
    return {
      id: Number(payload['id']),
      token: String(payload['token']),
      pass: String(extended?.['token']),
      fetch: String(extended?.['fetch_token']),
      extended,
    };
  }

  const finish = (job: Job): Promise<{ status: number }> =>
    call('PUT', `/api/v4/jobs/${job.id}`, undefined, { state: 'success' }, { 'job-token': job.token });

  const git = (pass: string, ...args: string[]) =>
    run('git', ['-c', 'credential.helper=', '-c', `credential.helper=!f() { echo username=x; echo "password=$PASS"; }; f`, ...args], {
      env: { ...process.env, PASS: pass, GIT_TERMINAL_PROMPT: '0', GIT_CONFIG_NOSYSTEM: '1', HOME: dir },
    });

  test('a job gets a pass on its way; it reads, clones and pushes as its user, and is dead after the job', async () => {
    const job = await startJob();
    expect(job.extended, 'a pass').toBeDefined();
    expect(job.extended?.['notes']).toEqual(expect.arrayContaining([expect.stringContaining('alice')]));
    expect(job.extended?.['exposure']).toBe('variable');
    const read = await call('GET', `/api/v4/projects/${encodeURIComponent('libs/secret')}`, job.pass);
    expect(read.status, read.text).toBe(200);
    expect((await call('GET', '/api/v4/user', job.pass)).text).toContain('"username":"alice"');
    await git(job.pass, 'clone', '-q', `${gateway.url}/libs/secret.git`, join(dir, 'clone'));
    expect(await readFile(join(dir, 'clone', 'secret.txt'), 'utf8')).toBe('of the library\n');
    await writeFile(join(dir, 'clone', 'new.txt'), 'pushed\n');
    const id = ['-C', join(dir, 'clone'), '-c', 'user.name=a', '-c', 'user.email=a@example.com'];
    await git(job.pass, ...id, 'checkout', '-q', '-b', 'from-job');
    await git(job.pass, ...id, 'add', '.');
    await git(job.pass, ...id, 'commit', '-q', '-m', 'by the job');
    await git(job.pass, ...id, 'push', '-q', 'origin', 'from-job');
    const commits = await upstream.call('GET', `/api/v4/projects/${lib}/repository/branches/from-job`, { token: alice.token });
    expect(commits.text).toContain('by the job');
    const file = await call('POST', `/api/v4/projects/${lib}/repository/files/api.txt`, job.pass, {
      branch: 'from-api',
      start_branch: 'from-job',
      content: 'x',
      commit_message: 'by api',
    });
    expect(file.status, file.text).toBe(201);
    await expect(git(job.fetch, 'ls-remote', `${gateway.url}/libs/secret.git`)).resolves.toBeDefined();
    expect((await call('GET', `/api/v4/projects/${lib}`, job.fetch)).status).toBe(403);
    expect((await finish(job)).status).toBe(200);
    expect((await call('GET', '/api/v4/user', job.pass)).status).toBe(401);
    await expect(git(job.pass, 'ls-remote', `${gateway.url}/libs/secret.git`)).rejects.toThrow(
      /401|could not read Username|Authentication failed/,
    );
    await expect
      .poll(
        async () =>
          (await upstream.call('GET', `/api/v4/users/${alice.id}/impersonation_tokens?state=active`, { token: upstream.root })).text,
      )
      .toBe('[]');
  }, 60_000);

  test('R5 A9 what no pass may do is refused, and never reaches the forge', async () => {
    const job = await startJob();
    for (const [method, path, status] of [
      ['POST', '/api/v4/user/personal_access_tokens', 403],
      ['POST', `/api/v4/users/${alice.id}/impersonation_tokens`, 403],
      ['POST', `/api/v4/projects/${app}/variables`, 403],
      ['GET', `/api/v4/projects/${app}/variables`, 200],
      ['GET', `/api/v4/projects/${lib}/variables`, 403],
      ['POST', '/api/graphql', 403],
      ['GET', '/admin', 403],
      ['GET', '/api/v4/version', 200],
    ] as const) {
      const answer = await call(method, path, job.pass, method === 'POST' ? {} : undefined);
      expect(answer.status, `${method} ${path}: ${answer.text}`).toBe(status);
    }
    expect((await call('GET', `/api/v4/version?private_token=${job.pass}`)).status).toBe(400);
    await finish(job);
  });

  test('R1 A68 a job of an administrator gets no pass', async () => {
    await upstream.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' });
    const reply = await call('POST', '/api/v4/jobs/request', undefined, { token: runner.token, info: { features: runnerFeatures } });
    expect(reply.status).toBe(201);
    expect(reply.text).not.toContain('extended_job_token');
    const { id, token } = JSON.parse(reply.text) as { id: number; token: string };
    await call('PUT', `/api/v4/jobs/${id}`, undefined, { state: 'success' }, { 'job-token': token });
  });

  test('R12 A49 a pass in a trace that goes through is dead before the trace is stored, also in two pieces', async () => {
    const job = await startJob();
    const printed = `token: ${job.pass}\n`;
    let sent = 0;
    for (const piece of [printed.slice(0, 20), printed.slice(20)]) {
      const reply = await fetch(`${gateway.url}/api/v4/jobs/${job.id}/trace`, {
        method: 'PATCH',
        headers: { 'job-token': job.token, 'content-type': 'text/plain', 'content-range': `${sent}-${sent + piece.length - 1}` },
        body: piece,
      });
      expect(reply.status).toBe(202);
      sent += piece.length;
    }
    expect((await call('GET', '/api/v4/user', job.pass)).status).toBe(401);
    // The runner's own pass was not printed.
    await expect(git(job.fetch, 'ls-remote', `${gateway.url}/libs/secret.git`)).resolves.toBeDefined();
    await finish(job);
  });

  test('R6 nothing at rest opens anything: no pass, no job token, no token of the forge', async () => {
    const job = await startJob();
    expect((await call('GET', `/api/v4/projects/${lib}`, job.pass)).status).toBe(200);
    const files = (await readdir(gateway.dataDir)).filter((name) => name !== 'admin-token');
    expect(files).toEqual(expect.arrayContaining(['gateway.db', 'seal.key']));
    const stored = (await Promise.all(files.map((name) => readFile(join(gateway.dataDir, name), 'latin1')))).join('\n');
    for (const secret of [job.pass, job.fetch, job.token, 'glpat-']) expect(stored.includes(secret), secret.slice(0, 6)).toBe(false);
    expect((await stat(join(gateway.dataDir, 'seal.key'))).mode & 0o777).toBe(0o600);
    await finish(job);
  });

  test('plain requests go through untouched', async () => {
    const answer = await call('GET', `/api/v4/projects/${lib}`, alice.token);
    expect(answer.status).toBe(200);
    expect(answer.text).toBe((await upstream.call('GET', `/api/v4/projects/${lib}`, { token: alice.token })).text);
    expect((await call('GET', '/api/v4/projects/999999', alice.token)).status).toBe(404);
  });
});
