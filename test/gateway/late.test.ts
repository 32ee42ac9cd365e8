import { execFile } from 'node:child_process';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Handed, type Scene, scene } from '../support/scripted.ts';

const run = promisify(execFile);
let gate: Scene;
beforeEach(async () => {
  gate = await scene();
});
afterEach(() => gate.stop());

const basic = (job: Handed) => ({ authorization: `Basic ${Buffer.from(`x:${job.pass}`).toString('base64')}` });
const never = (): Promise<never> => new Promise(() => undefined);
const allowed = (job: Handed) => gate.gateway.store.audit.query({ jobId: job.id as never, decision: 'allow', limit: 10 });
/** From now on the forge keeps whoever asks about a job waiting. */
const stall = (): unknown => gate.gitlab.answers.set('GET /job', never);

/** The forge has the request, and answers it as it is told to. */
function asked(question: string, begin: (response: ServerResponse) => void = () => undefined): Promise<unknown> {
  return new Promise((resolve) => {
    gate.gitlab.answers.set(question, (_heard, response) => {
      begin(response);
      resolve(response);
      return never();
    });
  });
}

const json = /^\{"message":"503 Service Unavailable - .*still runs.*"\}$/;

test.each<[string, string, string, RegExp]>([
  ['over the API', '/api/v4/projects/8/repository/tree', 'GET /projects/8/repository/tree', json],
  ['by git', '/libs/secret.git/info/refs?service=git-upload-pack', 'GET /libs/secret.git/info/refs', /^[^{]*still runs[^{]*\n$/],
  ['for an image', '/jwt/auth?service=container_registry', 'GET /jwt/auth', /^\{"errors":\[\{"code":"UNAVAILABLE","message":".*still runs/],
])('R2 R11 who asks %s hears why where the forge does not say in time whether the job runs', async (_how, path, question, words) => {
  const job = await gate.job();
  const forwarded = asked(question);
  const answer = gate.call('GET', path, undefined, { headers: basic(job) });
  await forwarded;
  stall();
  const { status, text, headers } = await answer;
  expect([status, text]).toEqual([503, expect.stringMatching(words)]);
  expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
  await expect.poll(async () => (await allowed(job)).map(({ outcome }) => outcome)).toEqual(['cut']);
});

test('R2 a head of the forge that waits for its body goes nowhere either', async () => {
  const job = await gate.job();
  const head = asked('GET /projects/8/repository/tree', (response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': 100, 'x-of-the-forge': 'yes' });
    response.flushHeaders();
  });
  const headless = gate.call('GET', '/api/v4/projects/8/repository/tree', job.pass);
  await head;
  stall();
  const { status, text, headers } = await headless;
  expect([status, headers.get('x-of-the-forge')]).toEqual([503, null]);
  expect(text).toMatch(json);
});

test('R2 what has begun to be answered is cut', async () => {
  const job = await gate.job();
  const begun = asked('GET /libs/secret.git/info/refs', (response) => {
    response.writeHead(200, { 'content-type': 'application/x-git-upload-pack-advertisement' });
    response.write('001e# service');
  });
  const answer = await fetch(`${gate.gateway.url}/libs/secret.git/info/refs?service=git-upload-pack`, { headers: basic(job) });
  await begun;
  expect(answer.status).toBe(200);
  stall();
  await expect(answer.text()).rejects.toThrow();
});

test('R2 R11 a write that the forge has been asked for says that it may have been done', async () => {
  const job = await gate.job();
  const forwarded = asked('POST /projects/7/issues');
  const answer = gate.call('POST', '/api/v4/projects/7/issues', job.pass, { body: { title: 'late' } });
  const response = (await forwarded) as ServerResponse;
  stall();
  const { status, text } = await answer;
  expect([status, text]).toEqual([503, expect.stringMatching(/still runs.*may have been done/)]);
  // The answer is still awaited: what was made has to be known.
  response.writeHead(201, { 'content-type': 'application/json' }).end('{"id":1,"iid":1}');
  await once(response, 'close');
});

test('R2 R11 a request that is not admitted for want of an answer hears that, and not that its pass is dead', async () => {
  const job = await gate.job();
  gate.gitlab.answers.set('GET /job', [500, {}]);
  const { status, text, headers } = await gate.call('GET', '/api/v4/projects/8', job.pass);
  expect([status, text]).toEqual([503, expect.stringMatching(json)]);
  expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
});

test('R2 R11 an upload whose client still sends hears it, by curl', async () => {
  const job = await gate.job();
  const url = `${gate.gateway.url}/api/v4/projects/7/packages/generic/tool/1.0/tool.bin`;
  // Large, and slow enough that it would take a minute.
  const sent = ['--limit-rate', '2M', '--upload-file', process.execPath, '--header', `PRIVATE-TOKEN: ${job.pass}`, url];
  const told = run('curl', ['--silent', '--write-out', '%{http_code} %{exitcode}', '--output', '/dev/null', ...sent]);
  await expect.poll(async () => (await allowed(job)).length).toBeGreaterThan(0);
  stall();
  expect((await told).stdout).toBe('503 0');
  await expect.poll(async () => (await allowed(job)).map(({ outcome }) => outcome)).toEqual(['cut']);
});
