import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { passFor } from '../../support/pass.ts';
import { type Claimed, oneJob, startTestServer, type TestServer } from '../../support/server.ts';

/** What glab, semantic-release, danger, renovate and python-gitlab stop at where it is not answered as they know it. */
describe('clients of GitLab go on to the end', () => {
  let server: TestServer;
  let [alice, bob] = [
    { id: 0, token: '' },
    { id: 0, token: '' },
  ];
  let app = 0;
  let job: Claimed;
  let request = '';
  const P = () => `/api/v4/projects/${app}`;
  const call = (method: string, path: string, token = alice.token, body?: unknown) =>
    server.call(method, path, { token, ...(body === undefined ? {} : { body }) });

  beforeAll(async () => {
    server = await startTestServer();
    [alice, bob] = [await server.user('alice'), await server.user('bob')];
    app = await server.project('team/app');
    await server.member(app, alice.id, 40);
    await server.member(app, bob.id, 30);
    await server.commit(app, '.gitlab-ci.yml', oneJob, { token: alice.token });
    const claimed = await server.claim((await server.runner()).token);
    if (claimed === undefined) throw new Error('no job');
    job = claimed;
    await server.must('POST', `${P()}/repository/branches`, { branch: 'work', ref: 'main' }, bob.token);
    await server.commit(app, 'work.txt', 'of the branch\n', { token: bob.token, branch: 'work' });
    const made = { source_branch: 'work', target_branch: 'main', title: 'work', labels: 'a,b' };
    request = `${P()}/merge_requests/${String((await server.must('POST', `${P()}/merge_requests`, made, bob.token))['iid'])}`;
  });
  afterAll(() => server?.stop());

  test('R1 R3 a merge request says whether who asks could merge it: every principal, also where the branch is protected', async () => {
    const can = async (token: string) => (await call('GET', request, token)).body['user'];
    expect(await can(alice.token)).toEqual({ can_merge: true });
    expect(await can(server.root)).toEqual({ can_merge: true });
    expect(await can(bob.token)).toEqual({ can_merge: false });
    expect(await can(await passFor(server, job, [alice.id]))).toEqual({ can_merge: true });
    expect(await can(await passFor(server, job, [alice.id, bob.id]))).toEqual({ can_merge: false });
  });

  test('what a merge request brings is one version, with its commits and differences', async () => {
    const { list } = await call('GET', `${request}/versions`);
    const { body: one } = await call('GET', request);
    const refs = one['diff_refs'] as Record<string, string>;
    expect(list).toEqual([
      expect.objectContaining({
        head_commit_sha: refs['head_sha'],
        base_commit_sha: refs['base_sha'],
        start_commit_sha: refs['start_sha'],
      }),
    ]);
    const version = `${request}/versions/${String(list[0]?.['id'])}`;
    expect((await call('GET', version)).body).toMatchObject({
      commits: [{ title: 'write work.txt' }],
      diffs: [{ new_path: 'work.txt', new_file: true }],
    });
    expect((await call('GET', `${version}0`)).status).toBe(404);
  });

  test('R1 A62 a note is changed and removed by the one who wrote it, and by nobody else; discussions are the notes, each by itself', async () => {
    const note = `${request}/notes/${String((await server.must('POST', `${request}/notes`, { body: 'first' }, bob.token))['id'])}`;
    expect((await call('PUT', note, bob.token, { body: 'second' })).body).toMatchObject({ body: 'second', author: { username: 'bob' } });
    expect((await call('GET', note)).body).toMatchObject({ body: 'second' });
    expect((await call('GET', `${request}/discussions`)).list).toMatchObject([{ individual_note: true, notes: [{ body: 'second' }] }]);
    expect((await call('PUT', note, alice.token, { body: 'third' })).status).toBe(403);
    expect((await call('DELETE', note)).status).toBe(403);
    expect((await call('PUT', note, bob.token, { body: ' ' })).status).toBe(400);
    expect((await call('PUT', note, await passFor(server, job, [bob.id]), { body: '/merge' })).status).toBe(403);
    expect((await call('GET', note)).body).toMatchObject({ body: 'second' });
    expect((await call('DELETE', note, bob.token)).status).toBe(204);
    expect((await call('GET', note)).status).toBe(404);
    expect((await call('PUT', note, bob.token, { body: 'x' })).status).toBe(404);
  });

  test('where there are no approvals and no issues, that is the answer, and not that the question is unknown', async () => {
    expect((await call('GET', `${request}/approvals`)).body).toMatchObject({ approved: false, approved_by: [] });
    const { status, list } = await call('GET', `${P()}/issues?state=opened`);
    expect([status, list]).toEqual([200, []]);
    const hidden = await server.project('secret/x');
    expect((await call('GET', `/api/v4/projects/${hidden}/issues`)).status).toBe(404);
  });

  test('labels are added and taken away beside those that stay', async () => {
    const labels = async (change: object) => (await call('PUT', request, alice.token, change)).body['labels'];
    expect(await labels({ add_labels: 'c,a', remove_labels: 'b' })).toEqual(['a', 'c']);
    expect(await labels({ remove_labels: 'a' })).toEqual(['c']);
  });

  test('R13 merge requests are listed by what was asked for, or not at all', async () => {
    await call('PUT', request, alice.token, { labels: 'To do,x%', assignee_ids: [bob.id], description: 'Fixes the Tool' });
    const found = async (query: string) => {
      const { status, list } = await call('GET', `${P()}/merge_requests?${query}`);
      return status === 200 ? list.length : status;
    };
    const by = { labels: ['To do', 'To do,x%', 'do', 'To do,other', 'x_', '%'], search: ['tool', 'WORK', 'nowhere', '%'] };
    expect(await Promise.all(by.labels.map((text) => found(`labels=${encodeURIComponent(text)}`)))).toEqual([1, 1, 0, 0, 0, 0]);
    expect(await Promise.all(by.search.map((text) => found(`search=${encodeURIComponent(text)}`)))).toEqual([1, 1, 0, 0]);
    for (const [query, right] of [
      [`author_username=bob&assignee_username=bob`, 1],
      [`author_username=alice`, 0],
      [`author_username=nobody`, 0],
      [`assignee_id=${bob.id}`, 1],
      [`assignee_id=${alice.id}`, 0],
      ['scope=created_by_me', 0],
      ['scope=assigned_to_me', 0],
      ['scope=all&order_by=updated_at&sort=desc', 1],
      ['milestone=one', 400],
      ['reviewer_username=bob', 400],
      ['not[labels]=x', 400],
      ['draft=true', 400],
    ] as const)
      expect([query, await found(query)]).toEqual([query, right]);
  });

  test('an empty default branch is none, and a README stands in a project that is to have one', async () => {
    const fields = { name: 'fresh', description: 'of alice', default_branch: '', initialize_with_readme: true };
    const { body, status } = await call('POST', '/api/v4/projects', alice.token, fields);
    expect([status, body['default_branch']]).toEqual([201, 'main']);
    const root = `/api/v4/projects/${String(body['id'])}`;
    expect((await call('GET', `${root}/repository/files/README.md/raw`)).text).toBe('# fresh\n\nof alice\n');
    expect((await call('GET', `${root}/repository/commits`)).list).toMatchObject([{ title: 'Initial commit', author_name: 'alice' }]);
  });

  test('an empty ref is linted as the default branch', async () => {
    const { body } = await call('POST', `${P()}/ci/lint`, alice.token, { content: oneJob, ref: '' });
    expect(body).toMatchObject({ valid: true, errors: [] });
  });

  test('one protection is asked for by its name', async () => {
    await server.must('POST', `${P()}/protected_tags`, { name: 'v*' }, alice.token);
    expect((await call('GET', `${P()}/protected_branches/main`)).body).toMatchObject({ name: 'main', allow_force_push: false });
    expect((await call('GET', `${P()}/protected_tags/v%2A`)).body).toMatchObject({ name: 'v*' });
    expect((await call('GET', `${P()}/protected_branches/other`)).status).toBe(404);
  });

  test('branches are searched by their beginning and their end', async () => {
    const names = async (search: string) =>
      (await call('GET', `${P()}/repository/branches?search=${encodeURIComponent(search)}`)).list.map((one) => one['name']);
    expect(await Promise.all(['^wo', 'rk$', '^work$', '^ork', 'wor$', 'OR'].map(names))).toEqual([
      ['work'],
      ['work'],
      ['work'],
      [],
      [],
      ['work'],
    ]);
  });

  test("the address of a release's asset leads there", async () => {
    const link = { name: 'tool', url: 'https://example.com/tool', direct_asset_path: '/bin/tool' };
    await server.must('POST', `${P()}/releases`, { tag_name: 'r1', ref: 'main', assets: { links: [link] } }, alice.token);
    const [made] = (await call('GET', `${P()}/releases/r1/assets/links`)).list;
    const { pathname } = new URL(String(made?.['direct_asset_url']));
    const { status, headers } = await server.call('GET', pathname, { token: alice.token });
    expect([status, headers.get('location')]).toEqual([302, 'https://example.com/tool']);
  });
});
