import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { passFor } from '../../support/pass.ts';
import { type Claimed, oneJob, startTestServer, type TestServer } from '../../support/server.ts';
import { archiveForm, zipOf } from '../../support/zip.ts';

describe('what clients of GitLab ask beside the rest', () => {
  let server: TestServer;
  let [alice, bob] = [
    { id: 0, token: '' },
    { id: 0, token: '' },
  ];
  let [app, copy] = [0, 0];
  let job: Claimed;
  beforeAll(async () => {
    server = await startTestServer();
    [alice, bob] = [await server.user('alice'), await server.user('bob')];
    app = await server.project('team/app');
    await server.member(app, alice.id, 40);
    await server.commit(app, '.gitlab-ci.yml', oneJob, { token: alice.token });
    const claimed = await server.claim((await server.runner()).token);
    if (claimed === undefined) throw new Error('no job');
    job = claimed;
    copy = Number((await server.must('POST', `/api/v4/projects/${app}/fork`, {}, alice.token))['id']);
    await server.member(copy, bob.id, 40);
    await server.commit(copy, 'copy.txt', 'of the copy\n', { token: bob.token });
    await server.commit(app, 'app.txt', 'of the app\n', { token: alice.token });
  });
  afterAll(() => server.stop());

  const get = (path: string, token = alice.token) => server.call('GET', `/api/v4/projects/${path}`, { token });

  test('R3 A12 two projects are compared for who may read both', async () => {
    const between = `${copy}/repository/compare?from=main&to=main&from_project_id=${app}`;
    const { status, body } = await get(between);
    expect([status, body]).toEqual([200, expect.objectContaining({ commits: [expect.objectContaining({ title: 'write copy.txt' })] })]);
    expect(body['diffs']).toEqual([expect.objectContaining({ new_path: 'copy.txt', new_file: true })]);
    const straight = (await get(`${between}&straight=true`)).body['diffs'] as { new_path: string }[];
    expect(straight.map((one) => one.new_path)).toEqual(['app.txt', 'copy.txt']);
    const [mine, both] = [await passFor(server, job, [alice.id]), await passFor(server, job, [alice.id, bob.id])];
    expect((await get(between, mine)).status).toBe(200);
    for (const token of [bob.token, both]) expect((await get(between, token)).text).toBe('{"message":"404 Project Not Found"}');
    expect((await get(between.replace(String(app), '999999'), bob.token)).text).toBe('{"message":"404 Project Not Found"}');
    expect((await get(between.replace(`id=${app}`, 'id=x'))).text).toBe('{"error":"from_project_id is invalid"}');
    // What the comparison saw of the other project is not there for who may see this one only.
    const other = String((await get(`${app}/repository/commits/main`)).body['id']);
    expect((await get(`${copy}/repository/compare?from=${other}&to=main`, bob.token)).status).toBe(404);
    expect((await get(`${copy}/repository/commits/${other}/diff`, bob.token)).status).toBe(404);
  });

  test('a commit tells what it changed, also the first one, page by page', async () => {
    expect((await get(`${app}/repository/commits/main/diff`)).list).toMatchObject([
      { new_path: 'app.txt', diff: '@@ -0,0 +1 @@\n+of the app\n' },
    ]);
    const first = (await get(`${app}/repository/commits`)).list.at(-1);
    const reply = await get(`${app}/repository/commits/${String(first?.['id'])}/diff?per_page=1`);
    expect([reply.list[0]?.['new_path'], reply.headers.get('x-total')]).toEqual(['.gitlab-ci.yml', '1']);
    expect((await get(`${app}/repository/commits/nope/diff`)).text).toBe('{"message":"404 Commit Not Found"}');
  });

  test('the best common ancestor of several refs', async () => {
    const first = (await get(`${app}/repository/commits`)).list.at(-1);
    const refs = `refs[]=main&refs[]=${String(first?.['id'])}`;
    expect((await get(`${app}/repository/merge_base?${refs}`)).body['id']).toBe(first?.['id']);
    expect((await get(`${app}/repository/merge_base?refs[]=main`)).status).toBe(400);
    expect((await get(`${app}/repository/merge_base?refs[]=main&refs[]=nope`)).text).toBe('{"message":"404 Ref Not Found"}');
  });

  test('A16 the newest archive of a job by its name, and a file of one; a merge request closes no issues here', async () => {
    const archive = zipOf({ 'out/a page.html': '<script>1</script>', 'out/empty': '' });
    const form = archiveForm(archive);
    const headers = { 'job-token': job.token, 'content-type': 'multipart/form-data; boundary=b' };
    await server.call('POST', `/api/v4/jobs/${job.id}/artifacts`, { headers, raw: form });
    expect((await get(`${app}/jobs/artifacts/main/download?job=job`)).status).toBe(404);
    await server.finish(job);
    const found = await get(`${app}/jobs/artifacts/main/download?job=job`);
    expect([found.status, found.headers.get('content-length')]).toEqual([200, String(archive.length)]);
    for (const at of ['artifacts/main/raw', `${job.id}/artifacts`]) {
      const file = await get(`${app}/jobs/${at}/out/a%20page.html?job=job`);
      expect([file.status, file.text]).toEqual([200, '<script>1</script>']);
      // A16: nobody's browser runs it here.
      expect(Object.fromEntries(file.headers)).toMatchObject({
        'content-type': 'application/octet-stream',
        'content-disposition': 'attachment; filename="a_page.html"',
        'content-security-policy': "default-src 'none'; sandbox",
        'x-content-type-options': 'nosniff',
      });
      expect((await get(`${app}/jobs/${at}/out/empty?job=job`)).text).toBe('');
      for (const none of ['out', 'report.html', 'out/a%20page.html%2Fx']) {
        const gone = await get(`${app}/jobs/${at}/${none}?job=job`);
        expect([none, gone.status, gone.text]).toEqual([none, 404, '{"message":"404 Not Found"}']);
      }
    }
    expect((await get(`${app}/jobs/artifacts/main/raw/out/empty`)).text).toBe('{"error":"job is missing"}');
    expect((await get(`${app}/jobs/artifacts/main/download`)).text).toBe('{"error":"job is missing"}');
    expect((await get(`${app}/jobs/artifacts/other/download?job=job`)).status).toBe(404);
    expect((await get(`${app}/merge_requests/7/closes_issues`)).status).toBe(404);
  });
});
