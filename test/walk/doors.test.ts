import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { endpoints, openRoutes } from '../../src/policy/endpoints.ts';
import { matchEndpoint } from '../../src/policy/match.ts';
import { neverAllowed } from '../../src/policy/never.ts';
import type { Claimed } from '../support/server.ts';
import { type Callers, type Credential, makeCallers } from './callers.ts';
import { inParallel } from './pool.ts';
import { doorOf, nameOf, pathOf, rowsWith, type Sample } from './sample.ts';
import { others } from './samples/others.ts';
import { buildWorld, type Target, type World } from './world.ts';

const form = { 'content-type': 'application/x-www-form-urlencoded' };

/** Paths that another route takes first and refuses in its own words: the runner door has no such method, no project is called `import`, no package has the number `protection`. */
const elsewhere: Readonly<Record<string, number>> = {
  ...Object.fromEntries(['PUT', 'PATCH'].map((method) => [`${method} /api/v4/runners*`, 405])),
  'POST /api/v4/runners*': 410,
  ...Object.fromEntries(
    ['PUT', 'DELETE'].flatMap((method) => ['', 'remote-'].map((kind) => [`${method} /api/v4/projects/${kind}import*`, 404])),
  ),
  'DELETE /api/v4/projects/:id/packages/protection*': 404,
};

/** What is refused to everybody alike, before anybody is asked. */
const openRefusals: Readonly<Record<string, number>> = { 'GET /api/v4/runners/router/discovery': 501, 'POST /api/v4/runners': 410 };

describe('the walk over the doors that are about a runner, a job or a pass', () => {
  let world: World;
  let callers: Callers;
  let own: Target;
  let job: Claimed;
  beforeAll(async () => {
    world = await buildWorld();
    callers = await makeCallers(world);
    const [first, running] = [world.targets[0], world.jobs.get('w20')];
    if (first === undefined || running === undefined) throw new Error('an empty world');
    [own, job] = [first, running];
  });
  afterAll(() => world.server.stop());

  test('R7 R17 the runner door hears a runner, or the token of the job that it is about, and no pass of any kind', async () => {
    const wrong: string[] = [];
    let cells = 0;
    for (const [row, sample] of rowsWith(others, (row) => doorOf(row) === 'runner')) {
      for (const carrier of ['job-token', 'runner-token', 'private-token'])
        await inParallel(callers.all, 8, async (credential) => {
          const path = pathOf(row, sample, { id: String(job.id) });
          const headers: Record<string, string> = credential.token === undefined ? {} : { [carrier]: credential.token };
          const { status, text } = await world.server.call(row.method, path, callOf(sample, headers, row.method));
          const right = openRefusals[nameOf(row)] ?? (mayReport(nameOf(row), carrier, credential) ? (sample.ok ?? 201) : 403);
          cells += 1;
          if (status !== right) wrong.push(`${nameOf(row)}, ${credential.name} as ${carrier}: ${status}, not ${right}: ${text}`);
        });
    }
    console.log(`the walk, runner door: ${cells} cells`);
    expect(wrong).toEqual([]);
  });

  function callOf({ raw, body }: Sample, headers: Record<string, string>, method: string) {
    if (method === 'GET') return { headers };
    if (raw === undefined) return { headers, body: body?.({}) ?? {} };
    const range: Record<string, string> = raw.range === undefined ? {} : { 'content-range': raw.range };
    return { headers: { ...headers, ...range, 'content-type': raw.type }, raw: raw.text };
  }

  /** Only the job's own token reports; its artifacts are for jobs that depend on it, and nothing here does. */
  function mayReport(name: string, carrier: string, { name: who, caller }: Credential): boolean {
    if (carrier !== 'job-token' || !name.includes('/jobs/:id')) return false;
    if (name === 'GET /api/v4/jobs/:id/artifacts') return ['job', 'full', 'fetch', 'narrowed'].includes(caller.kind);
    return who === 'job token of w20';
  }

  test('R3 introspection tells of living passes only, and of nothing else that is a token', async () => {
    for (const { name, caller, token } of callers.all) {
      const reply = await world.server.call('POST', '/-/jobpass/oauth/introspect', { headers: form, raw: `token=${token ?? ''}` });
      const alive = ['full', 'fetch', 'narrowed'].includes(caller.kind);
      expect([name, reply.status, reply.body['active']]).toEqual([
        name,
        token === undefined ? 400 : 200,
        token === undefined ? undefined : alive,
      ]);
    }
  });

  test('R8 R9 what is given back is dead, and nothing but that', async () => {
    const revoke = (token: string) => world.server.call('POST', '/-/jobpass/oauth/revoke', { headers: form, raw: `token=${token}` });
    const [person] = world.people.filter(({ name }) => name === 'w20');
    if (person === undefined) throw new Error('no w20');
    const [one, two] = [await world.pass('full', [person], { job }), await world.pass('full', [person], { job })];
    const reaches = async (header: string, token: string): Promise<number> =>
      (await world.server.call('GET', header === 'job-token' ? '/api/v4/job' : '/api/v4/user', { headers: { [header]: token } })).status;
    for (const token of [one, person.token, job.token]) expect((await revoke(token)).status).toBe(200);
    expect(await reaches('private-token', one)).toBe(401);
    expect(await reaches('private-token', two)).toBe(200);
    expect(await reaches('private-token', person.token)).toBe(200);
    expect(await reaches('job-token', job.token)).toBe(200);
  });

  /** The widest that there is, with quotas of its own. */
  function freshPass(): Promise<string> {
    const owners = world.people.filter(({ role }) => role === 50);
    return world.pass('full', owners, { job });
  }

  test('R5 A9 every path of the never list is refused to every pass, whoever stands behind it', async () => {
    const wrong: string[] = [];
    const token = await freshPass();
    const paths = neverAllowed.flatMap(({ methods, paths: patterns }) =>
      patterns.flatMap((pattern) => methods.map((method) => [method, pattern] as const)),
    );
    await inParallel(paths, 16, async ([method, pattern]) => {
      const owned = pattern.startsWith('/api/v4/groups')
        ? own.groupId
        : pattern.startsWith('/api/v4/users')
          ? own.params['user_id']
          : own.id;
      const path = pattern.replace(':id', String(owned)).replaceAll(/:\w+/g, '1').replace('*', '');
      const { status, text } = await world.server.call(method, path, {
        token,
        ...(method === 'GET' ? {} : { body: { runner_type: 'instance_type' } }),
      });
      if (status !== 403 && status !== elsewhere[`${method} ${pattern}`])
        wrong.push(`${method} ${pattern}: ${status} ${text.slice(0, 120)}`);
    });
    console.log(`the walk, never list: ${paths.length} routes`);
    expect(wrong).toEqual([]);
  });

  test('R13 A11 every other method on a path of the table, and every path that is nearly one, is refused to the widest pass', async () => {
    const token = await freshPass();
    const basic = { authorization: `Basic ${Buffer.from(`x:${token}`).toString('base64')}` };
    const known = new Set([...endpoints.map(nameOf), ...openRoutes].map((name) => name.split('?')[0]));
    const params = { ...own.params, id: String(own.id), '*': own.path };
    const near = endpoints.flatMap((row) =>
      (['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const).flatMap((method) => {
        const path = pathOf(row, {}, params).split('?')[0] ?? '';
        return known.has(`${method} ${row.path.split('?')[0] ?? ''}`)
          ? []
          : [`${method} ${path}`, `${row.method} ${path}/x`, `${row.method} ${path}x`];
      }),
    );
    const calls = [...new Set(near)].filter((name) => !openTo(name));
    const wrong: string[] = [];
    await inParallel(calls, 16, async (name) => {
      const [method = '', path = ''] = name.split(' ');
      const headers = path.startsWith('/v2') || path.includes('.git/') ? basic : { 'private-token': token };
      const { status, text } = await world.server.call(method, path, { headers, ...(method === 'GET' ? {} : { body: {} }) });
      // A quota that is used up would refuse for the wrong reason.
      if (status < 400 || status === 429) wrong.push(`${name}: ${status} ${text.slice(0, 100)}`);
    });
    console.log(`the walk, beside the table: ${calls.length} routes`);
    expect(wrong).toEqual([]);
  });

  /** A near path that is another row's after all: `/members/7` + `x` is a user id that is none, `/branches/work` + `x` another branch. */
  const openTo = (name: string): boolean => {
    const [method = '', path = ''] = name.split(' ');
    return matchEndpoint(method, path) !== undefined;
  };

  test('R13 what is open to all tells the same whoever asks, and every other row asks', async () => {
    for (const route of openRoutes) {
      const [method = '', path = ''] = route.split(' ');
      expect([route, (await world.server.call(method, path)).status]).toEqual([route, 200]);
    }
    expect(endpoints.filter((row) => openRoutes.includes(nameOf(row)))).toEqual([]);
  });
});
