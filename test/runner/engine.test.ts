import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Engine } from '../../src/runner/engine/engine.ts';
import { exitCodeOf } from '../../src/runner/executors/docker/container-end.ts';
import { removeContainer } from '../../src/runner/executors/docker/container.ts';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

let dir: string;
/** Questions that the engine was asked, without their version. */
let asked: string[];
const close: (() => unknown)[] = [];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'jobpass-engine-'));
  asked = [];
});
afterEach(async () => {
  for (const one of close.splice(0)) await one();
  await rm(dir, { recursive: true, force: true });
});

/** An engine of the test's own making. @param answers by `METHOD /path`; what is not named is never answered */
async function engineThat(answers: Readonly<Record<string, Answer>>, patienceMs?: number): Promise<Engine> {
  const server = createServer((request, response) => {
    const question = `${request.method} ${(request.url ?? '').replace(/^\/v[\d.]+/, '').replace(/\?.*/, '')}`;
    asked.push(question);
    answers[question]?.(request, response);
  });
  server.on('upgrade', () => undefined);
  server.listen(join(dir, 'sock'));
  await once(server, 'listening');
  const engine = new Engine(join(dir, 'sock'), patienceMs);
  close.push(
    () => engine.close(),
    () => server.closeAllConnections(),
    () => server.close(),
  );
  return engine;
}
const says =
  (value: unknown): Answer =>
  (_request, response) =>
    void response.end(JSON.stringify(value));
const state = (Status: string, ExitCode?: number) => {
  const FinishedAt = ExitCode === undefined ? '0001-01-01T00:00:00Z' : '2026-11-27T12:01:45.023981993Z';
  return says({ State: { Status, Running: Status === 'running', ExitCode: ExitCode ?? 0, FinishedAt } });
};
/** One after the other; the last for ever. */
function inTurn(...answers: readonly Answer[]): Answer {
  const left = [...answers];
  return (request, response) => (left.length > 1 ? left.shift() : left[0])?.(request, response);
}
const cut: Answer = (request) => request.socket.destroy();

test.each([
  ['does not answer', {}],
  ['stops in the middle of its answer', { 'POST /containers/c/start': (_: unknown, response: ServerResponse) => void response.write('{') }],
])('an engine that %s fails what was asked, which says what that was', async (_what, answers) => {
  const engine = await engineThat(answers, 50);
  await expect(engine.call('POST', '/containers/c/start?x=1')).rejects.toMatchObject({
    code: 'upstream_failed',
    message: 'The container engine has not answered for 0.05 s: POST /containers/c/start',
  });
});

test('an engine that leaves who attaches unanswered fails it as well', async () => {
  const engine = await engineThat({}, 50);
  await expect(engine.attach('c')).rejects.toMatchObject({
    message: expect.stringContaining('not answered for 0.05 s: POST /containers/c/attach'),
  });
});

const never = new AbortController().signal;
const [wait, look] = ['POST /containers/c/wait', 'GET /containers/c/json'];

test.each([
  ['says it', { [wait]: says({ StatusCode: 3 }) }],
  ['has lost it', { [look]: inTurn(state('running'), state('exited', 3)) }],
  ['answers before it knows', { [wait]: says({ StatusCode: -1 }), [look]: inTurn(state('running'), state('stopped', 3)) }],
  ['has it in another word', { [wait]: says({ StatusCode: -1, Error: null }), [look]: state('created', 3) }],
  ['has not begun with it', { [look]: inTurn(state('created'), state('running'), state('exited', 3)) }],
  ['loses the connection', { [wait]: cut, [look]: inTurn(state('running'), state('running'), state('exited', 3)) }],
])('the end of a container is heard where the engine %s', async (_what, answers) => {
  const engine = await engineThat(answers);
  expect(await exitCodeOf(engine, 'c', { told: never, lookEveryMs: 1 })).toBe(3);
  expect(asked.filter((one) => one === wait)).toHaveLength(1);
});

test('a container that is gone has no end', async () => {
  const gone: Answer = (_request, response) => void response.writeHead(404).end('{"message":"No such container: c"}');
  const engine = await engineThat({ [wait]: gone });
  await expect(exitCodeOf(engine, 'c', { told: never })).rejects.toMatchObject({ code: 'not_found' });
});

test('a container that does not end when it is told to is given up; one that was told nothing is not', async () => {
  const told = new AbortController();
  const runs = state('running');
  const untold: Answer = (request, response) => {
    if (asked.length === 10) told.abort();
    runs(request, response);
  };
  const engine = await engineThat({ [look]: untold });
  const end = exitCodeOf(engine, 'c', { told: told.signal, lookEveryMs: 1, endWithinMs: 5 });
  await expect(end).rejects.toMatchObject({ code: 'upstream_failed', message: expect.stringContaining('though it was told to') });
  expect(asked.length).toBeGreaterThan(10);
});

test('a container that the engine has forgotten is given up; one that is stopping or paused is not', async () => {
  const forgotten = state('created');
  const others = [state('stopping'), state('paused')];
  const engine = await engineThat({
    [look]: inTurn(...Array.from({ length: 20 }, (_, index) => others[index % 2] ?? forgotten), forgotten),
  });
  await expect(exitCodeOf(engine, 'c', { told: never, lookEveryMs: 1, lostWithinMs: 5 })).rejects.toMatchObject({
    code: 'upstream_failed',
    message: expect.stringContaining('has lost the container'),
  });
  expect(asked.filter((one) => one === look).length).toBeGreaterThan(20);
});

test('a container that the engine finds busy, or is removing already, is removed a little later', async () => {
  const refuses =
    (status: number, message: string): Answer =>
    (_request, response) =>
      void response.writeHead(status).end(JSON.stringify({ message }));
  const remove = 'DELETE /containers/c';
  const engine = await engineThat({
    [remove]: inTurn(
      refuses(500, 'removing container c root filesystem: unlinkat /x/userdata/shm: device or resource busy'),
      refuses(409, 'removal of container c is already in progress'),
      refuses(404, 'No such container: c'),
    ),
  });
  await removeContainer(engine, 'c', 1);
  expect(asked).toEqual([remove, remove, remove]);
});
