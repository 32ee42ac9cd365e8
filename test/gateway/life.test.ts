import { request } from 'node:http';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { millis } from '../../src/base/ids.ts';
import { silentLog } from '../../src/base/log.ts';
import { type Handed, type Scene, scene } from '../support/scripted.ts';

/** How far the gateway's clock is ahead of the machine's, in milliseconds. */
let ahead = 0;
let gate: Scene;
beforeEach(async () => {
  ahead = 0;
  const clock = { now: () => millis(systemClock.now() + ahead), monotonic: () => systemClock.monotonic() + ahead };
  gate = await scene({}, silentLog, clock);
});
afterEach(() => gate.stop());

test('R2 no word from the runner for 3 minutes suspends the pass, though the forge says that its job runs; its next word heals it', async () => {
  const job = await gate.job();
  const read = () => gate.call('GET', '/api/v4/projects/8', job.pass);
  ahead = 2.9 * 60_000;
  expect((await read()).status).toBe(200);
  ahead = 3.1 * 60_000;
  const silent = await read();
  expect([silent.status, silent.text]).toEqual([401, expect.stringContaining('its runner has been silent for 3 minutes')]);
  // Anybody may knock; only the job's own token is its runner's word.
  await gate.call('PUT', `/api/v4/jobs/${job.id}`, undefined, { body: { state: 'running' }, headers: { 'job-token': 'glcbt-other' } });
  expect((await read()).status).toBe(401);
  await gate.call('PUT', `/api/v4/jobs/${job.id}`, undefined, { body: { state: 'running' }, headers: { 'job-token': job.token } });
  await expect.poll(async () => (await read()).status).toBe(200);
});

test('a job that lasts for days is heard as its user all the while, and leaves no token behind', async () => {
  const job = await gate.job({ timeout: 4 * 86_400 });
  gate.gitlab.answers.set('GET /projects/8/releases', [200, []]);
  const heardAs = async () => {
    await gate.call('PUT', `/api/v4/jobs/${job.id}`, undefined, { body: { state: 'running' }, headers: { 'job-token': job.token } });
    await expect.poll(async () => (await gate.call('GET', '/api/v4/projects/8/releases', job.pass)).status).toBe(200);
    return gate.gitlab.carried().at(-1)?.headers['private-token'];
  };
  const first = await heardAs();
  ahead = 19 * 3600_000;
  expect(await heardAs()).toBe(first);
  // GitLab ends it at midnight after the next day.
  ahead = 23 * 3600_000;
  const second = await heardAs();
  expect(second).not.toBe(first);
  expect([first, second].every((token) => gate.gitlab.acting.has(String(token)))).toBe(true);
  await gate.end(job);
  await expect.poll(() => gate.gitlab.acting.size).toBe(0);
});

test('R2 A45 an answer that was on its way when the job ended says nothing any more: the first request after the end is refused', async () => {
  const job = await gate.job();
  const running: unknown = await (await fetch(`${gate.gitlab.url}/api/v4/job`, { headers: { 'job-token': job.token } })).json();
  const [asked, told] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  gate.gitlab.answers.set('GET /job', async () => {
    gate.gitlab.answers.delete('GET /job');
    asked.resolve();
    await told.promise;
    return [200, running];
  });
  const first = gate.call('GET', '/api/v4/projects/8', job.pass).catch(() => undefined);
  await asked.promise;
  await gate.end(job);
  const second = gate.call('GET', '/api/v4/projects/8', job.pass);
  told.resolve();
  expect((await second).status).toBe(401);
  await first;
});

const oid = 'cd'.repeat(20);
const command = `${'0'.repeat(40)} ${oid} refs/heads/late\0 report-status`;
const pushed = `${(command.length + 4).toString(16).padStart(4, '0')}${command}0000PACK and so on`;

test.each<[string, string, string, string, string]>([
  ['a write over the API', 'POST', '/api/v4/projects/7/issues', 'application/json', '{"title":"late"}'],
  ['a package', 'PUT', '/api/v4/projects/7/packages/generic/tool/1.0/tool.bin', 'application/octet-stream', 'late bytes'],
  ['a push', 'POST', '/team/app.git/git-receive-pack', 'application/x-git-receive-pack-request', pushed],
])(
  'R2 A61 %s asks again at the moment it takes effect: what was admitted while the job ran does not arrive after it',
  async (_what, method, path, type, body) => {
    const target = path.replace('/api/v4', '');
    gate.gitlab.answers.set(`${method} ${target}`, [201, {}]);
    const arrived = () => gate.gitlab.heard.filter((heard) => heard.path === target);
    const still = await gate.job();
    await send(still, method, path, type, body, async () => {});
    expect(arrived()).toHaveLength(1);
    const job = await gate.job();
    await send(job, method, path, type, body, async () => {
      const admitted = () => gate.gateway.store.audit.query({ jobId: job.id as never, decision: 'allow', limit: 10 });
      await expect.poll(async () => (await admitted()).length).toBeGreaterThan(0);
      // It ends at the forge, which nobody tells the gateway; its last yes is older than a second.
      const there = gate.gitlab.jobs.find(({ id }) => id === job.id);
      if (there !== undefined) there.status = 'success';
      ahead = 1001;
    });
    expect(arrived()).toHaveLength(1);
    expect((await gate.call('GET', '/api/v4/projects/8', job.pass)).status).toBe(401);
  },
);

/** Sends the last byte of a body once `before` has happened. @returns when the answer, or the end of the connection, came */
function send(job: Handed, method: string, path: string, type: string, body: string, before: () => Promise<void>): Promise<void> {
  const authorization = `Basic ${Buffer.from(`x:${job.pass}`).toString('base64')}`;
  const headers = { authorization, 'content-type': type, 'content-length': body.length };
  return new Promise((resolve, reject) => {
    const sent = request(`${gate.gateway.url}${path}`, { method, headers }, (response) => response.on('close', resolve).resume());
    sent.on('error', () => resolve());
    sent.write(body.slice(0, -1), () => void before().then(() => sent.end(body.slice(-1)), reject));
  });
}
