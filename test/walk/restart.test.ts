import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { randomBase62 } from '../../src/base/secret.ts';
import { oneJob } from '../support/server.ts';

const launcher = fileURLToPath(new URL('../../bin/jobpass.js', import.meta.url));
const root = `glpat-${randomBase62(20)}`;
let data: string;
let child: ChildProcess;
let url: string;

/** A server of its own process, which can die in the middle of anything. */
async function start(): Promise<void> {
  child = spawn(process.execPath, [launcher, 'serve', '--data', join(data, 'd'), '--listen', '127.0.0.1:0'], {
    env: { PATH: process.env['PATH'] ?? '', HOME: data, JOBPASS_ROOT_TOKEN: root },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let said = '';
  url = await new Promise((resolve, reject) => {
    child.once('close', () => reject(new Error(`the server ended: ${said}`)));
    child.stdout?.on('data', (chunk) => {
      said += String(chunk);
      const at = /listening on (http:\S+)/.exec(said)?.[1];
      if (at !== undefined) resolve(at);
    });
  });
}

async function kill(): Promise<void> {
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
}

beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'jobpass-restart-'));
  await start();
});
afterEach(async () => {
  await kill();
  await rm(data, { recursive: true, force: true });
});

async function call(method: string, path: string, headers: Record<string, string>, body?: unknown) {
  const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { ...headers, 'content-type': 'application/json' } };
  const reply = await fetch(`${url}${path}`, { method, headers, ...json });
  const text = await reply.text();
  return { status: reply.status, body: (text.startsWith('{') ? JSON.parse(text) : {}) as Record<string, unknown>, text };
}
const asRoot = { 'private-token': root };

interface Job {
  readonly id: number;
  readonly token: string;
  readonly pass: string;
}
async function claim(runner: string): Promise<Job> {
  const { body } = await call('POST', '/api/v4/jobs/request', {}, { token: runner, info: {} });
  const extended = body['extended_job_token'] as { fetch_token: string };
  return { id: Number(body['id']), token: String(body['token']), pass: extended.fetch_token };
}
const lives = async ({ pass }: Job): Promise<number> => (await call('GET', '/api/v4/job', { 'private-token': pass })).status;
const finish = ({ id, token }: Job) => call('PUT', `/api/v4/jobs/${id}`, { 'job-token': token }, { state: 'success' });

test('R2 R10 a server that is killed and started again has every pass as it was: the dead are dead, the living live until their end', async () => {
  const group = await call('POST', '/api/v4/groups', asRoot, { name: 'g', path: 'g' });
  const project = await call('POST', '/api/v4/projects', asRoot, { name: 'p', path: 'p', namespace_id: group.body['id'] });
  const P = `/api/v4/projects/${String(project.body['id'])}`;
  const actions = [{ action: 'create', file_path: '.gitlab-ci.yml', content: oneJob }];
  await call('POST', `${P}/repository/commits`, asRoot, { branch: 'main', commit_message: 'ci', actions });
  const { body } = await call('POST', '/api/v4/user/runners', asRoot, { runner_type: 'instance_type', run_untagged: true });
  const runner = String(body['token']);
  for (let more = 0; more < 3; more += 1) await call('POST', `${P}/pipeline`, asRoot, { ref: 'main' });
  const [ended, canceled, running, cut] = [await claim(runner), await claim(runner), await claim(runner), await claim(runner)];
  expect(await Promise.all([ended, canceled, running, cut].map(lives))).toEqual([200, 200, 200, 200]);

  expect((await finish(ended)).status).toBe(200);
  expect((await call('POST', `${P}/jobs/${canceled.id}/cancel`, asRoot, { force: true })).status).toBe(201);
  // The last request is on its way when the server dies: it is told as done, or not done at all.
  const told = finish(cut).then(
    ({ status }) => status,
    () => 'cut',
  );
  await kill();
  const answer = await told;
  await start();
  expect(await Promise.all([ended, canceled, running].map(lives))).toEqual([401, 401, 200]);
  if (answer === 200) expect(await lives(cut)).toBe(401);

  await finish(cut);
  await finish(running);
  expect(await Promise.all([running, cut].map(lives))).toEqual([401, 401]);
  const audit = await call('GET', '/api/v4/jobpass/audit?decision=allow&per_page=100', asRoot);
  const open = (JSON.parse(audit.text) as { outcome: string | null }[]).filter(({ outcome }) => outcome === null);
  // Only the question itself, which is under way.
  expect(open.length).toBeLessThanOrEqual(1);
}, 60_000);
