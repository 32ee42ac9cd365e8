import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { oneJob, startTestServer, type TestServer } from '../../support/server.ts';

describe('what narrows a list', () => {
  let server: TestServer;
  let root: string;
  let alice: Awaited<ReturnType<TestServer['user']>>;
  beforeAll(async () => {
    server = await startTestServer();
    alice = await server.user('alice');
    const id = await server.project('team/app');
    root = `/api/v4/projects/${id}`;
    await server.member(id, alice.id, 40);
    await server.commit(id, '.gitlab-ci.yml', oneJob, { token: alice.token });
    for (const branch of ['one', 'two']) {
      await server.must('POST', `${root}/repository/branches?branch=${branch}&ref=main`, undefined, alice.token);
      await server.commit(id, branch, branch, { token: alice.token, branch });
      const request = { source_branch: branch, target_branch: 'main', title: branch };
      await server.must('POST', `${root}/merge_requests`, request, alice.token);
    }
  });
  afterAll(() => server.stop());

  const ask = (path: string) => server.call('GET', `${root}/${path}`, { token: alice.token });
  const ids = async (path: string) => (await ask(path)).list.map((each) => Number(each['id']));

  test('R13 what no list here is narrowed by is refused, so that nobody takes all for some', async () => {
    for (const [path, name] of [
      ['repository/commits?since=2030-01-01', 'since'],
      ['repository/commits?author=bob', 'author'],
      ['repository/branches?regex=^v', 'regex'],
      ['pipelines?yaml_errors=true', 'yaml_errors'],
      ['pipelines?scope=finished', 'scope'],
      ['members?query=bob', 'query'],
      ['events?before=2001-01-01', 'before'],
      ['pipelines?yaml_errors=false', 'yaml_errors'],
      ['merge_requests?draft=false', 'draft'],
      ['members?state=all', 'state'],
    ] as const) {
      const { status, body } = await ask(path);
      expect([path, status, body]).toEqual([path, 400, { error: `${name} is not supported here: this list is not narrowed by it` }]);
    }
  });

  test('of an empty list nothing is left out, a flag that is off asks for nothing, and what only orders or shows more goes by', async () => {
    for (const path of [
      'deployments?status=success',
      'repository/commits?first_parent=false&with_stats=true',
      'repository/branches?regex=&per_page=1',
      'repository/tags?order_by=version&sort=asc',
      'members?show_seat_info=true&foo=bar',
    ])
      expect([path, (await ask(path)).status]).toEqual([path, 200]);
  });

  test('projects where somebody is a member, and a maintainer at that', async () => {
    const count = async (query: string) => (await server.call('GET', `/api/v4/projects?${query}`, { token: alice.token })).list.length;
    const queries = [
      'membership=true',
      'membership=true&min_access_level=40',
      'membership=true&min_access_level=50',
      'owned=true&min_access_level=10',
    ];
    expect(await Promise.all(queries.map(count))).toEqual([1, 1, 0, 0]);
    const ofGroup = async (archived: boolean) =>
      (await server.call('GET', `/api/v4/groups/team/projects?archived=${archived}`, { token: server.root })).list.length;
    expect([await ofGroup(false), await ofGroup(true)]).toEqual([1, 0]);
  });

  test.each(['pipelines', 'merge_requests'])('%s by time, and the other way round', async (what) => {
    const all = await ids(what);
    expect(all.length).toBeGreaterThan(1);
    expect(await ids(`${what}?sort=asc`)).toEqual(all.toReversed());
    for (const name of ['created', 'updated']) {
      expect(await ids(`${what}?${name}_before=2000-01-01`)).toEqual([]);
      expect(await ids(`${what}?${name}_after=2000-01-01T00:00:00Z`)).toEqual(all);
      expect(await ids(`${what}?${name}_after=2999-01-01`)).toEqual([]);
    }
    expect((await ask(`${what}?updated_before=yesterday`)).status).toBe(400);
    expect((await ask(`${what}?order_by=priority`)).status).toBe(400);
  });

  test('pipelines by who started them, and in the order of their refs', async () => {
    const all = await ids('pipelines');
    expect(await ids('pipelines?username=alice')).toEqual(all);
    expect([await ids('pipelines?username=root'), await ids('pipelines?username=nobody')]).toEqual([[], []]);
    const refs = (await ask('pipelines?order_by=ref&sort=asc')).list.map((each) => String(each['ref']));
    expect(refs).toEqual(refs.toSorted());
  });
});
