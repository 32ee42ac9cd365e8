import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Log } from '../../src/base/log.ts';
import { type RunnerHandle, startRunner } from '../../src/runner/loop.ts';
import { renewAt } from '../../src/runner/token-life.ts';
import { archiveOf, jobPayload, makeScene, ownSeconds, passesFor, type Payload, type Scene, sourcesOf, textOf } from './support/jobs.ts';

/** What a server answered to one kind of call: a status, headers, a body. */
interface Odd {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

// Every odd answer of runner-protocol.md §0, §1, §2, §6, §7 and its gotchas, given to our runner by a server that follows a script.
describe('a server with odd answers', () => {
  let scene: Scene;
  const handles: RunnerHandle[] = [];
  const logged: string[] = [];
  beforeEach(async () => {
    scene = await makeScene();
    logged.length = 0;
    // So that a poll after an odd answer does not wait for long.
    await writeFile(scene.configPath, (await readFile(scene.configPath, 'utf8')).replace('check_interval = 3', 'check_interval = 0.01'));
  });
  afterEach(async () => {
    await Promise.all(handles.splice(0).map((handle) => handle.stop()));
    await scene.close();
  });

  const said = (event: string): void => {
    logged.push(event);
    scene.forge.events.emit('logged');
  };
  const log: Log = {
    info: (event) => said(event),
    warn: (event) => said(event),
    error: (event) => said(event),
    with: () => log,
  };
  async function start(heartbeatMs = 30): Promise<void> {
    handles.push(await startRunner({ configPath: scene.configPath, log, traceIntervalMs: 10, heartbeatMs, retryMs: 1 }));
  }
  async function run(payload: Payload) {
    scene.forge.give(payload);
    const report = await scene.forge.ended(payload.id);
    return { ...report, text: textOf(report.trace) };
  }
  const answer = (response: ServerResponse, { status, headers, body }: Odd): true => {
    response.writeHead(status, { 'content-type': 'application/json', 'retry-after': '0', ...headers }).end(body ?? '{"message":"odd"}');
    return true;
  };
  /** Gives these answers, in order, to the calls that fit; then the server is an ordinary one. @returns how many calls fitted */
  function script(fits: (request: IncomingMessage, path: string) => boolean, odd: readonly Odd[]): () => number {
    const before = scene.forge.intercept;
    const left = [...odd];
    let calls = 0;
    scene.forge.intercept = (request, response) => {
      if (!fits(request, (request.url ?? '').split('?')[0] ?? '')) return before(request, response);
      calls += 1;
      const next = left.shift();
      if (next === undefined) return before(request, response);
      request.resume();
      request.once('end', () => scene.forge.events.emit('report'));
      return answer(response, next);
    };
    return () => calls;
  }
  const polls = (_request: IncomingMessage, path: string): boolean => path === '/api/v4/jobs/request';
  const puts = (request: IncomingMessage, path: string): boolean => request.method === 'PUT' && /\/jobs\/\d+$/.test(path);
  const patches = (request: IncomingMessage): boolean => request.method === 'PATCH';

  test('§2 whatever a poll is answered, the next one comes, and takes the job', async () => {
    const asked = script(polls, [
      { status: 204 },
      { status: 409 },
      { status: 429 },
      { status: 500 },
      { status: 503 },
      { status: 599 },
      { status: 401 },
      { status: 422 },
      { status: 403 },
      { status: 302, headers: { location: 'http://127.0.0.1:1/' } },
      { status: 200, body: '{"id":1}' },
      { status: 201, body: '<html>not JSON' },
      { status: 201, body: '[1]' },
      { status: 201, body: '{"id":"one","token":7}' },
      { status: 201, body: '{"id":5}' },
      { status: 201, body: 'null' },
    ]);
    await start();
    scene.forge.give(jobPayload(['echo ran'], { id: 1 }));
    const report = await scene.forge.ended(1);
    expect(report.final).toMatchObject({ state: 'success' });
    expect(asked()).toBeGreaterThanOrEqual(17);
  });

  test('§2 after so many refusals in a row it is quiet for so long, and then asks again', async () => {
    await scene.configure('unhealthy_requests_limit = 2\nunhealthy_interval = "50ms"');
    const asked = script(polls, [{ status: 403 }, { status: 403 }, { status: 403 }]);
    await start();
    scene.forge.give(jobPayload(['true'], { id: 1 }));
    await scene.forge.ended(1);
    expect(logged.filter((event) => event === 'runner.quiet')).toHaveLength(2);
    expect(asked()).toBeGreaterThanOrEqual(4);
  });

  test('§3 a payload with wrong types where they matter is reported as failed, and nothing of it runs', async () => {
    await start();
    const parts: readonly object[] = [{ steps: 'none' }, { variables: [7, { key: 3 }] }, { extended_job_token: { fetch_token: 7 } }];
    for (const [index, part] of parts.entries()) scene.forge.give({ ...jobPayload(['echo "ne""ver"']), ...part, id: 50 + index });
    for (const index of parts.keys()) await scene.forge.ended(50 + index);
    expect(scene.forge.report(52).final).toMatchObject({ state: 'failed' });
    expect(textOf(scene.forge.report(50).trace)).not.toContain('never');
  });

  test.each([
    { status: 400, runs: true },
    { status: 409, runs: true },
    { status: 500, runs: true },
    { status: 403, runs: false },
    { status: 404, runs: false },
    { status: 200, headers: { 'job-status': 'canceled' }, runs: false },
    { status: 200, headers: { 'job-status': 'failed' }, runs: false },
  ])('§2 PUT running answered $status $headers: it runs = $runs', async ({ runs, ...odd }) => {
    // A 500 is tried five times before it counts.
    script(
      (request, path) => puts(request, path) && path.endsWith('/1'),
      Array.from({ length: odd.status === 500 ? 5 : 1 }, () => odd),
    );
    await start();
    scene.forge.give(jobPayload(['echo ran'], { id: 1 }));
    const next = scene.forge.ended(2);
    scene.forge.give(jobPayload(['true'], { id: 2 }));
    await next;
    expect(scene.forge.reports.get(1)?.trace.includes('ran\n') ?? false).toBe(runs);
  });

  test('§2 PUT running answered with Job-Status canceling: only after_script runs', async () => {
    script(puts, [{ status: 200, headers: { 'job-status': 'canceling' } }]);
    await start();
    scene.forge.give(jobPayload(['echo "ne""ver"'], { id: 1 }, ['echo "after""wards"']));
    const report = await scene.forge.ended(1);
    expect(report.final).toMatchObject({ failure_reason: 'job_canceled' });
    expect(textOf(report.trace)).not.toContain('never\n');
  });

  test('§6 the trace arrives whole through 416 with and without Range, 404, 429, 5xx and what is unknown', async () => {
    const odd = [
      { status: 416, headers: { range: '0-0' } },
      { status: 416 },
      { status: 404 },
      { status: 418 },
      { status: 429 },
      { status: 500 },
    ];
    const asked = script(patches, odd);
    await start();
    scene.forge.give(jobPayload(['for i in 1 2 3 4 5 6 7 8 9; do echo "line $i"; sleep 0.05; done'], { id: 1 }));
    const report = await scene.forge.ended(1);
    expect(report.final).toMatchObject({ state: 'success' });
    expect(textOf(report.trace)).toMatch(/line 1\n[^]*line 9\n/);
    expect(asked()).toBeGreaterThan(odd.length);
  });

  test.each([
    { what: '403', odd: { status: 403 } },
    { what: 'Job-Status: canceled', odd: { status: 202, headers: { 'job-status': 'canceled' } } },
    { what: 'Job-Status: failed', odd: { status: 202, headers: { 'job-status': 'failed' } } },
  ])('R2 §6 the trace answered with $what kills the job', async ({ odd }) => {
    script(patches, [odd]);
    await start();
    const asleep = ownSeconds();
    scene.forge.give(jobPayload([`sleep ${asleep}`], { id: 1 }, ['echo never']));
    const next = await run(jobPayload([`ps -eo args | grep -c "[s]leep ${asleep}" || true`], { id: 2 }));
    expect(next.text).toMatch(/\n0\n/);
    expect(scene.forge.reports.get(1)?.final).toBeUndefined();
  });

  test.each([
    { what: 'a heartbeat with 403', odd: { status: 403 }, final: undefined },
    { what: 'a heartbeat with Job-Status: canceling', odd: { status: 200, headers: { 'job-status': 'canceling' } }, final: 'job_canceled' },
  ])('R2 §6 $what ends a silent job', async ({ odd, final }) => {
    let running = false;
    script((request, path) => puts(request, path) && path.endsWith('/1') && running, [odd]);
    await start();
    scene.forge.give(jobPayload(['echo "now re""ady"; sleep 620'], { id: 1 }));
    await scene.forge.when(() => scene.forge.report(1).trace.includes('now ready'));
    running = true;
    const next = await run(jobPayload(['true'], { id: 2 }));
    expect(next.final).toMatchObject({ state: 'success' });
    expect(scene.forge.report(1).final?.['failure_reason']).toBe(final);
  });

  test('§6 the final PUT: 202 is asked again, 412 sends anew, 400, 409, 429 and 5xx are tried again', async () => {
    scene.forge.finalAnswers.push(202, 409, 412, 400, 202);
    await start();
    scene.forge.give(jobPayload(['echo hello'], { id: 1 }));
    const report = await scene.forge.ended(1);
    expect(report.final).toMatchObject({ state: 'success' });
    expect(textOf(report.trace).match(/^hello$/gm)).toHaveLength(1);
    expect(report.states.filter((state) => state === 'success')).toHaveLength(6);
  }, 60_000);

  test.each([{ status: 404 }, { status: 403 }, { status: 200, headers: { 'job-status': 'canceled' } }])(
    '§6 the final PUT answered $status $headers: it gives up, and takes the next job',
    async (odd) => {
      let ended = false;
      const asked = script((request, path) => puts(request, path) && path.endsWith('/1') && ended, [odd, odd, odd]);
      await start(60_000);
      const before = scene.forge.intercept;
      scene.forge.intercept = (request, response) => {
        if (request.method === 'PATCH') ended = true;
        return before(request, response);
      };
      scene.forge.give(jobPayload(['true'], { id: 1 }));
      expect((await run(jobPayload(['true'], { id: 2 }))).final).toMatchObject({ state: 'success' });
      expect(asked()).toBe(1);
    },
  );

  const artifact = archiveOf(['a']);

  test.each([
    { status: 413, tries: 1 },
    { status: 403, tries: 1 },
    { status: 307, tries: 1 },
    { status: 500, tries: 3 },
    { status: 503, tries: 6 },
  ])('R16 §7 an upload answered $status is tried $tries times, and follows nowhere', async ({ status, tries }) => {
    const elsewhere = await listener();
    const uploads = (request: IncomingMessage, path: string): boolean => request.method === 'POST' && path.endsWith('/artifacts');
    const asked = script(
      uploads,
      Array.from({ length: 9 }, () => ({ status, headers: { location: elsewhere.url } })),
    );
    await start();
    scene.forge.give(jobPayload(['echo x > a'], { id: 1, artifacts: [artifact] }));
    const report = await scene.forge.ended(1);
    expect(report.final).toMatchObject({ state: 'failed' });
    expect(textOf(report.trace)).toContain(`The server refused the artifacts with ${status}`);
    expect(asked()).toBe(tries);
    expect(elsewhere.heard()).toBe(0);
    await elsewhere.close();
  });

  test('R16 A21 §7 no redirect is followed: not by a poll, a report, a download nor a fetch', async () => {
    const elsewhere = await listener();
    const to = { status: 307, headers: { location: elsewhere.url } };
    script((request, path) => path === '/api/v4/jobs/request' || patches(request) || puts(request, path), [to, to, to]);
    script((_request, path) => path.endsWith('/jobs/7/artifacts'), [to]);
    await start();
    const dependencies = [{ id: 7, token: '', name: 'x', artifacts_file: { filename: 'x.zip', size: 1 } }];
    scene.forge.give(jobPayload(['echo "ne""ver"'], { id: 1, dependencies }));
    const report = await scene.forge.ended(1);
    expect(textOf(report.trace)).toContain('the server answered 307');
    const sha = scene.forge.repository('group/app', { a: 'text' });
    script((_request, path) => path.endsWith('/info/refs'), [to, to]);
    scene.forge.give(
      jobPayload(['true'], {
        ...sourcesOf(scene.forge, sha),
        id: 2,
        variables: [],
        extended_job_token: passesFor(scene.forge).extended_job_token,
      }),
    );
    expect((await scene.forge.ended(2)).final).toMatchObject({ state: 'failed' });
    expect(elsewhere.heard()).toBe(0);
    await elsewhere.close();
  });

  test('R8 a pass that cannot be given back is said, and the job goes on', async () => {
    const revokes = (_request: IncomingMessage, path: string): boolean => path === '/-/jobpass/oauth/revoke';
    script(
      revokes,
      Array.from({ length: 20 }, () => ({ status: 400 })),
    );
    await start();
    scene.forge.give(jobPayload(['echo ran'], { id: 1, extended_job_token: passesFor(scene.forge).extended_job_token }));
    const report = await scene.forge.ended(1);
    expect(report.final).toMatchObject({ state: 'success' });
    expect(textOf(report.trace)).toContain('the fetch pass could not be given back');
    expect(logged).toContain('pass.not_returned');
  });

  test('§1 the token is renewed after 75 % of its life, in memory and in the file; trouble is tried again', async () => {
    const day = 86_400_000;
    const [obtained, ends] = [new Date(Date.now() - 3 * day), new Date(Date.now() + day / 2)];
    expect(renewAt(obtained, new Date(obtained.getTime() + 4 * day)).valueOf()).toBe(obtained.getTime() + 3 * day);
    await scene.configure(`token_obtained_at = ${obtained.toISOString()}\ntoken_expires_at = ${ends.toISOString()}`);
    const fresh = { token: 'glrt-fresh', token_expires_at: new Date(Date.now() + 10 * day).toISOString() };
    const resets = (_request: IncomingMessage, path: string): boolean => path === '/api/v4/runners/reset_authentication_token';
    const asked = script(resets, [{ status: 503 }, { status: 201, body: JSON.stringify(fresh) }]);
    await start();
    while (!logged.includes('runner.token_renewed')) await once(scene.forge.events, 'logged');
    expect((await run(jobPayload(['true'], { id: 1 }))).final).toMatchObject({ state: 'success' });
    expect(asked()).toBe(2);
    const text = await readFile(scene.configPath, 'utf8');
    expect(text).toContain('glrt-fresh');
    expect(text).not.toContain('glrt-good');
    expect(text).toContain(`token_expires_at = ${fresh.token_expires_at}`);
    expect(scene.forge.requests.at(-1)?.body['token']).toBe('glrt-fresh');
  });
});

/** Another server that only counts who comes. */
async function listener() {
  let heard = 0;
  const server = createServer((_request, response) => {
    heard += 1;
    response.end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    heard: () => heard,
    async close() {
      server.close();
      await once(server, 'close');
    },
  };
}
