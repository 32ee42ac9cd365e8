import { Readable } from 'node:stream';
import { afterEach, expect, test } from 'vitest';
import { silentLog } from '../../../src/base/log.ts';
import { makeApiDoor } from '../../../src/doors/api/api-door.ts';
import { OpenGits } from '../../../src/doors/git/open-gits.ts';
import type { ApiDeps } from '../../../src/doors/api/route.ts';
import { type HttpServer, makeHttpServer } from '../../../src/doors/http.ts';

const closing: HttpServer[] = [];
afterEach(async () => {
  for (const server of closing.splice(0)) await server.close(0);
});

/** As an archive whose git waits for its reader. */
function endless(): Readable {
  const body = new Readable({ read() {} });
  body.push('first');
  return body;
}

/** The API over a gatekeeper that grants everything, with a pass whose life `signal` is. */
async function traceOf(signal: AbortSignal, trace: Readable, openGits?: OpenGits) {
  const outcomes: string[] = [];
  const deps = {
    log: silentLog,
    externalUrl: 'http://forge.example',
    directory: { project: () => Promise.resolve({ id: 1, path: 'team/app' }) },
    gatekeeper: {
      admit: () => Promise.resolve({ ok: true, grant: { signal, principals: [1], accesses: [], identity: { kind: 'user', userId: 1 } } }),
      settle: (_grant: unknown, outcome: string) => Promise.resolve(void outcomes.push(outcome)),
    },
    ...(openGits === undefined ? {} : { openGits }),
    forge: {
      projects: {},
      groups: {},
      users: {},
      releases: {},
      repository: { archive: () => Promise.resolve({ name: 'app.zip', body: endless() }) },
    },
    jobs: { pipelines: { trace: () => Promise.resolve(trace) }, runners: {}, bounds: {}, trust: {} },
  } as unknown as ApiDeps;
  const http = makeHttpServer([makeApiDoor(deps)], {
    listen: [{ host: '127.0.0.1', port: 0 }],
    tls: undefined,
    allowPlainHttp: false,
    log: silentLog,
  });
  closing.push(http);
  const project = `${await http.listen()}/api/v4/projects/1`;
  return { url: `${project}/jobs/1/trace`, archive: `${project}/repository/archive.zip`, outcomes };
}

test('R2 a pass that dies before the first byte gets none', async () => {
  const trace = Readable.from(['secret']);
  const { url, outcomes } = await traceOf(AbortSignal.abort(), trace);
  const reply = await fetch(url);
  expect([reply.status, await reply.text()]).toEqual([401, expect.not.stringContaining('secret')]);
  expect([trace.destroyed, outcomes]).toEqual([true, ['refused']]);
});

test('R2 a stream is cut when the pass dies', async () => {
  const life = new AbortController();
  const trace = new Readable({ read() {} });
  trace.push('first');
  const { url, outcomes } = await traceOf(life.signal, trace);
  const reader = (await fetch(url)).body?.getReader();
  expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe('first');
  life.abort();
  await expect(reader?.read()).rejects.toThrow();
  expect([trace.destroyed, outcomes]).toEqual([true, ['cut']]);
});

test('R10 a stream that ends is settled as done, once', async () => {
  const { url, outcomes } = await traceOf(new AbortController().signal, Readable.from(['all']));
  expect(await (await fetch(url)).text()).toBe('all');
  expect(outcomes).toEqual(['done']);
});

test('R13 HEAD reads nothing of the stream whose headers it asks for', async () => {
  let read = 0;
  const trace = new Readable({
    read() {
      read += 1;
      this.push(read > 1000 ? null : Buffer.alloc(64 * 1024));
    },
  });
  const { url, outcomes } = await traceOf(new AbortController().signal, trace);
  const reply = await fetch(url, { method: 'HEAD' });
  expect([reply.status, reply.headers.get('content-type')]).toEqual([200, 'text/plain; charset=utf-8']);
  await expect.poll(() => outcomes).toEqual(['done']);
  expect([trace.destroyed, read]).toEqual([true, 0]);
});

test('A65 archives that a slow client holds count among the gits of its user, until it is gone', async () => {
  const { archive, url } = await traceOf(new AbortController().signal, Readable.from(['all']), new OpenGits());
  for (let asked = 0; asked < 70; asked += 1) expect((await fetch(archive, { method: 'HEAD' })).status).toBe(200);
  const leaving = new AbortController();
  const held = await Promise.all(Array.from({ length: 64 }, () => fetch(archive, { signal: leaving.signal })));
  expect(held.every(({ status }) => status === 200)).toBe(true);
  const refused = await fetch(archive);
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '5']);
  // What needs no git is answered.
  expect((await fetch(url)).status).toBe(200);
  leaving.abort();
  await expect.poll(async () => (await fetch(archive, { method: 'HEAD' })).status, { timeout: 5000 }).toBe(200);
});
