import { afterAll, beforeAll, expect, test } from 'vitest';
import { admin } from '../../src/cli/admin.ts';
import { UsageError } from '../../src/cli/command.ts';
import { passFor } from '../support/pass.ts';
import { oneJob, startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  delete process.env['JOBPASS_TOKEN'];
  await server.stop();
});

async function run(token: string, ...args: readonly string[]): Promise<Record<string, unknown>> {
  process.env['JOBPASS_TOKEN'] = token;
  let text = '';
  const io = { out: (part: string) => void (text += part), terminal: false, stopped: () => new Promise<string>(() => {}) };
  expect(await admin.run(['ceiling', ...args, '--url', server.url], io)).toBe(0);
  return JSON.parse(text) as Record<string, unknown>;
}

test('R4 R11 a ceiling of each level is set, shown and taken away; a refusal says what to add, and adding it is enough', async () => {
  const alice = await server.user('alice');
  const app = await server.project('team/app');
  await server.member(app, alice.id, 40);
  await server.commit(app, '.gitlab-ci.yml', oneJob, { token: alice.token });
  const runner = await server.runner();
  const job = await server.claim(runner.token);
  if (job === undefined) throw new Error('no job');
  const pass = await passFor(server, job, [alice.id]);
  const branch = async (): Promise<readonly [number, string]> => {
    const body = { branch: `b${String(Math.random()).slice(2)}`, ref: 'main' };
    const reply = await server.call('POST', `/api/v4/projects/${app}/repository/branches`, { token: pass, body });
    return [reply.status, reply.text.replaceAll('\\"', '"')];
  };

  for (const [place, token] of [
    [['instance'], server.root],
    [['group', 'team'], server.root],
    [['project', 'team/app'], alice.token],
    [['my'], alice.token],
  ] as const) {
    expect(await run(token, 'show', ...place)).toEqual({ set: false });
    await run(token, 'set', ...place, '--permissions', 'code:*,*:read');
    const [status, message] = await branch();
    expect([status, message]).toEqual([403, expect.stringContaining('add "branch:write" to its permissions')]);
    await run(token, 'set', ...place, '--permissions', 'code:*,*:read,branch:write', '--projects', 'team/app');
    expect(await run(token, 'show', ...place)).toMatchObject({
      set: true,
      permissions: ['code:*', '*:read', 'branch:write'],
      project_ids: [app],
    });
    expect((await branch())[0]).toBe(201);
    await run(token, 'remove', ...place);
  }
  expect((await branch())[0]).toBe(201);
});

test('a place that is none is a wrong use', async () => {
  for (const place of [[], ['group'], ['instance', 'x'], ['my', 'x'], ['job', 'x'], ['project', 'a', 'b']])
    await expect(run(server.root, 'show', ...place)).rejects.toThrow(UsageError);
});
