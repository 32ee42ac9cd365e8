import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { oneJob } from '../support/server.ts';
import type { StoryPlace } from '../support/behind.ts';

/** The REST API as curl, glab and python-gitlab use it: shapes, statuses, pagination. @param start makes the place @see GitLab REST API */
export function apiSuite(where: string, start: () => Promise<StoryPlace>): void {
  describe(`the REST API, ${where}`, () => {
    let server: StoryPlace;
    let alice: { id: number; token: string };
    let app: number;
    const P = () => `/api/v4/projects/${app}`;
    const get = (path: string, token = alice.token) => server.call('GET', path, { token });
    beforeAll(async () => {
      server = await start();
      alice = await server.user('alice');
      app = await server.project('team/app');
      await server.member(app, alice.id, 40);
      await server.commit(app, 'README.md', '# hello\n', { token: alice.token });
      await server.commit(app, 'src/deep/a.txt', 'one\n', { token: alice.token });
    });
    afterAll(() => server?.stop());

    test("identity: user, users, tokens of one's own", async () => {
      expect((await get('/api/v4/user')).body).toMatchObject({ username: 'alice', is_admin: false, state: 'active' });
      expect((await get('/api/v4/users?username=ALICE')).list).toMatchObject([{ id: alice.id, username: 'alice' }]);
      expect((await get(`/api/v4/users/${alice.id}`)).body).not.toHaveProperty('email');
      expect((await get('/api/v4/personal_access_tokens/self')).body).toMatchObject({
        name: 'test',
        scopes: ['api'],
        revoked: false,
        user_id: alice.id,
      });
      const made = await server.must('POST', '/api/v4/user/personal_access_tokens', { name: 'short', scopes: ['read_api'] }, alice.token);
      expect(made['token']).toMatch(/^glpat-/);
      expect(
        (await server.call('POST', `${P()}/repository/branches?branch=x&ref=main`, { token: String(made['token']) })).body,
      ).toMatchObject({ error: 'insufficient_scope' });
      expect((await server.call('DELETE', `/api/v4/personal_access_tokens/${String(made['id'])}`, { token: alice.token })).status).toBe(
        204,
      );
      expect((await get('/api/v4/user', String(made['token']))).status).toBe(401);
      expect(
        (await server.call('POST', '/api/v4/users', { token: alice.token, body: { username: 'x', name: 'x', email: 'x@example.com' } }))
          .status,
      ).toBe(403);
    });

    test('projects: by number and by path, with permissions, and 404 for what is hidden', async () => {
      const one = (await get('/api/v4/projects/team%2Fapp')).body;
      expect(one).toMatchObject({
        id: app,
        path_with_namespace: 'team/app',
        default_branch: 'main',
        visibility: 'private',
        empty_repo: false,
        permissions: { project_access: { access_level: 40 }, group_access: null },
      });
      expect(one).not.toHaveProperty('runners_token');
      expect(one['http_url_to_repo']).toBe(`${server.url}/team/app.git`);
      const hidden = await server.project('secret/x');
      expect((await get(`/api/v4/projects/${hidden}`)).text).toBe('{"message":"404 Project Not Found"}');
      expect((await server.call('GET', P())).text).toBe('{"message":"404 Project Not Found"}');
      expect((await get('/api/v4/projects')).list.map((row) => row['id'])).toEqual([app]);
      expect((await server.call('GET', '/api/v4/projects')).list).toEqual([]);
    });

    test('pagination: X- headers and Link, at most 100 a page', async () => {
      const reply = await get(`${P()}/repository/commits?per_page=1&page=2`);
      expect(
        Object.fromEntries(
          ['x-page', 'x-per-page', 'x-total', 'x-total-pages', 'x-next-page', 'x-prev-page'].map((name) => [name, reply.headers.get(name)]),
        ),
      ).toEqual({ 'x-page': '2', 'x-per-page': '1', 'x-total': '2', 'x-total-pages': '2', 'x-next-page': '', 'x-prev-page': '1' });
      expect(reply.headers.get('link')).toContain('rel="first"');
      expect((await get('/api/v4/projects?per_page=1000')).headers.get('x-per-page')).toBe('100');
    });

    test('commits of a range: what the second has beside the first', async () => {
      const all = (await get(`${P()}/repository/commits`)).list.map((row) => String(row['id']));
      const of = async (range: string) => (await get(`${P()}/repository/commits?ref_name=${range}`)).list.map((row) => row['id']);
      expect(await of(`${all.at(-1) ?? ''}..main`)).toEqual(all.slice(0, -1));
      expect(await of(`main..${all.at(-1) ?? ''}`)).toEqual([]);
      for (const range of ['none..main', 'main..none', 'main..', '..main'])
        expect([range, (await get(`${P()}/repository/commits?ref_name=${range}`)).status]).toEqual([range, 404]);
    });

    test('repository: tree, files in each form, commits', async () => {
      expect((await get(`${P()}/repository/tree`)).list.map((row) => [row['type'], row['path']])).toEqual([
        ['blob', 'README.md'],
        ['tree', 'src'],
      ]);
      expect((await get(`${P()}/repository/tree?path=src&recursive=true`)).list.map((row) => row['path'])).toEqual([
        'src/deep',
        'src/deep/a.txt',
      ]);
      expect((await get(`${P()}/repository/tree?ref=nope`)).text).toBe('{"message":"404 Tree Not Found"}');
      const file = (await get(`${P()}/repository/files/src%2Fdeep%2Fa.txt?ref=main`)).body;
      expect(file).toMatchObject({
        file_name: 'a.txt',
        file_path: 'src/deep/a.txt',
        size: 4,
        encoding: 'base64',
        content: Buffer.from('one\n').toString('base64'),
        ref: 'main',
      });
      const raw = await get(`${P()}/repository/files/src%2Fdeep%2Fa.txt/raw`);
      expect([raw.text, raw.headers.get('content-type'), raw.headers.get('x-content-type-options')]).toEqual([
        'one\n',
        'application/octet-stream',
        'nosniff',
      ]);
      const head = await server.call('HEAD', `${P()}/repository/files/README.md?ref=main`, { token: alice.token });
      expect([head.status, head.headers.get('x-gitlab-size'), head.text]).toEqual([200, '8', '']);
      expect((await get(`${P()}/repository/files/nope?ref=main`)).text).toBe('{"message":"404 File Not Found"}');
      const [newest] = (await get(`${P()}/repository/commits`)).list;
      expect(newest).toMatchObject({ title: 'write src/deep/a.txt', author_name: 'alice' });
      expect((await get(`${P()}/repository/commits/${String(newest?.['id'])}`)).body['short_id']).toBe(String(newest?.['id']).slice(0, 8));
    });

    test('files: create, update and delete over the API, each a commit', async () => {
      const file = `${P()}/repository/files/docs%2Fnew.md`;
      const write = (method: string, body: object) =>
        server.call(method, file, { token: alice.token, body: { branch: 'main', commit_message: 'docs', ...body } });
      expect((await write('POST', { content: 'bmV3', encoding: 'base64' })).status).toBe(201);
      expect((await write('POST', { content: 'again' })).status).toBe(400);
      expect((await write('PUT', { content: 'changed' })).status).toBe(200);
      expect((await get(`${file}/raw`)).text).toBe('changed');
      expect((await write('DELETE', {})).status).toBe(204);
      expect((await get(`${file}/raw`)).status).toBe(404);
    });

    test('branches and tags', async () => {
      const branch = await server.must('POST', `${P()}/repository/branches`, { branch: 'feature/x', ref: 'main' }, alice.token);
      expect(branch).toMatchObject({ name: 'feature/x', protected: false, default: false });
      expect((await get(`${P()}/repository/branches/main`)).body).toMatchObject({ protected: true, default: true });
      expect((await get(`${P()}/repository/branches?search=feature`)).list).toHaveLength(1);
      expect((await server.call('DELETE', `${P()}/repository/branches/feature%2Fx`, { token: alice.token })).status).toBe(204);
      expect((await server.call('DELETE', `${P()}/repository/branches/main`, { token: alice.token })).status).toBe(403);
      expect(
        await server.must('POST', `${P()}/repository/tags`, { tag_name: 'v0.1', ref: 'main', message: 'first' }, alice.token),
      ).toMatchObject({ name: 'v0.1', message: 'first', protected: false });
      expect((await get(`${P()}/repository/tags/v0.1`)).body).toMatchObject({ name: 'v0.1' });
      expect((await get(`${P()}/repository/tags`)).list).toHaveLength(1);
      expect((await server.call('POST', `${P()}/repository/tags`, { token: alice.token, body: { ref: 'main' } })).text).toBe(
        '{"error":"tag_name is missing"}',
      );
      expect((await server.call('DELETE', `${P()}/repository/tags/v0.1`, { token: alice.token })).status).toBe(204);
    });

    test('releases: a missing tag is made from ref, links, change, delete keeps the tag', async () => {
      const body = {
        tag_name: 'v1.0',
        ref: 'main',
        name: 'One',
        description: 'text',
        assets: { links: [{ name: 'site', url: 'https://example.com/a', direct_asset_path: '/bin/a', link_type: 'package' }] },
      };
      const made = await server.must('POST', `${P()}/releases`, body, alice.token);
      expect(made).toMatchObject({
        tag_name: 'v1.0',
        name: 'One',
        upcoming_release: false,
        author: { username: 'alice' },
        assets: { count: 1, links: [{ name: 'site', link_type: 'package' }] },
      });
      expect((await server.call('POST', `${P()}/releases`, { token: alice.token, body })).status).toBe(409);
      expect((await server.call('POST', `${P()}/releases`, { token: alice.token, body: { tag_name: 'none' } })).status).toBe(422);
      const down = await get(`${P()}/releases/v1.0/downloads/bin/a`);
      expect([down.status, down.headers.get('location')]).toEqual([302, 'https://example.com/a']);
      expect((await get(`${P()}/releases/permalink/latest`)).headers.get('location')).toContain('/releases/v1.0');
      const link = await server.must(
        'POST',
        `${P()}/releases/v1.0/assets/links`,
        { name: 'two', url: 'https://example.com/b' },
        alice.token,
      );
      expect((await get(`${P()}/releases/v1.0/assets/links`)).list).toHaveLength(2);
      expect(
        await server.must('PUT', `${P()}/releases/v1.0/assets/links/${String(link['id'])}`, { name: 'three' }, alice.token),
      ).toMatchObject({ name: 'three', url: 'https://example.com/b' });
      await server.must('DELETE', `${P()}/releases/v1.0/assets/links/${String(link['id'])}`, undefined, alice.token);
      expect(await server.must('PUT', `${P()}/releases/v1.0`, { description: 'better' }, alice.token)).toMatchObject({
        description: 'better',
      });
      expect((await get(`${P()}/releases`)).list).toHaveLength(1);
      expect((await server.call('DELETE', `${P()}/releases/v1.0`, { token: alice.token })).status).toBe(200);
      expect((await get(`${P()}/releases/v1.0`)).status).toBe(404);
      expect((await get(`${P()}/repository/tags/v1.0`)).status).toBe(200);
    });

    test('A12 a release link into this forge needs the right to see where it leads', async () => {
      const hidden = await server.project('secret/assets');
      await server.must('POST', `${P()}/releases`, { tag_name: 'v2.0', ref: 'main' }, alice.token);
      const add = (url: string) =>
        server.call('POST', `${P()}/releases/v2.0/assets/links`, { token: alice.token, body: { name: url.slice(-20), url } });
      expect((await add(`${server.url}/secret/assets/-/jobs/1/artifacts`)).status).toBe(404);
      expect((await add(`${server.url}/team/app/-/jobs/1/artifacts`)).status).toBe(201);
      await server.member(hidden, alice.id, 20);
      expect((await add(`${server.url}/secret/assets/-/jobs/1/artifacts`)).status).toBe(201);
      expect((await add('https://user:password@example.com/x')).status).toBe(400);
      expect((await add('javascript:alert(1)')).status).toBe(400);
    });

    test('members and protections: nobody gives more than their own role', async () => {
      const bob = await server.user('bob');
      const add = (level: number) =>
        server.call('POST', `${P()}/members`, { token: alice.token, body: { user_id: bob.id, access_level: level } });
      expect((await add(50)).status).toBe(403);
      expect((await add(17)).text).toBe('{"error":"access_level does not have a valid value"}');
      expect((await add(30)).body).toMatchObject({ username: 'bob', access_level: 30 });
      expect((await add(30)).status).toBe(409);
      expect((await get(`${P()}/members`)).list.map((row) => row['username'])).toEqual(expect.arrayContaining(['alice', 'bob']));
      expect((await server.call('PUT', `${P()}/members/${bob.id}`, { token: alice.token, body: { access_level: 20 } })).body).toMatchObject(
        {
          access_level: 20,
        },
      );
      expect((await server.call('POST', `${P()}/members`, { token: bob.token, body: { user_id: bob.id, access_level: 30 } })).status).toBe(
        403,
      );
      expect((await server.call('DELETE', `${P()}/members/${bob.id}`, { token: alice.token })).status).toBe(204);
      expect((await get(`${P()}/protected_branches`)).list).toMatchObject([{ name: 'main', push_access_levels: [{ access_level: 40 }] }]);
      expect(
        (await server.call('POST', `${P()}/protected_tags`, { token: alice.token, body: { name: 'v*', create_access_level: 40 } })).status,
      ).toBe(201);
      expect((await server.call('DELETE', `${P()}/protected_tags/v*`, { token: alice.token })).status).toBe(204);
    });

    test('groups: subgroups inherit their members, and are no more visible than their parent', async () => {
      const top = await server.must('POST', '/api/v4/groups', { name: 'Top', path: 'top', visibility: 'private' }, alice.token);
      const sub = await server.must('POST', '/api/v4/groups', { name: 'Sub', path: 'sub', parent_id: top['id'] }, alice.token);
      expect(sub).toMatchObject({ full_path: 'top/sub', parent_id: top['id'] });
      expect(
        (
          await server.call('POST', '/api/v4/groups', {
            token: alice.token,
            body: { name: 'x', path: 'x', parent_id: top['id'], visibility: 'public' },
          })
        ).status,
      ).toBe(400);
      const inner = await server.must('POST', '/api/v4/projects', { name: 'inner', namespace_id: sub['id'] }, alice.token);
      expect((await get(`/api/v4/projects/${String(inner['id'])}`)).body['permissions']).toMatchObject({
        group_access: { access_level: 50 },
      });
      expect((await get(`/api/v4/groups/${String(sub['id'])}/members/all`)).list).toMatchObject([{ username: 'alice', access_level: 50 }]);
      expect((await get('/api/v4/groups/top%2Fsub/projects')).list).toHaveLength(1);
      expect((await server.call('DELETE', `/api/v4/groups/${String(top['id'])}/members/${alice.id}`, { token: alice.token })).status).toBe(
        403,
      );
    });

    test('pipelines and jobs: create, list, trace, cancel, retry, play', async () => {
      await server.commit(app, '.gitlab-ci.yml', `${oneJob}later:\n  when: manual\n  script: ["true"]\n`, { token: alice.token });
      const latest = (await get(`${P()}/pipelines/latest`)).body;
      expect(latest).toMatchObject({ status: 'pending', source: 'push', ref: 'main', user: { username: 'alice' }, yaml_errors: null });
      const jobs = (await get(`${P()}/pipelines/${String(latest['id'])}/jobs`)).list;
      expect(jobs.map((job) => [job['name'], job['status']])).toEqual([
        ['job', 'pending'],
        ['later', 'manual'],
      ]);
      const status = { state: 'success', context: 'ci/other', target_url: 'https://ci.example.com/1', ref: 'main' };
      const said = await server.must('POST', `${P()}/statuses/${String(latest['sha'])}`, status, alice.token);
      expect(said).toMatchObject({ name: 'ci/other', status: 'success', pipeline_id: latest['id'], author: { username: 'alice' } });
      const statuses = await get(`${P()}/repository/commits/${String(latest['sha'])}/statuses`);
      expect([statuses.list.map((one) => one['name']), statuses.headers.get('x-total')]).toEqual([['job', 'later', 'ci/other'], '3']);
      expect((await get(`${P()}/repository/commits/main`)).body).toMatchObject({ status: 'pending', last_pipeline: { id: latest['id'] } });
      const runner = await server.runner();
      const claimed = await server.claim(runner.token);
      if (claimed === undefined) throw new Error('no job');
      await server.call('PATCH', `/api/v4/jobs/${claimed.id}/trace`, {
        headers: { 'job-token': claimed.token, 'content-range': '0-4' },
        raw: 'hello',
      });
      expect((await get(`${P()}/jobs/${claimed.id}/trace`)).text).toBe('hello');
      const stale = await server.call('PATCH', `/api/v4/jobs/${claimed.id}/trace`, {
        headers: { 'job-token': claimed.token, 'content-range': '0-4' },
        raw: 'hello',
      });
      expect([stale.status, stale.headers.get('range')]).toEqual([416, '0-5']);
      await server.finish(claimed, 'failed');
      expect((await get(`${P()}/jobs/${claimed.id}`)).body).toMatchObject({ status: 'failed', user: { username: 'alice' } });
      expect((await get(`${P()}/pipelines/${String(latest['id'])}`)).body['status']).toBe('failed');
      const again = await server.must('POST', `${P()}/jobs/${claimed.id}/retry`, {}, alice.token);
      expect(again).toMatchObject({ name: 'job', status: 'pending' });
      const played = await server.must('POST', `${P()}/jobs/${String(jobs[1]?.['id'])}/play`, {}, alice.token);
      expect(played['status']).toBe('pending');
      expect((await server.must('POST', `${P()}/pipelines/${String(latest['id'])}/cancel`, {}, alice.token))['status']).toBe('canceled');
      expect((await get(`${P()}/jobs?scope[]=canceled`)).list).toHaveLength(2);
      expect((await server.call('POST', `${P()}/pipeline`, { token: alice.token, body: { ref: 'nope' } })).status).toBe(400);
      expect(
        await server.must('POST', `${P()}/pipeline`, { ref: 'main', variables: [{ key: 'A', value: 'b' }] }, alice.token),
      ).toMatchObject({ source: 'api', status: 'pending' });
    });

    test('A3 no request names another user as the one who acts', async () => {
      const forged = { user_id: 1, author_id: 1, actor_id: 1, current_user: 'root', sudo: 'root', created_by: 1, user: { id: 1 } };
      expect(await server.must('POST', `${P()}/pipeline`, { ref: 'main', ...forged }, alice.token)).toMatchObject({
        user: { username: 'alice' },
      });
      expect(await server.must('POST', `${P()}/releases`, { tag_name: 'v3.0', ref: 'main', ...forged }, alice.token)).toMatchObject({
        author: { username: 'alice' },
      });
      expect((await server.call('GET', '/api/v4/user', { token: server.root, headers: { sudo: 'alice' } })).status).toBe(400);
      expect((await get('/api/v4/user?sudo=root')).status).toBe(400);
    });

    test('an archived project can be read and not written', async () => {
      await server.must('POST', `${P()}/archive`);
      expect((await get(P())).body['archived']).toBe(true);
      expect((await server.call('POST', `${P()}/repository/branches?branch=y&ref=main`, { token: alice.token })).status).toBe(403);
      await server.must('POST', `${P()}/unarchive`);
    });

    test('a long poll holds a runner until there is something, and answers within a moment then', async () => {
      const runner = await server.runner({ tags: ['slow'] });
      const first = await server.call('POST', '/api/v4/jobs/request', { body: { token: runner.token, info: {} } });
      expect(first.status).toBe(204);
      const last_update = first.headers.get('x-gitlab-last-update');
      const held = server.call('POST', '/api/v4/jobs/request', { body: { token: runner.token, last_update, info: {} } });
      const other = await server.project('team/slow');
      await server.member(other, alice.id, 40);
      await server.commit(other, '.gitlab-ci.yml', 'stages: [test]\njob:\n  tags: [slow]\n  script: ["true"]\n', { token: alice.token });
      let reply = await held;
      // Any change of the queue ends the poll; the job is there at the latest with the next.
      for (let tries = 0; reply.status === 204 && tries < 5; tries += 1)
        reply = await server.call('POST', '/api/v4/jobs/request', { body: { token: runner.token, info: {} } });
      expect(reply.status).toBe(201);
    });
  });
}
