import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { token } from '../../src/cli/token.ts';
import { passFor } from '../support/pass.ts';
import { oneJob, startTestServer, type TestServer } from '../support/server.ts';

const variables = ['JOBPASS_TOKEN', 'CI_EXTENDED_JOB_TOKEN'];
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterEach(() => {
  for (const name of variables) delete process.env[name];
});
afterAll(() => server.stop());

async function output(pass: string, variable: string, args: readonly string[]): Promise<string> {
  for (const name of variables) delete process.env[name];
  process.env[variable] = pass;
  let text = '';
  const io = { out: (part: string) => (text += part), terminal: false, stopped: () => new Promise<string>(() => undefined) };
  expect(await token.run([...args, '--url', server.url], io)).toBe(0);
  return text;
}

test('R9 a job narrows the pass that it was shown, looks at it, and gives it back', async () => {
  const app = await server.project('team/app');
  const alice = await server.user('alice');
  await server.member(app, alice.id, 40);
  await server.commit(app, '.gitlab-ci.yml', oneJob, { token: alice.token });
  const job = await server.claim((await server.runner()).token);
  if (job === undefined) throw new Error('no job');
  const full = await passFor(server, job, [alice.id]);

  const narrow = ['narrow', '--scope', 'project:read', '--projects', 'team/app', '--seconds', '60'];
  const child = (await output(full, 'CI_EXTENDED_JOB_TOKEN', narrow)).trim();
  expect(child).toMatch(/^jpt_n/);
  expect(JSON.parse(await output(child, 'JOBPASS_TOKEN', ['inspect']))).toMatchObject({
    active: true,
    scope: 'project:read',
    jobpass_kind: 'narrowed',
    jobpass_principals: [alice.id],
    jobpass_limits: [{ permissions: ['project:read'], project_ids: [app] }],
  });
  await output(full, 'CI_EXTENDED_JOB_TOKEN', ['revoke']);
  expect(JSON.parse(await output(child, 'JOBPASS_TOKEN', ['inspect']))).toEqual({ active: false });
});
