import { afterEach, describe, expect, test } from 'vitest';
import { type Handed, type Scene, scene } from '../support/scripted.ts';

/** An administrator of the forge with a role of their own in team/app, and none in libs/secret and open/tool. */
const carol = 4;
let gate: Scene;
afterEach(() => gate.stop());

async function open(settings: unknown, config = {}): Promise<void> {
  gate = await scene(config);
  gate.gitlab.user(carol, 'carol');
  Object.assign(gate.gitlab.users.get(carol) ?? {}, { is_admin: true });
  gate.gitlab.levels.set(`projects/7/${carol}`, 40);
  gate.gitlab.project(9, 'open/tool');
  Object.assign(gate.gitlab.projects.get(9) ?? {}, { visibility: 'public' });
  gate.gitlab.answers.set('GET /application/settings', [200, settings]);
}
const job = (given = {}): Promise<Handed> => gate.job({ userId: carol, ...given });
const hasPass = (one: Handed): boolean => one.payload['extended_job_token'] !== undefined;
const basic = (pass: string) => ({ authorization: `Basic ${Buffer.from(`x:${pass}`).toString('base64')}` });

describe('R1 A68 an administrator, where Admin Mode is on', () => {
  const on = { admin_mode: true };

  test('R1 A68 gets a pass, which asks with tokens that have no such scope, and reaches what their own roles reach', async () => {
    await open(on);
    const one = await job();
    expect(one.notes).toContain('Admin Mode keeps that out');
    gate.gitlab.answers.set('GET /projects/7/issues', [200, []]);
    gate.gitlab.answers.set('POST /projects/7/issues', [201, { id: 1 }]);
    expect((await gate.call('GET', '/api/v4/projects/7/issues', one.pass)).status).toBe(200);
    expect((await gate.call('POST', '/api/v4/projects/7/issues', one.pass, { body: { title: 'x' } })).status).toBe(201);
    expect([...gate.gitlab.acting.values()]).toEqual([
      { user: carol, scopes: ['read_api'] },
      { user: carol, scopes: ['api'] },
    ]);
    expect((await gate.call('GET', '/api/v4/projects/8', one.pass)).status).toBe(404);
  });

  test('R1 A68 that is switched off while the job runs: refused from then on', async () => {
    await open(on);
    const one = await job();
    const read = async () => (await gate.call('GET', '/api/v4/projects/7', one.pass)).status;
    expect(await read()).toBe(200);
    gate.gitlab.answers.set('GET /application/settings', [200, { admin_mode: false }]);
    await expect.poll(read, { timeout: 10_000 }).toBe(403);
  });

  test('R1 A68 git is exempt there: only what is their own is fetched, and nothing that is protected is pushed to', async () => {
    await open(on);
    const one = await job();
    for (const path of ['team/app', 'open/tool']) {
      gate.gitlab.answers.set(`GET /${path}.git/info/refs`, [200, '']);
      gate.gitlab.answers.set(`POST /${path}.git/git-receive-pack`, [200, '']);
    }
    const fetched = async (path: string) =>
      (await gate.call('GET', `/${path}.git/info/refs?service=git-upload-pack`, undefined, { headers: basic(one.pass) })).status;
    // Anybody may read it; of what is for members only in it, an administrator gets all.
    expect([await fetched('team/app'), await fetched('open/tool')]).toEqual([200, 403]);
    const pushed = async (ref: string) => {
      const command = `${'0'.repeat(40)} ${'cd'.repeat(20)} refs/heads/${ref}\0 report-status`;
      const raw = `${(command.length + 4).toString(16).padStart(4, '0')}${command}0000PACK`;
      const headers = { ...basic(one.pass), 'content-type': 'application/x-git-receive-pack-request' };
      return (await gate.call('POST', '/team/app.git/git-receive-pack', undefined, { raw, headers })).text;
    };
    // git hears a refusal in its report.
    expect(await pushed('topic')).toBe('');
    expect(await pushed('main')).toMatch(/ng refs\/heads\/main This pass .*may not push/);
  });

  test('R1 A68 images are exempt, too: they are read where the role is their own, and pushed nowhere', async () => {
    await open(on);
    const one = await job();
    gate.gitlab.answers.set('GET /jwt/auth', [200, { token: 'x' }]);
    const query = 'service=container_registry&scope=repository:team/app:pull,push,delete&scope=repository:open/tool:pull';
    expect((await gate.call('GET', `/jwt/auth?${query}`, undefined, { headers: basic(one.pass) })).status).toBe(200);
    const asked = new URLSearchParams(gate.gitlab.heard.findLast(({ path }) => path.startsWith('/jwt/auth'))?.path.split('?')[1]);
    expect(asked.getAll('scope')).toEqual(['repository:team/app:pull']);
  });

  test('R1 A68 where a branch is kept for administrators, the pass writes nothing', async () => {
    await open(on);
    const levels = { push_access_levels: [{ access_level: 60 }] };
    gate.gitlab.answers.set('GET /projects/7/protected_branches', [200, [{ name: 'main', ...levels }]]);
    const one = await job();
    expect((await gate.call('POST', '/api/v4/projects/7/issues', one.pass, { body: { title: 'x' } })).status).toBe(403);
    expect((await gate.call('GET', '/api/v4/projects/7', one.pass)).status).toBe(200);
  });

  test('R1 A68 a token that came with the scope unasked is revoked, and nothing is asked with it', async () => {
    await open(on);
    const one = await job();
    const made = [201, { id: 77, token: 'glpat-wide', scopes: ['read_api', 'admin_mode'] }] as const;
    gate.gitlab.answers.set(`POST /users/${carol}/impersonation_tokens`, made);
    expect((await gate.call('GET', '/api/v4/projects/7', one.pass)).status).toBe(502);
    expect(gate.gitlab.heard.some(({ headers }) => headers['private-token'] === 'glpat-wide')).toBe(false);
    expect(gate.gitlab.heard.some(({ method, path }) => method === 'DELETE' && path.endsWith('/impersonation_tokens/77'))).toBe(true);
  });

  test('R1 A68 without a role of their own in the project of the job there is none', async () => {
    await open(on);
    expect(hasPass(await job({ projectId: 8 }))).toBe(false);
  });

  test('R1 A68 an auditor gets none: nothing holds that power back', async () => {
    await open(on);
    Object.assign(gate.gitlab.users.get(carol) ?? {}, { is_admin: false, is_auditor: true });
    expect(hasPass(await job())).toBe(false);
  });

  test('R1 A68 with --acting sudo there is none: the admin token would lend its own power', async () => {
    await open(on, { acting: 'sudo' });
    expect(hasPass(await job())).toBe(false);
  });
});

test.each([
  ['off', { admin_mode: false }],
  ['not told', {}],
  ['told in other words', { admin_mode: 'true' }],
])('R1 R13 A68 where Admin Mode is %s, an administrator gets no pass', async (_what, settings) => {
  await open(settings);
  expect(hasPass(await job())).toBe(false);
});
