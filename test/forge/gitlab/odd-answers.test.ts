import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { id, type ProjectId, type UserId } from '../../../src/base/ids.ts';
import { Secret } from '../../../src/base/secret.ts';
import { UpstreamClient } from '../../../src/forge/gitlab/client.ts';
import { makeGitlabDirectory } from '../../../src/forge/gitlab/directory.ts';
import { makeGitlabHistory } from '../../../src/forge/gitlab/history.ts';
import { makeGitlabJobs } from '../../../src/forge/gitlab/jobs.ts';

type Answer = readonly [number, unknown, Readonly<Record<string, string>>?];
type Handler = (request: IncomingMessage, path: string, response: ServerResponse) => Answer | undefined;

let server: Server;
let handler: Handler;
let client: UpstreamClient;
let dir: string;
let asked: string[];
const failed = expect.objectContaining({ code: 'upstream_failed' });
const [alice, bob] = [id<UserId>(2), id<UserId>(3)];
const project = id<ProjectId>(7);

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'jobpass-odd-'));
  await writeFile(join(dir, 'token'), 'glpat-first\n');
  asked = [];
  server = createServer((request, response) => {
    const path = (request.url ?? '').replace('/api/v4', '');
    asked.push(`${request.method ?? ''} ${path}`);
    const answer = handler(request, path.split('?', 1)[0] ?? '', response);
    if (answer === undefined) return;
    const [status, body, headers = {}] = answer;
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  client = new UpstreamClient({ url, adminTokenFile: join(dir, 'token'), ca: undefined, timeoutMs: 2000 });
});
afterEach(async () => {
  await client.close();
  server.closeAllConnections();
  server.close();
  await rm(dir, { recursive: true, force: true });
});

describe("a forge's odd answers", () => {
  test.each<[string, Answer]>([
    ['an HTML page with 200', [200, '<html>', { 'content-type': 'text/html' }]],
    ['a page of the proxy in front', [502, '<html>Bad Gateway</html>']],
    ['too many requests', [429, {}, { 'retry-after': '17' }]],
    ['A21 a redirect', [302, '', { location: 'http://127.0.0.1:1/elsewhere' }]],
    ['a status that nobody knows', [299, {}]],
    ['more than anybody reads', [200, JSON.stringify({ filler: 'x'.repeat(9 * 1024 * 1024) })]],
  ])('R13 %s is no answer', async (_what, answer) => {
    handler = () => answer;
    await expect(client.ask('GET', '/version')).rejects.toEqual(failed);
  });

  test('its Retry-After is handed on', async () => {
    handler = () => [429, {}, { 'retry-after': '17' }];
    await expect(client.ask('GET', '/version')).rejects.toMatchObject({ detail: { retryAfterSeconds: 17 } });
  });

  test('a connection that is cut, and one that says nothing, are no answer', async () => {
    handler = (_request, _path, response) => {
      response.destroy();
      return undefined;
    };
    await expect(client.ask('GET', '/version')).rejects.toEqual(failed);
    handler = () => undefined;
    await expect(client.ask('GET', '/version')).rejects.toEqual(failed);
  }, 20_000);

  test('an admin token that was rotated is read again, once', async () => {
    handler = (request) => (request.headers['private-token'] === 'glpat-second' ? [200, { version: '18.0.0' }] : [401, {}]);
    await expect(client.ask('GET', '/version')).rejects.toEqual(failed);
    await writeFile(join(dir, 'token'), 'glpat-second\n');
    expect((await client.ask('GET', '/version')).status).toBe(200);
  });

  test('after five failures in a row it is left alone for a while, and asked again by one', async () => {
    handler = () => [503, {}];
    for (let count = 0; count < 5; count += 1) await expect(client.ask('GET', '/version')).rejects.toEqual(failed);
    const before = asked.length;
    await expect(client.ask('GET', '/version')).rejects.toEqual(failed);
    expect(asked.length).toBe(before);
    expect(client.breaker.state).toBe('open');
  });
});

describe('who is who', () => {
  const member = (level: number) => ({ id: 2, access_level: level, state: 'active', membership_state: 'active' });

  test("A24 an answer about one person, project or kind is nobody else's", async () => {
    handler = (_request, path) => {
      if (path === '/projects/7/members/all/2') return [200, member(40)];
      if (path === '/groups/7/members/all/3') return [200, member(30)];
      return [404, {}];
    };
    const directory = makeGitlabDirectory(client);
    expect(await directory.projectLevels(null, [alice, bob], project, 0 as never)).toEqual(new Map([[alice, 40]]));
    expect(await directory.groupLevels(null, [alice, bob], 7 as never, 0 as never)).toEqual(new Map([[bob, 30]]));
    expect(await directory.projectLevels(null, [alice], 8 as never, 0 as never)).toEqual(new Map());
  });

  test('A37 what was not found is asked again at once, and twenty who ask together ask once', async () => {
    let level = 404;
    handler = (_request, path) => (path.startsWith('/projects/7/members') && level !== 404 ? [200, member(level)] : [404, {}]);
    const directory = makeGitlabDirectory(client);
    const ask = () => directory.projectLevels(null, [alice], project, 0 as never);
    expect((await ask()).size).toBe(0);
    level = 30;
    asked = [];
    await Promise.all(Array.from({ length: 20 }, ask));
    expect(asked.filter((path) => path.includes('members')).length).toBe(1);
  });

  test('R1 a user who is blocked, locked or in a state with a new name is not active; power that is not told is unknown', async () => {
    const users: Record<string, unknown> = {
      '/users/2': { id: 2, username: 'a', state: 'active', is_admin: false },
      '/users/3': { id: 3, username: 'b', state: 'blocked', is_admin: true },
      '/users/4': { id: 4, username: 'c', state: 'active', locked: true },
      '/users/5': { id: 5, username: 'd', state: 'hibernating', is_admin: false, is_auditor: true },
    };
    handler = (_request, path) => (path in users ? [200, users[path]] : [404, {}]);
    const directory = makeGitlabDirectory(client);
    const found = await directory.users(
      null,
      [2, 3, 4, 5, 6].map((one) => id<UserId>(one)),
    );
    expect([...found.values()].map(({ id: user, state, isAdmin }) => [user, state, isAdmin])).toEqual([
      [2, 'active', false],
      [3, 'blocked', false],
      [4, 'blocked', false],
      [5, 'blocked', false],
    ]);
    expect(await Promise.all([2, 3, 4, 5, 6].map((one) => directory.powerOf(id<UserId>(one))))).toEqual([
      'none',
      'admin',
      'unknown',
      'auditor',
      'unknown',
    ]);
  });

  test('R13 protected branches that are not told make the answer none, not "unprotected"', async () => {
    handler = () => [403, {}];
    await expect(makeGitlabDirectory(client).protectedRefs(null, project)).rejects.toEqual(failed);
  });

  test('R13 a project without an archived state reads as archived; an unknown visibility as private', async () => {
    handler = () => [200, { id: 7, path_with_namespace: 'g/p', namespace: { id: 1 }, visibility: 'galactic' }];
    expect(await makeGitlabDirectory(client).project(null, project)).toMatchObject({ archived: true, visibility: 'private' });
  });
});

const forgeProject = { id: 7, path_with_namespace: 'g/p', namespace: { id: 1 }, default_branch: 'main' };

describe('jobs and history', () => {
  test.each<[string, Answer, unknown]>([
    ["a token that is no job's", [401, {}], 'refused'],
    ['a token that the forge forbids', [403, {}], 'refused'],
  ])('%s', async (_what, answer, wanted) => {
    handler = () => answer;
    expect(await makeGitlabJobs(client).jobOf(new Secret('glcbt-x'))).toBe(wanted);
  });

  test.each<[string, unknown]>([
    ['no user', { id: 1, status: 'running', ref: 'main', pipeline: { id: 2, project_id: 7, sha: 'a'.repeat(40) } }],
    ['a sha that is none', { id: 1, status: 'running', ref: 'main', user: { id: 2 }, pipeline: { id: 2, project_id: 7, sha: 'HEAD' } }],
    [
      'a text for a number',
      { id: '1', status: 'running', ref: 'main', user: { id: 2 }, pipeline: { id: 2, project_id: 7, sha: 'a'.repeat(40) } },
    ],
  ])('A1 R13 a job with %s is no clear answer', async (_what, body) => {
    handler = () => [200, body];
    await expect(makeGitlabJobs(client).jobOf(new Secret('glcbt-x'))).rejects.toEqual(failed);
  });

  test('A1 A2 who pushed is told by push events, whatever the commits say of their authors', async () => {
    const [one, two, three] = ['1', '2', '3'].map((digit) => digit.repeat(40));
    handler = (request, path) => {
      const range = new URL(request.url ?? '', 'http://x').searchParams.get('ref_name');
      if (path.endsWith('/repository/commits') && range === `${one}..${three}`)
        return [
          200,
          [
            { id: three, parent_ids: [two], author_name: 'alice', author_email: 'alice@example.com' },
            { id: two, parent_ids: [one], author_name: 'alice', author_email: 'alice@example.com' },
          ],
        ];
      if (path.endsWith('/repository/branches/main')) return [200, { name: 'main', commit: { id: one } }];
      if (path.endsWith('/repository/merge_base')) return [200, { id: one }];
      if (path === '/projects/7') return [200, forgeProject];
      if (path.endsWith('/protected_branches')) return [200, [{ name: 'main' }]];
      if (path.endsWith('/protected_tags')) return [200, []];
      if (path.endsWith('/events'))
        return [
          200,
          [
            {
              id: 1,
              author_id: 3,
              push_data: { action: 'pushed', ref_type: 'branch', ref: 'feature', commit_from: two, commit_to: three },
            },
          ],
        ];
      return [404, {}];
    };
    const history = makeGitlabHistory(client, makeGitlabDirectory(client));
    const commits = await history.unprotectedCommits(project, three as never, 100);
    expect(commits).toEqual({ commits: [three, two], bases: ['refs/heads/main'] });
    // Nobody is known to have pushed the second: not provable.
    expect(await history.pushersOf(project, commits?.commits ?? [])).toEqual(new Map([[three, [bob]]]));
    expect(await history.lastPushers(project, 'refs/heads/feature')).toEqual([bob]);
    expect(await history.lastPushers(project, 'refs/heads/main')).toBeUndefined();
    expect(await history.unprotectedCommits(project, three as never, 1)).toBeNull();
  });

  test('R3 A55 A59 a push of many refs, which names neither refs nor commits, counts for what it may have brought', async () => {
    const [one, two] = ['1', '2'].map((digit) => digit.repeat(40)) as [string, string];
    let number = 0;
    const bulk = (author: number, type = 'branch', action = 'pushed') => ({
      id: (number += 1),
      author_id: author,
      push_data: { action, ref_type: type, ref: null, ref_count: 4, commit_count: 0, commit_from: null, commit_to: null },
    });
    const single = () => ({
      id: (number += 1),
      author_id: alice,
      push_data: { action: 'created', ref_type: 'branch', ref: 'feature', commit_from: null, commit_to: two },
    });
    let events: readonly unknown[] = [];
    handler = (_request, path) => {
      if (path.endsWith('/repository/commits')) return [200, [two, one].map((id) => ({ id, parent_ids: id === two ? [one] : [] }))];
      return path.endsWith('/events') ? [200, events] : [200, []];
    };
    const history = makeGitlabHistory(client, makeGitlabDirectory(client));
    const pushers = async (...given: readonly unknown[]) => {
      events = given;
      await history.unprotectedCommits(project, two as never, 100);
      return (await history.pushersOf(project, [two as never, one as never])).get(one as never);
    };
    expect(await pushers(single())).toEqual([alice]);
    // bob brought it, alice made a branch of it.
    expect(await pushers(single(), bulk(3))).toEqual([bob, alice]);
    expect(await pushers(single(), bulk(3, 'tag', 'created'))).toEqual([bob, alice]);
    expect(await pushers(single(), bulk(3, 'branch', 'removed'))).toEqual([alice]);
    // She was first.
    expect(await pushers(bulk(3), single())).toEqual([alice]);
    expect(await history.lastPushers(project, 'refs/heads/feature')).toEqual([bob, alice]);
    events = [bulk(3, 'tag'), single(), bulk(3)];
    expect(await history.lastPushers(project, 'refs/heads/feature')).toEqual([alice]);
  });

  test('R3 A55 a tag that is called like a protected branch protects nothing, and hides nothing that a pass wrote', async () => {
    const [one, two] = ['1', '2'].map((digit) => digit.repeat(40)) as [string, string];
    handler = (request, path) => {
      const ref = new URL(request.url ?? '', 'http://x').searchParams.get('ref_name');
      const row = (id: string) => ({ id, parent_ids: id === two ? [one] : [] });
      // By the short name git finds the tag.
      if (path.endsWith('/repository/commits'))
        return [200, ref === 'refs/heads/main' ? [row(one)] : ref === `${one}..${two}` ? [row(two)] : []];
      if (path.endsWith('/repository/merge_base')) return [200, { id: one }];
      if (path.endsWith('/repository/branches/main')) return [200, { name: 'main', commit: { id: one } }];
      if (path.endsWith('/protected_branches')) return [200, [{ name: 'main' }]];
      return path.endsWith('/protected_tags') ? [200, []] : [404, {}];
    };
    const history = makeGitlabHistory(client, makeGitlabDirectory(client));
    expect((await history.unprotectedCommits(project, two as never, 100))?.commits).toEqual([two]);
    expect(await history.commitsTouching(project, 'main', 'a.txt')).toEqual([one]);
  });

  describe('in a project that was worked on for years', () => {
    const sha = (count: number): string => count.toString(16).padStart(40, '0');
    const [commits, branches] = [5000, 400];
    /** Of main, which is as long as `commits`, and a branch of three from its head. */
    const history = (topic: string, others: Record<string, readonly [number, unknown]> = {}) => {
      handler = (request, path) => {
        const { searchParams } = new URL(request.url ?? '', 'http://x');
        const page = Number(searchParams.get('page') ?? 1);
        const paged = (rows: readonly unknown[]): Answer => [200, rows.slice((page - 1) * 100, page * 100)];
        const known = Object.entries(others).find(([end]) => path.endsWith(end));
        if (known !== undefined) return known[1];
        if (path === '/projects/7') return [200, forgeProject];
        if (path.endsWith('/protected_branches')) return [200, [{ name: 'main' }, { name: 'gone' }, { name: 'v*' }]];
        if (path.endsWith('/protected_tags')) return [200, []];
        if (path.endsWith('/repository/branches/main')) return [200, { name: 'main', commit: { id: sha(commits) } }];
        if (path.endsWith('/repository/branches'))
          return paged(searchParams.get('search') === '^v' ? [] : Array.from({ length: branches }, (_, at) => ({ name: `a-${at}` })));
        if (path.endsWith('/repository/merge_base')) return [200, { id: sha(Math.min(commits, Number.parseInt(topic, 16))) }];
        if (path.endsWith('/repository/commits')) {
          const [left, right] = (searchParams.get('ref_name') ?? '').split('..');
          const [from, to] = right === undefined ? [0, left] : [Number.parseInt(left ?? '', 16), right];
          const length = Math.max(0, Number.parseInt(to ?? '', 16) - from);
          return paged(Array.from({ length }, (_, at) => ({ id: sha(from + length - at), parent_ids: [sha(from + length - at - 1)] })));
        }
        return [404, {}];
      };
      return makeGitlabHistory(client, makeGitlabDirectory(client));
    };

    test('R3 A55 what is unprotected is told, however long the history and however many the branches', async () => {
      const onMain = sha(4000);
      expect(await history(onMain).unprotectedCommits(project, onMain as never, 100)).toEqual({ commits: [], bases: ['refs/heads/main'] });
      const topic = sha(5003);
      expect(await history(topic).unprotectedCommits(project, topic as never, 100)).toEqual({
        commits: [5003, 5002, 5001].map(sha),
        bases: ['refs/heads/main'],
      });
      expect(asked.length).toBeLessThan(30);
    });

    test('R3 R13 that nothing is missing on a protected branch has to be told: an empty list alone does not', async () => {
      const topic = sha(3);
      const odd = { '/repository/commits': [200, []], '/repository/merge_base': [404, {}] } as const;
      expect(await history(topic, odd).unprotectedCommits(project, topic as never, 100)).toBeNull();
    });

    const push = (number: number, ref: string, author: number, to: string) => ({
      id: number,
      author_id: author,
      push_data: { action: 'pushed', ref_type: 'branch', ref, commit_from: null, commit_to: to },
    });

    test('R3 A55 who pushed is found behind thousands of pushes, which are read once', async () => {
      const topic = sha(5001);
      let events = Array.from({ length: 4500 }, (_, at) => push(5000 - at, 'other', 2, sha(1)));
      events.push(push(1, 'topic', 3, topic));
      const found = history(topic);
      const before = handler;
      handler = (request, path, response) => {
        if (!path.endsWith('/events')) return before(request, path, response);
        const page = Number(new URL(request.url ?? '', 'http://x').searchParams.get('page') ?? 1);
        return [200, events.slice((page - 1) * 100, page * 100)];
      };
      await found.unprotectedCommits(project, topic as never, 100);
      expect(await found.pushersOf(project, [topic as never])).toEqual(new Map([[topic, [bob]]]));
      events = [push(6000, 'topic', 2, topic), ...events];
      asked = [];
      expect(await found.pushersOf(project, [topic as never])).toEqual(new Map([[topic, [bob, alice]]]));
      expect(await found.lastPushers(project, 'refs/heads/topic')).toEqual([alice]);
      expect(asked.filter((one) => one.includes('/events')).length).toBe(2);
    });

    test('R3 R13 more pushes than are read tell nobody, and end no job without any pass', async () => {
      const topic = sha(5001);
      const found = history(topic);
      const before = handler;
      handler = (request, path, response) => {
        if (!path.endsWith('/events')) return before(request, path, response);
        const page = Number(new URL(request.url ?? '', 'http://x').searchParams.get('page') ?? 1);
        return [200, Array.from({ length: 100 }, (_, at) => push(1_000_000 - 100 * page - at, 'other', 2, topic))];
      };
      await found.unprotectedCommits(project, topic as never, 100);
      expect(await found.pushersOf(project, [topic as never])).toEqual(new Map());
      expect(await found.lastPushers(project, 'refs/heads/topic')).toBeUndefined();
      expect(await found.lastPushers(project, 'refs/heads/other')).toEqual([alice]);
    });
  });
});
