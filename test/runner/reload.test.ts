import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Log, silentLog } from '../../src/base/log.ts';
import { type RunnerHandle, startRunner } from '../../src/runner/loop.ts';
import { jobPayload, makeScene, type Scene, textOf } from './support/jobs.ts';

let scene: Scene;
let runner: RunnerHandle | undefined;
beforeEach(async () => {
  scene = await makeScene();
});
afterEach(async () => {
  await runner?.stop();
  runner = undefined;
  await scene.close();
});

async function start(log: Log = silentLog): Promise<RunnerHandle> {
  const pace = { traceIntervalMs: 10, heartbeatMs: 50, retryMs: 1, configPollMs: 10 };
  runner = await startRunner({ configPath: scene.configPath, log, ...pace });
  return runner;
}
async function change(from: string | RegExp, to: string): Promise<void> {
  await writeFile(scene.configPath, (await readFile(scene.configPath, 'utf8')).replace(from, to));
}
/** A job that runs until `flag` is there. */
async function begin(id: number, flag: string): Promise<void> {
  scene.forge.give(jobPayload(['echo "now re""ady $GIVEN in $PWD"', `while ! test -e ${flag}; do sleep 0.02; done`], { id }));
  await scene.forge.when(() => scene.forge.report(id).trace.includes('now ready'));
}
const saidBy = (id: number): string => textOf(scene.forge.report(id).trace);
const folderOf = (id: number): string => / in (\/\S+)/.exec(saidBy(id))?.[1] ?? '';

test('a changed file is heeded while a job runs on; the two never share a slot', async () => {
  await start();
  const flag = join(scene.dir, 'end');
  await begin(1, flag);
  // At once: what is in between would be heeded as well.
  await change(/concurrent = 1\n([^]*\[\[runners\]\]\n)/, 'concurrent = 2\n$1environment = ["GIVEN=value"]\n');
  await begin(2, flag);
  expect(saidBy(1)).toContain('now ready  in');
  expect(saidBy(2)).toContain('now ready value in');
  expect(folderOf(1)).not.toBe(folderOf(2));
  await writeFile(flag, '');
  for (const id of [1, 2]) expect((await scene.forge.ended(id)).final).toMatchObject({ state: 'success' });
});

test('a file that cannot be served leaves the last one; an unchanged one changes nothing', async () => {
  const handle = await start();
  const { verdict } = handle;
  await change('executor = "shell"', 'executor = "spaceship"');
  await handle.reload();
  await change('executor = "spaceship"', 'executor = "shell"');
  await handle.reload();
  expect(handle.verdict).toBe(verdict);
  scene.forge.give(jobPayload(['true'], { id: 3 }));
  expect((await scene.forge.ended(3)).final).toMatchObject({ state: 'success' });
  await writeFile(scene.configPath, 'concurrent = ');
  await handle.reload();
  scene.forge.give(jobPayload(['true'], { id: 4 }));
  expect((await scene.forge.ended(4)).final).toMatchObject({ state: 'success' });
});

test.each([
  ['an authority that cannot be read', 'token = ', 'tls-ca-file = "/nowhere"\ntoken = '],
  ['an address that is none', 'url = "http:', 'url = "ftp:'],
])('a file with %s leaves the last one, and ends no job', async (_what, from, to) => {
  const handle = await start();
  await change(from, to);
  await handle.reload();
  scene.forge.give(jobPayload(['true'], { id: 6 }));
  expect((await scene.forge.ended(6)).final).toMatchObject({ state: 'success' });
});

test('a file that is empty, as one that is just being written, leaves the last one', async () => {
  const handle = await start();
  await writeFile(scene.configPath, '');
  await handle.reload();
  scene.forge.give(jobPayload(['true'], { id: 5 }));
  expect((await scene.forge.ended(5)).final).toMatchObject({ state: 'success' });
});

test('an entry that is taken out asks no more', async () => {
  const handle = await start();
  await once(scene.forge.events, 'polled');
  await change(/\[\[runners\]\][^]*/, '');
  await handle.reload();
  const asked = scene.forge.requests.length;
  scene.forge.events.emit('queued');
  await handle.drain();
  expect(scene.forge.requests.length).toBe(asked);
});

test('R7 where the gate judges otherwise now, no job begins beside one of before', async () => {
  const waits = Promise.withResolvers<void>();
  const warn = (event: string): void => (event === 'runner.reload_waits_for_jobs' ? waits.resolve() : undefined);
  const handle = await start({ ...silentLog, warn });
  const flag = join(scene.dir, 'end');
  await begin(1, flag);
  expect(handle.verdict.verdict).toBe('withhold');
  const shell = await readFile(scene.configPath, 'utf8');
  const changed = shell.replace('concurrent = 1\n', 'concurrent = 2\n').replace('executor = "shell"', 'executor = "docker"');
  await writeFile(scene.configPath, `${changed}\n[runners.docker]\nimage = "none"\n`);
  let reloaded = false;
  const reload = handle.reload().then(() => (reloaded = true));
  scene.forge.give(jobPayload(['true'], { id: 2 }));
  await waits.promise;
  expect([reloaded, handle.verdict.verdict]).toEqual([false, 'withhold']);
  await writeFile(flag, '');
  await reload;
  expect(handle.verdict.verdict).toBe('expose');
  await writeFile(scene.configPath, shell);
});
