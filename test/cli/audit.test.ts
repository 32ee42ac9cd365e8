import { afterAll, beforeAll, expect, test } from 'vitest';
import { audit } from '../../src/cli/audit.ts';
import { passFor } from '../support/pass.ts';
import { oneJob, startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
  process.env['JOBPASS_TOKEN'] = server.root;
});
afterAll(async () => {
  delete process.env['JOBPASS_TOKEN'];
  await server.stop();
});

/** Runs the command until `enough` says that it has printed what is waited for. */
async function output(args: readonly string[], enough?: (text: string) => boolean): Promise<string> {
  let text = '';
  let stop: (signal: string) => void = () => undefined;
  const stopped = new Promise<string>((resolve) => (stop = resolve));
  const out = (part: string): void => {
    text += part;
    if (enough?.(text) === true) stop('SIGINT');
  };
  expect(await audit.run(['--url', server.url, ...args], { out, terminal: false, stopped: () => stopped })).toBe(0);
  return text;
}

test('R10 the trail is printed, filtered, and followed until it is stopped', async () => {
  const project = await server.project('team/app');
  const alice = await server.user('alice');
  await server.call('GET', `/api/v4/projects/${project}`, { token: alice.token });
  // A refusal is written a moment later, together with its like.
  const denied = await output(['--user', String(alice.id), '--decision', 'deny', '--follow'], (text) => text.includes('project:read'));
  expect(denied).toMatch(/deny +user .*project:read@project:\d+/);
  expect(denied.split('\n').filter((line) => line.includes('allow'))).toEqual([]);

  const following = output(['--follow', '--json', '--limit', '1'], (text) => text.includes('GET /api/v4/version'));
  await server.call('GET', '/api/v4/version', { token: alice.token });
  const rows = (await following)
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { endpoint: string });
  expect(rows.at(-1)?.endpoint).toBe('GET /api/v4/version');
  expect(rows.slice(1).filter(({ endpoint }) => endpoint.includes('jobpass/audit'))).toEqual([]);
});

test('R4 the least that a job needed is suggested as lines for its file', async () => {
  const [app, lib] = [await server.project('suggest/app'), await server.project('suggest/lib')];
  const bob = await server.user('bob');
  for (const project of [app, lib]) await server.member(project, bob.id, 40);
  await server.commit(app, '.gitlab-ci.yml', oneJob, { token: bob.token });
  const runner = await server.runner();
  const job = await server.claim(runner.token);
  if (job === undefined) throw new Error('no job');
  const pass = await passFor(server, job, [bob.id]);
  expect(await output(['--suggest', '--job', String(job.id)])).toContain('needs none');
  await server.call('GET', '/api/v4/job', { token: pass });
  await server.call('GET', `/api/v4/projects/${lib}`, { token: pass });
  await server.call('POST', `/api/v4/projects/${app}/repository/branches?branch=x&ref=main`, { token: pass });
  await server.call('GET', '/api/v4/projects/999999', { token: pass });
  await server.must('POST', '/api/v4/groups/suggest/members', { user_id: bob.id, access_level: 10 });
  expect((await server.call('GET', '/api/v4/groups/suggest', { token: pass })).status).toBe(200);
  const lines = (await output(['--suggest', '--job', String(job.id)])).split('\n');
  expect(lines.slice(1, 4)).toEqual([
    'variables:',
    expect.stringMatching(/^ {2}JOBPASS_PERMISSIONS: branch:write group:read project:read$/),
    '  JOBPASS_PROJECTS: suggest/* suggest/app suggest/lib',
  ]);
});
