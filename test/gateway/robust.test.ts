import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startTestGateway } from '../support/gateway.ts';
import { runnerFeatures, startTestServer, type TestServer } from '../support/server.ts';

const run = promisify(execFile);
const launcher = fileURLToPath(new URL('../../bin/jobpass.js', import.meta.url));

describe('a gateway whose forge, or itself, goes away', () => {
  let upstream: TestServer;
  let alice: { id: number; token: string };
  let app: number;
  let lib: number;
  let runner: { id: number; token: string };
  let dir: string;
  const children: ChildProcess[] = [];

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'jobpass-robust-'));
    upstream = await startTestServer({ dataDir: join(dir, 'forge') });
    alice = await upstream.user('alice');
    [app, lib] = [await upstream.project('team/app'), await upstream.project('libs/secret')];
    await upstream.member(app, alice.id, 40);
    await upstream.member(lib, alice.id, 30);
    await upstream.commit(lib, 'secret.txt', 'x', { token: upstream.root });
    await upstream.commit(
      app,
      '.gitlab-ci.yml',
      `job:\n  rules: [{if: '$CI_PIPELINE_SOURCE == "api"'}]\n  variables: {JOBPASS_EXPOSE: variable}\n  script: ["true"]\n`,
      {
        token: alice.token,
      },
    );
    runner = await upstream.runner();
    await upstream.must('PUT', `/api/v4/runners/${runner.id}`, { trust: 'none' });
  }, 60_000);

  afterEach(async () => {
    for (const child of children.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
    }
  });
  afterAll(async () => {
    await upstream?.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const get = async (base: string, path: string, token: string) => {
    const response = await fetch(`${base}${path}`, { headers: { 'private-token': token }, redirect: 'manual' });
    return { status: response.status, text: await response.text(), retryAfter: response.headers.get('retry-after') };
  };

  async function claim(base: string) {
    await upstream.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
    const response = await fetch(`${base}/api/v4/jobs/request`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token: runner.token, info: { features: runnerFeatures } }),
    });
    const payload = (await response.json()) as { id: number; token: string; extended_job_token?: { token: string } };
    const report = (state: string) =>
      fetch(`${base}/api/v4/jobs/${payload.id}`, {
        method: 'PUT',
        headers: { 'job-token': payload.token, 'content-type': 'application/json' },
        body: JSON.stringify({ state }),
      });
    return { id: payload.id, token: payload.token, pass: payload.extended_job_token?.token ?? '', report };
  }

  const upstreamTokens = async (): Promise<number> =>
    (await upstream.call('GET', `/api/v4/users/${alice.id}/impersonation_tokens?state=active`, { token: upstream.root })).list.length;

  async function startChild(data: string, port: number): Promise<{ url: string; child: ChildProcess }> {
    const tokenFile = join(dir, 'admin-token');
    await writeFile(tokenFile, upstream.root, { mode: 0o600 });
    const args = ['gateway', '--upstream', upstream.url, '--admin-token-file', tokenFile, '--data', data, '--listen', `127.0.0.1:${port}`];
    const child = spawn(process.execPath, [launcher, ...args, '--trust-runner', String(runner.id)], { stdio: ['ignore', 'pipe', 'pipe'] });
    children.push(child);
    const url = await new Promise<string>((resolve, reject) => {
      let seen = '';
      const look = (chunk: Buffer): void => {
        seen += chunk.toString();
        const match = /listening on (http:[^\s,]+)/.exec(seen);
        if (match === null) return;
        for (const stream of [child.stdout, child.stderr]) stream.off('data', look).resume();
        resolve(match[1] ?? '');
      };
      child.stdout.on('data', look);
      child.stderr.on('data', look);
      child.once('exit', () => reject(new Error(`the gateway ended: ${seen}`)));
    });
    return { url, child };
  }

  test('R2 a job that is canceled at the forge ends its pass within a second, and its tokens go', async () => {
    const gateway = await startTestGateway(upstream.url, upstream.root, { trustedRunners: [runner.id as never] });
    try {
      const job = await claim(gateway.url);
      expect((await get(gateway.url, `/api/v4/projects/${lib}`, job.pass)).status).toBe(200);
      expect(await upstreamTokens()).toBe(1);
      await upstream.must('POST', `/api/v4/projects/${app}/jobs/${job.id}/cancel`, { force: true }, alice.token);
      await expect.poll(async () => (await get(gateway.url, '/api/v4/user', job.pass)).status, { timeout: 10_000 }).toBe(401);
      await expect.poll(upstreamTokens, { timeout: 10_000 }).toBe(0);
      await job.report('failed');
    } finally {
      await gateway.stop();
    }
  }, 60_000);

  test('R2 after a SIGKILL and a new start the pass of a running job still works, and what was made upstream is swept after it', async () => {
    const data = join(dir, 'killed');
    const first = await startChild(data, 0);
    const job = await claim(first.url);
    expect((await get(first.url, `/api/v4/projects/${lib}`, job.pass)).status).toBe(200);
    const dead = new Promise((resolve) => first.child.once('exit', resolve));
    first.child.kill('SIGKILL');
    await dead;
    const second = await startChild(data, 0);
    expect((await get(second.url, `/api/v4/projects/${lib}`, job.pass)).status).toBe(200);
    expect(await upstreamTokens()).toBe(2);
    const gone = new Promise((resolve) => second.child.once('exit', resolve));
    second.child.kill('SIGKILL');
    await gone;
    // The job ends while nobody looks.
    await fetch(`${upstream.url}/api/v4/jobs/${job.id}`, {
      method: 'PUT',
      headers: { 'job-token': job.token, 'content-type': 'application/json' },
      body: '{"state":"success"}',
    });
    const third = await startChild(data, 0);
    expect((await get(third.url, '/api/v4/user', job.pass)).status).toBe(401);
    await expect.poll(upstreamTokens, { timeout: 10_000 }).toBe(0);
  }, 90_000);

  test('A68 R1 whoever is made an administrator while the job runs lends it nothing any more', async () => {
    let admin = false;
    // The forge, but for one answer.
    const between = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => void answer(Buffer.concat(chunks)).catch(() => response.destroy()));
      const answer = async (body: Buffer): Promise<void> => {
        const headers = Object.entries(request.headers).filter(
          ([name]) => !['host', 'connection', 'content-length', 'transfer-encoding'].includes(name),
        );
        const reply = await fetch(`${upstream.url}${request.url ?? ''}`, {
          method: request.method ?? 'GET',
          headers: headers.map(([name, value]): [string, string] => [name, String(value)]),
          redirect: 'manual',
          ...(body.length === 0 ? {} : { body }),
        });
        const text = await reply.text();
        const told = admin && request.url === `/api/v4/users/${alice.id}` ? text.replace('"is_admin":false', '"is_admin":true') : text;
        response.writeHead(reply.status, { 'content-type': reply.headers.get('content-type') ?? 'text/plain' });
        response.end(told);
      };
    });
    await new Promise<void>((resolve) => between.listen(0, '127.0.0.1', resolve));
    const address = between.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const gateway = await startTestGateway(`http://127.0.0.1:${port}`, upstream.root, { trustedRunners: [runner.id as never] });
    try {
      const job = await claim(gateway.url);
      expect((await get(gateway.url, '/api/v4/projects', job.pass)).status).toBe(200);
      admin = true;
      await expect.poll(async () => (await get(gateway.url, '/api/v4/projects', job.pass)).status, { timeout: 10_000 }).toBe(403);
      await job.report('success');
      await expect.poll(upstreamTokens, { timeout: 10_000 }).toBe(0);
    } finally {
      await gateway.stop();
      between.close();
    }
  }, 60_000);

  test('R4 R13 A43 the ceiling of the instance: what is not in it is refused; one that cannot be read is no start', async () => {
    const ceiling = JSON.stringify({ permissions: ['project:read', 'self:read'], projects: ['libs/*'] });
    const gateway = await startTestGateway(upstream.url, upstream.root, { trustedRunners: [runner.id as never], ceiling });
    try {
      const job = await claim(gateway.url);
      expect((await get(gateway.url, `/api/v4/projects/${lib}`, job.pass)).status).toBe(200);
      const tree = await get(gateway.url, `/api/v4/projects/${lib}/repository/tree`, job.pass);
      expect([tree.status, tree.text]).toEqual([403, expect.stringContaining('the ceiling of the instance does not name it')]);
      expect((await get(gateway.url, `/api/v4/projects/${app}`, job.pass)).status).toBe(403);
      expect((await get(gateway.url, `/api/v4/projects/${app}`, alice.token)).status).toBe(200);
      await job.report('success');
      await expect.poll(upstreamTokens, { timeout: 10_000 }).toBe(0);
      // A43: started without the setting, it is remembered; only another file changes it.
      const shown = async (config: { ceiling?: string }): Promise<unknown> => {
        const again = await startTestGateway(upstream.url, upstream.root, { dataDir: gateway.dataDir, ...config });
        const kept = await again.store.ceilings.of(null, { kind: 'instance' });
        await again.close(1000);
        return JSON.parse(kept ?? 'null');
      };
      await gateway.close(1000);
      expect(await shown({})).toMatchObject({ permissions: ['project:read', 'self:read'] });
      expect(await shown({ ceiling: '{"permissions":["*"]}' })).toEqual({ permissions: ['*'], places: null });
      expect(await shown({})).toEqual({ permissions: ['*'], places: null });
    } finally {
      await rm(gateway.dataDir, { recursive: true, force: true });
    }
    for (const wrong of [
      '',
      '{}',
      '{"permissions":[]}',
      '{"permissions":["no:such"]}',
      '{"permissions":["*"],"projects":["no/such"]}',
      '{"permissions":["*"],"x":1}',
    ])
      await expect(startTestGateway(upstream.url, upstream.root, { ceiling: wrong }), wrong).rejects.toMatchObject({
        code: 'invalid_input',
      });
  }, 60_000);

  test('a forge that is down: a clear error with Retry-After, no pass, and everything again when it is back', async () => {
    const down = await startTestGateway('http://127.0.0.1:9', upstream.root);
    try {
      const plain = await get(down.url, '/api/v4/version', alice.token);
      expect(plain.status).toBe(502);
      expect(plain.retryAfter).toBe('5');
      const asked = await fetch(`${down.url}/api/v4/jobs/request`, {
        method: 'POST',
        body: '{}',
        headers: { 'content-type': 'application/json' },
      });
      expect(asked.status).toBe(502);
      expect(await asked.text()).not.toContain('jpt_');
    } finally {
      await down.stop();
    }
  }, 60_000);

  test('clones and pushes while the forge restarts: none hangs, none lies, no token is left', async () => {
    const gateway = await startTestGateway(upstream.url, upstream.root, { trustedRunners: [runner.id as never] });
    const port = Number(new URL(upstream.url).port);
    try {
      const job = await claim(gateway.url);
      const env = { PATH: process.env['PATH'] ?? '', HOME: dir, PASS: job.pass, GIT_TERMINAL_PROMPT: '0', GIT_CONFIG_NOSYSTEM: '1' };
      const helper = ['-c', 'credential.helper=', '-c', 'credential.helper=!f() { echo username=x; echo "password=$PASS"; }; f'];
      let [good, bad] = [0, 0];
      const going = { on: true };
      const worker = async (name: number): Promise<void> => {
        for (let turn = 0; going.on; turn += 1) {
          const work = join(dir, `soak-${name}-${turn}`);
          try {
            await run('git', [...helper, 'clone', '-q', `${gateway.url}/libs/secret.git`, work], { env, timeout: 20_000 });
            const id = ['-C', work, '-c', 'user.name=a', '-c', 'user.email=a@example.com'];
            await run('git', [...id, 'commit', '-q', '--allow-empty', '-m', 'soak'], { env });
            await run('git', [...helper, '-C', work, 'push', '-q', 'origin', `HEAD:refs/heads/soak-${name}-${turn}`], {
              env,
              timeout: 20_000,
            });
            good += 1;
          } catch (error) {
            // Refused or cut is fine; a hung one would have been killed by its timeout.
            expect((error as { killed?: boolean }).killed, String(error)).not.toBe(true);
            bad += 1;
          }
        }
      };
      const workers = [1, 2, 3].map(worker);
      const enough = async (count: number): Promise<void> => {
        await expect.poll(() => good, { timeout: 30_000, interval: 20 }).toBeGreaterThanOrEqual(count);
      };
      await enough(3);
      await upstream.close(0);
      await expect.poll(() => bad, { timeout: 30_000, interval: 20 }).toBeGreaterThan(0);
      const again = await startTestServer({ dataDir: join(dir, 'forge'), listen: [{ host: '127.0.0.1', port }] });
      upstream = Object.assign(again, { root: upstream.root });
      await enough(good + 3);
      going.on = false;
      await Promise.all(workers);
      const headers = { 'private-token': upstream.root };
      await fetch(`${gateway.url}/api/v4/jobs/${job.id}`, {
        method: 'PUT',
        headers: { 'job-token': job.token, 'content-type': 'application/json' },
        body: '{"state":"success"}',
      });
      const left = async (): Promise<number> => {
        const response = await fetch(`${upstream.url}/api/v4/users/${alice.id}/impersonation_tokens?state=active`, { headers });
        return ((await response.json()) as unknown[]).length;
      };
      await expect.poll(left, { timeout: 20_000 }).toBe(0);
      console.log(`the soak: ${good} rounds of clone and push went through, ${bad} were refused or cut while the forge restarted`);
    } finally {
      await gateway.stop();
    }
  }, 120_000);
});
