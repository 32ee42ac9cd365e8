import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { UpstreamClient } from '../../../src/forge/gitlab/client.ts';
import { type DoctorFacts, examine } from '../../../src/forge/gitlab/doctor.ts';

type Script = Readonly<Record<string, readonly [number, unknown]>>;

const healthy: Script = {
  'GET /version': [200, { version: '18.2.1' }],
  'GET /personal_access_tokens/self': [200, { scopes: ['api', 'admin_mode'], expires_at: '2030-01-01' }],
  'GET /user': [200, { id: 1, username: 'root', is_admin: true, web_url: 'https://gitlab.example.com/root' }],
  'GET /application/settings': [
    200,
    { container_registry_token_expire_delay: 1, admin_mode: true, project_api_limit: 0, throttle_authenticated_api_enabled: false },
  ],
  'POST /users/1/impersonation_tokens': [201, { id: 9, token: 'secret-of-the-forge' }],
  'DELETE /users/1/impersonation_tokens/9': [204, undefined],
  'GET /projects': [200, [{ id: 4 }]],
  'GET /projects/4/events': [200, []],
  'POST /api/graphql': [200, { data: { currentUser: { id: 'gid://gitlab/User/1' } } }],
  'GET /runners/all': [200, [{ id: 3 }]],
};

let server: Server;
let script: Script;
let dir: string;
const asked: string[] = [];
const now = Date.now();

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'jobpass-doctor-'));
  await writeFile(join(dir, 'token'), 'glpat-of-root\n');
  server = createServer((request, response) => {
    const key = `${request.method ?? ''} ${(request.url ?? '').replace('/api/v4', '').split('?', 1)[0] ?? ''}`;
    asked.push(key);
    const [status, body] = script[key] ?? [404, { message: '404 Not Found' }];
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(body === undefined ? '' : JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  server.close();
  await rm(dir, { recursive: true, force: true });
});

async function findings(changes: Script = {}, facts: Partial<DoctorFacts> = {}) {
  script = { ...healthy, ...changes };
  const upstream = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = new UpstreamClient({ url: upstream, adminTokenFile: join(dir, 'token'), ca: undefined });
  try {
    return await examine(client, {
      upstream,
      external: 'https://gitlab.example.com',
      allowPlainHttp: false,
      principals: 'intersect',
      acting: 'impersonation',
      namedRunners: [3],
      trustedRunners: [3],
      now,
      ...facts,
    });
  } finally {
    await client.close();
  }
}
const bad = (found: Awaited<ReturnType<typeof findings>>) =>
  found.filter(({ level }) => level !== 'ok').map(({ level, what }) => `${level} ${what}`);

test('a healthy forge: nothing to change, and the token that was made for the look is revoked', async () => {
  const found = await findings();
  expect(bad(found)).toEqual([]);
  expect(asked).toContain('DELETE /users/1/impersonation_tokens/9');
  expect(JSON.stringify(found)).not.toMatch(/glpat-of-root|secret-of-the-forge/);
});

test.each([
  ['an old forge', { 'GET /version': [200, { version: '15.11.0' }] }, {}, ['warning version']],
  ['a token that may not do enough', { 'GET /personal_access_tokens/self': [200, { scopes: ['read_api'] }] }, {}, ['problem admin token']],
  [
    'a token that is about to expire',
    { 'GET /personal_access_tokens/self': [200, { scopes: ['api'], expires_at: new Date(now + 86_400_000).toISOString().slice(0, 10) }] },
    {},
    ['warning admin token'],
  ],
  [
    'no administrator',
    { 'GET /user': [200, { id: 1, username: 'bob', web_url: 'https://gitlab.example.com/bob' }] },
    {},
    ['problem administrator'],
  ],
  ['Admin Mode that the token does not reach', { 'GET /application/settings': [403, {}] }, {}, ['problem administrator']],
  [
    'R3 pushes of many refs that tell nothing of each',
    { 'GET /application/settings': [200, { container_registry_token_expire_delay: 1, admin_mode: true, push_event_activities_limit: 3 }] },
    {},
    ['warning push events'],
  ],
  ...[{ project_api_limit: 400 }, { group_api_limit: 400 }, { throttle_authenticated_api_enabled: true }].map(
    (limits) =>
      [
        `what is asked for all passes bounded as for one user (${Object.keys(limits).join()})`,
        { 'GET /application/settings': [200, { container_registry_token_expire_delay: 1, admin_mode: true, ...limits }] },
        {},
        ['warning rate limits'],
      ] as const,
  ),
  ['R1 Admin Mode off', { 'GET /application/settings': [200, { container_registry_token_expire_delay: 1 }] }, {}, ['warning Admin Mode']],
  [
    'image tokens that live long',
    { 'GET /application/settings': [200, { container_registry_token_expire_delay: 5, admin_mode: true }] },
    {},
    ['warning registry token'],
  ],
  ['impersonation switched off', { 'POST /users/1/impersonation_tokens': [404, {}] }, {}, ['problem impersonation']],
  ['another external address', {}, { external: 'https://other.example.com' }, ['warning addresses']],
  ['plain HTTP outside', {}, { external: 'http://gitlab.example.com' }, ['problem external URL', 'warning addresses']],
  ['R3 starter only', {}, { principals: 'starter' }, ['warning principals']],
  ['events that are not told', { 'GET /projects/4/events': [403, {}] }, {}, ['problem pushers']],
  ['no GraphQL', { 'POST /api/graphql': [404, {}] }, {}, ['warning triggered pipelines']],
  ['sudo without its scope', {}, { acting: 'sudo' }, ['problem admin token', 'warning Admin Mode']],
  ['a runner that is gone', { 'GET /runners/all': [200, []] }, {}, ['problem runner']],
  ['a forge that fails', { 'GET /version': [502, {}] }, {}, ['problem forge']],
] as const)('%s', async (_what, changes, facts, wanted) => {
  const found = await findings(changes, facts);
  expect(bad(found)).toEqual(wanted);
  for (const one of found) if (one.level !== 'ok') expect(one.advice).toMatch(/\w{3}/);
});
