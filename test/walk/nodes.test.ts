import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { randomBase62 } from '../../src/base/secret.ts';
import { oneJob } from '../support/server.ts';
import { startPostgres } from '../support/postgres.ts';

const launcher = fileURLToPath(new URL('../../bin/jobpass.js', import.meta.url));
const root = `glpat-${randomBase62(20)}`;
const asRoot = { 'private-token': root };
const postgres = await startPostgres();
let data: string;

interface Node {
  readonly child: ChildProcess;
  readonly url: string;
}

/** One of several servers of their own, on one database and one folder. */
async function start(): Promise<Node> {
  const args = [launcher, 'serve', '--data', join(data, 'd'), '--listen', '127.0.0.1:0', '--database', postgres?.url ?? ''];
  const child = spawn(process.execPath, args, {
    env: { PATH: process.env['PATH'] ?? '', HOME: data, JOBPASS_ROOT_TOKEN: root },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let said = '';
  const url = await new Promise<string>((resolve, reject) => {
    child.once('close', () => reject(new Error(`the server ended: ${said}`)));
    child.stdout.on('data', (chunk) => {
      said += String(chunk);
      const at = /listening on (http:\S+)/.exec(said)?.[1];
      if (at !== undefined) resolve(at);
    });
  });
  return { child, url };
}

async function call({ url }: Node, method: string, path: string, headers: Record<string, string>, body?: unknown) {
  const raw = body instanceof Buffer ? { body: new Uint8Array(body) } : {};
  const json = body === undefined || body instanceof Buffer ? raw : { body: JSON.stringify(body) };
  const type: Record<string, string> = body === undefined || body instanceof Buffer ? {} : { 'content-type': 'application/json' };
  const reply = await fetch(`${url}${path}`, { method, headers: { ...type, ...headers }, ...json });
  const text = await reply.text();
  return { status: reply.status, body: (text.startsWith('{') ? JSON.parse(text) : {}) as Record<string, unknown>, text };
}

describe.skipIf(postgres === undefined)('R2 two servers on one PostgreSQL', () => {
  let a: Node;
  let b: Node;
  let P: string;
  let runner: string;
  beforeAll(async () => {
    data = await mkdtemp(join(tmpdir(), 'jobpass-nodes-'));
    a = await start();
    b = await start();
    const group = await call(a, 'POST', '/api/v4/groups', asRoot, { name: 'g', path: 'g' });
    const project = await call(a, 'POST', '/api/v4/projects', asRoot, { name: 'p', path: 'p', namespace_id: group.body['id'] });
    P = `/api/v4/projects/${String(project.body['id'])}`;
    const actions = [{ action: 'create', file_path: '.gitlab-ci.yml', content: oneJob }];
    await call(a, 'POST', `${P}/repository/commits`, asRoot, { branch: 'main', commit_message: 'ci', actions });
    const made = await call(a, 'POST', '/api/v4/user/runners', asRoot, { runner_type: 'instance_type', run_untagged: true });
    runner = String(made.body['token']);
  }, 60_000);
  afterAll(async () => {
    for (const { child } of [a, b]) {
      const closed = once(child, 'close');
      child.kill('SIGKILL');
      await closed;
    }
    await postgres?.stop();
    await rm(data, { recursive: true, force: true });
  });

  interface Job {
    readonly id: number;
    readonly token: string;
    readonly pass: string;
  }
  async function claim(from: Node): Promise<Job> {
    const { body } = await call(from, 'POST', '/api/v4/jobs/request', {}, { token: runner, info: {} });
    return {
      id: Number(body['id']),
      token: String(body['token']),
      pass: (body['extended_job_token'] as { fetch_token: string }).fetch_token,
    };
  }
  const another = () => call(a, 'POST', `${P}/pipeline`, asRoot, { ref: 'main' });
  const finish = (at: Node, { id, token }: Job) => call(at, 'PUT', `/api/v4/jobs/${id}`, { 'job-token': token }, { state: 'success' });
  const lives = async (at: Node, { pass }: Job): Promise<number> =>
    (await call(at, 'GET', '/api/v4/job', { 'private-token': pass })).status;

  test('R2 a job that ends on one is dead on the other with the next request', async () => {
    const job = await claim(a);
    expect(await Promise.all([lives(a, job), lives(b, job)])).toEqual([200, 200]);
    expect((await finish(b, job)).status).toBe(200);
    expect(await Promise.all([lives(a, job), lives(b, job)])).toEqual([401, 401]);
    await another();
    const canceled = await claim(b);
    expect((await call(a, 'POST', `${P}/jobs/${canceled.id}/cancel`, asRoot, { force: true })).status).toBe(201);
    expect(await Promise.all([lives(b, canceled), lives(a, canceled)])).toEqual([401, 401]);
  });

  test('R2 A46 both hand out one job to one of many who ask', async () => {
    await another();
    const asked = Array.from({ length: 16 }, (_none, index) =>
      call(index % 2 === 0 ? a : b, 'POST', '/api/v4/jobs/request', {}, { token: runner, info: {} }),
    );
    const given = (await Promise.all(asked)).filter(({ status }) => status === 201);
    expect(given).toHaveLength(1);
    await finish(a, { id: Number(given[0]?.body['id']), token: String(given[0]?.body['token']), pass: '' });
  });

  test('R2 A61 what flows on one is cut when the other ends the job', async () => {
    const large = Buffer.alloc(48 * 1024 * 1024, 'x');
    await another();
    const job = await claim(a);
    const digest = await upload(a, large);
    const download = await begun(`${b.url}/v2/g/p/blobs/${digest}`, job.pass);
    let ended = 0;
    const cut = new Promise<number>((resolve) => {
      void (async () => {
        try {
          // A slow reader: no further piece before the node answered somebody else.
          for await (const chunk of download) {
            void chunk;
            await call(b, 'GET', '/-/health', {});
          }
          resolve(-1);
        } catch {
          resolve(performance.now() - ended);
        }
      })();
    });
    expect((await finish(a, job)).status).toBe(200);
    ended = performance.now();
    const after = await cut;
    console.log(`two nodes: a download on one was cut ${after.toFixed(0)} ms after the other had answered the end of its job`);
    expect(after).not.toBe(-1);
  });

  /** An image's layer, pushed by the administrator. @returns its digest */
  async function upload(to: Node, bytes: Buffer): Promise<string> {
    const { createHash } = await import('node:crypto');
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    const headers = { authorization: `Bearer ${root}`, 'content-type': 'application/octet-stream' };
    const { status, text } = await call(to, 'POST', `/v2/g/p/blobs/uploads?digest=${digest}`, headers, bytes);
    if (status !== 201) throw new Error(`${status} ${text}`);
    return digest;
  }
});

/** A download of which the first bytes have come. */
async function begun(url: string, token: string): Promise<IncomingMessage> {
  const asked = get(url, { headers: { authorization: `Bearer ${token}` }, agent: false });
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  expect(response.statusCode).toBe(200);
  await once(response, 'readable');
  return response;
}
