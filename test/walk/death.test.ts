import { get, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type JobId, millis } from '../../src/base/ids.ts';
import { type Claimed, oneJob } from '../support/server.ts';
import { archiveForm, zipOf } from '../support/zip.ts';
import type { Person } from './oracle.ts';
import { pushLarge } from './samples/lfs.ts';
import { pushImage } from './samples/registry.ts';
import { buildWorld, type Target, type World } from './world.ts';

const form = { 'content-type': 'application/x-www-form-urlencoded' };
const basic = (token: string) => ({ authorization: `Basic ${Buffer.from(`x:${token}`).toString('base64')}` });

describe('R2 the end of a job is the end of its passes, at every door', () => {
  let world: World;
  let owner: Person;
  let own: Target;
  beforeAll(async () => {
    world = await buildWorld();
    const [first] = world.targets;
    const someone = world.people.find(({ role }) => role === 50);
    if (first === undefined || someone === undefined) throw new Error('an empty world');
    [own, owner] = [first, someone];
    await pushImage(world.server, own.path);
    await pushLarge(world.server, own.path);
  });
  afterAll(() => world.server.stop());

  /** What a pass is used for, a door each. @returns whether it was let in */
  function uses(full: string, registryToken: string): Readonly<Record<string, () => Promise<boolean>>> {
    const { server } = world;
    const asked = (method: string, path: string, headers: Record<string, string>, body?: unknown) => async () =>
      (await server.call(method, path, { headers, ...(body === undefined ? {} : { body }) })).status < 300;
    const api = { 'private-token': full };
    const lfs = { operation: 'download', objects: [] };
    return {
      'api, reading': asked('GET', `/api/v4/projects/${own.id}`, api),
      'api, about itself': asked('GET', '/api/v4/job', api),
      'api, writing': async () =>
        asked('POST', `/api/v4/projects/${own.id}/repository/tags`, api, { tag_name: `t${world.next()}`, ref: 'main' })(),
      'git, fetching': asked('GET', `/${own.path}.git/info/refs?service=git-upload-pack`, basic(full)),
      'git, pushing': asked('GET', `/${own.path}.git/info/refs?service=git-receive-pack`, basic(full)),
      'git lfs': asked('POST', `/${own.path}.git/info/lfs/objects/batch`, basic(full), lfs),
      'registry, login': asked('GET', '/jwt/auth?service=container_registry', basic(full)),
      'registry, pulling': asked('GET', `/v2/${own.path}/manifests/latest`, basic(full)),
      'registry, by its token': asked('GET', `/v2/${own.path}/manifests/latest`, { authorization: `Bearer ${registryToken}` }),
      introspection: async () =>
        (await server.call('POST', '/-/jobpass/oauth/introspect', { headers: form, raw: `token=${full}` })).body['active'] === true,
    };
  }

  async function whoIsLetIn(all: ReturnType<typeof uses>): Promise<readonly string[]> {
    const answers = await Promise.all(Object.entries(all).map(async ([name, use]) => ((await use()) ? [name] : [])));
    return answers.flat();
  }

  async function prepare(job: Claimed, person = owner) {
    const full = await world.pass('full', [person], { job });
    const scope = `service=container_registry&scope=repository:${own.path}:pull`;
    const { body } = await world.server.call('GET', `/jwt/auth?${scope}`, { headers: basic(full) });
    const all = uses(full, String(body['token']));
    expect(await whoIsLetIn(all)).toEqual(Object.keys(all));
    return all;
  }

  function jobOf(name: string): Claimed {
    const job = world.jobs.get(name);
    if (job === undefined) throw new Error(`no job of ${name}`);
    return job;
  }

  const heardAt = (job: Claimed, at: number) =>
    world.server.store.transactor.write((tx) =>
      world.server.store.jobs.changeJob(tx, job.id as JobId, ['running'], { contactAt: millis(at) }),
    );
  const jobs = (id: number) => `/api/v4/projects/${own.id}/jobs/${id}`;

  const ways: Readonly<Record<string, readonly [name: string, end: (job: Claimed) => Promise<unknown>]>> = {
    'it succeeds': ['w0', (job) => world.server.finish(job)],
    'it fails': ['w10', (job) => world.server.finish(job, 'failed')],
    'it is canceled, and its runner still has to tidy up': ['w15', (job) => world.server.must('POST', `${jobs(job.id)}/cancel`)],
    'it is canceled by force': ['w20', (job) => world.server.must('POST', `${jobs(job.id)}/cancel`, { force: true })],
    'its pipeline is canceled': [
      'w30',
      async (job) => {
        const { pipeline } = (await world.server.call('GET', jobs(job.id), { token: world.server.root })).body as {
          pipeline: { id: number };
        };
        await world.server.must('POST', `/api/v4/projects/${own.id}/pipelines/${pipeline.id}/cancel`);
      },
    ],
    'its runner falls silent': ['w40', (job) => heardAt(job, Date.now() - 181_000)],
  };

  test.each(Object.keys(ways))('R2 A45 %s', async (way) => {
    const [name, end] = ways[way] ?? ['', () => Promise.resolve()];
    const job = jobOf(name);
    const all = await prepare(job);
    await end(job);
    expect(await whoIsLetIn(all)).toEqual([]);
  });

  test('R1 A37 the user behind it is blocked', async () => {
    const someone = world.people.find(({ name }) => name === 'w40') ?? owner;
    const all = await prepare(jobOf('w50'), someone);
    await world.server.must('POST', `/api/v4/users/${someone.id}/block`);
    expect(await whoIsLetIn(all)).toEqual([]);
    await world.server.must('POST', `/api/v4/users/${someone.id}/unblock`);
    // Rights are asked anew each time: what lives on is let in again.
    expect(await whoIsLetIn(all)).toEqual(Object.keys(all));
  });

  test('R2 what is in flight is cut: an artifact, a file of one, an image, a large file', async () => {
    const { server } = world;
    const bytes = randomBytes(24 * 1024 * 1024);
    const digest = createHash('sha256').update(bytes).digest('hex');
    const job = jobOf('w50');
    const rootly = { authorization: `Bearer ${server.root}`, 'content-type': 'application/octet-stream' };
    await server.call('POST', `/v2/${own.path}/blobs/uploads?digest=sha256:${digest}`, { headers: rootly, raw: bytes });
    await server.call('PUT', `/${own.path}.git/gitlab-lfs/objects/${digest}/${bytes.length}`, { headers: rootly, raw: bytes });
    await server.call('POST', `/api/v4/jobs/${job.id}/artifacts`, {
      headers: { 'job-token': job.token, 'content-type': 'multipart/form-data; boundary=b' },
      raw: archiveForm(zipOf({ big: bytes })),
    });
    const full = await world.pass('full', [owner], { job });
    const streams = await Promise.all(
      [
        `${jobs(job.id)}/artifacts`,
        `${jobs(job.id)}/artifacts/big`,
        `/v2/${own.path}/blobs/sha256:${digest}`,
        `/${own.path}.git/gitlab-lfs/objects/${digest}`,
      ].map((path) => begun(`${server.url}${path}`, full)),
    );
    await server.finish(job);
    for (const stream of streams) expect(await restOf(stream)).toBe('cut');
  });

  test('R2 A61 fifty clients at once: once the end is told, nobody is let in and nothing is written', async () => {
    const { server, foreignJob } = world;
    const full = await world.pass('full', [owner], { job: foreignJob });
    const links = `/api/v4/projects/${own.id}/releases/v1/assets/links`;
    const count = async () => Number((await server.call('GET', links, { token: server.root })).headers.get('x-total'));
    let ended = false;
    let written = 0;
    let enough = (): void => undefined;
    const underWay = new Promise<void>((resolve) => (enough = resolve));
    const late: string[] = [];
    const client = async (): Promise<void> => {
      for (let alive = true; alive;) {
        const told = ended;
        const name = `race-${world.next()}`;
        const { status } = await server.call('POST', links, { token: full, body: { name, url: `https://example.com/${name}` } });
        if (status === 201 && told) late.push(name);
        if (status === 201 && (written += 1) === 60) enough();
        alive = status === 201 && !told;
      }
    };
    const clients = Array.from({ length: 50 }, client);
    await underWay;
    const [first, ...others] = await Promise.all([server.finish(foreignJob), server.finish(foreignJob, 'failed')]);
    ended = true;
    const atTheEnd = await count();
    await Promise.all(clients);
    expect([first.status, others.length]).toEqual([200, 1]);
    expect([late, await count()]).toEqual([[], atTheEnd]);
  });

  /** A project with one pipeline that waits, and a runner that nobody else asks with. */
  async function waiting(path: string): Promise<{ readonly project: number; readonly take: () => Promise<Claimed | undefined> }> {
    const { server } = world;
    const { token } = await server.runner();
    // What the walk's own fixtures left to do comes first.
    for (let job = await server.claim(token); job !== undefined; job = await server.claim(token)) await server.finish(job);
    const project = await server.project(path);
    await server.commit(project, '.gitlab-ci.yml', oneJob);
    return { project, take: () => server.claim(token) };
  }

  test('R2 A5 A45 A46 claims, ends and uses at once: one claimant, one end, and no use after it', async () => {
    const { server } = world;
    for (let round = 0; round < 5; round += 1) {
      const { project, take } = await waiting(`race${round}/app`);
      const [job, ...others] = (await Promise.all(Array.from({ length: 10 }, take))).filter((one) => one !== undefined);
      if (job === undefined) throw new Error('no job');
      expect(others).toEqual([]);
      const pass = await world.pass('full', [owner], { job });
      let ended = false;
      let begin = (): void => undefined;
      const begun = new Promise<void>((resolve) => (begin = resolve));
      const late: number[] = [];
      const client = async (): Promise<void> => {
        for (let alive = true; alive;) {
          const told = ended;
          const { status } = await server.call('GET', '/api/v4/job', { token: pass });
          begin();
          alive = status === 200 && !told;
          if (status === 200 && told) late.push(status);
        }
      };
      const clients = Array.from({ length: 50 }, client);
      await begun;
      const cancel = (force: boolean) =>
        server.call('POST', `/api/v4/projects/${project}/jobs/${job.id}/cancel`, { token: server.root, body: { force } });
      const ends = [server.finish(job), server.finish(job, 'failed'), cancel(true), cancel(false)];
      await Promise.all(ends);
      ended = true;
      await Promise.all(clients);
      const { status } = (await server.call('GET', `/api/v4/projects/${project}/jobs/${job.id}`, { token: server.root })).body;
      expect([late, ['success', 'failed', 'canceled'].includes(String(status))]).toEqual([[], true]);
    }
  });

  test('R2 R14 its project is removed', async () => {
    const { server } = world;
    const { project: gone, take } = await waiting('gone/app');
    const job = await take();
    if (job === undefined) throw new Error('no job');
    const all = await prepare(job);
    await server.must('DELETE', `/api/v4/projects/${gone}`);
    expect(await whoIsLetIn(all)).toEqual([]);
  });

  test('R2 its runner is removed', async () => {
    const job = jobOf('wadmin');
    const all = await prepare(job);
    await world.server.must('DELETE', '/api/v4/runners/1');
    expect(await whoIsLetIn(all)).toEqual([]);
  });
});

/** A download of which the first bytes have come, and no more is read for now. */
async function begun(url: string, token: string): Promise<IncomingMessage> {
  const [response] = (await once(get(url, { headers: { authorization: `Bearer ${token}` }, agent: false }), 'response')) as [
    IncomingMessage,
  ];
  expect(response.statusCode).toBe(200);
  await once(response, 'readable');
  return response;
}

async function restOf(response: IncomingMessage): Promise<'whole' | 'cut'> {
  try {
    for await (const chunk of response) void chunk;
    return 'whole';
  } catch {
    return 'cut';
  }
}
