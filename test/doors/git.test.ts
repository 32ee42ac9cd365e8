import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';

const run = promisify(execFile);
const helper = '!f() { test "$1" = get && printf "username=anyone\\npassword=%s\\n" "$TEST_TOKEN"; }; f';

describe('git over HTTP', () => {
  let server: TestServer;
  let folder: string;
  let alice: { id: number; token: string };
  let app: number;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'jobpass-git-door-'));
    server = await startTestServer();
    alice = await server.user('alice');
    app = await server.project('team/app');
    await server.commit(app, 'README.md', 'hello');
    await server.member(app, alice.id, 30);
    await server.project('team/hidden');
    const open = await server.must('POST', '/api/v4/groups', { name: 'open', path: 'open', visibility: 'public' });
    const pub = await server.must('POST', '/api/v4/projects', { name: 'pub', namespace_id: open['id'], visibility: 'public' });
    await server.commit(Number(pub['id']), 'README.md', 'hello');
  });
  afterAll(async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function git(token: string, ...args: string[]): Promise<{ code: number; words: string }> {
    const env = {
      PATH: process.env['PATH'] ?? '',
      HOME: folder,
      LC_ALL: 'C',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_TERMINAL_PROMPT: '0',
      TEST_TOKEN: token,
    };
    return run(
      'git',
      [
        '-c',
        'credential.helper=',
        '-c',
        `credential.helper=${helper}`,
        '-c',
        'user.name=alice',
        '-c',
        'user.email=alice@example.com',
        ...args,
      ],
      { env, cwd: folder },
    ).then(
      ({ stdout, stderr }) => ({ code: 0, words: stdout + stderr }),
      (error: { code: number; stdout: string; stderr: string }) => ({ code: error.code, words: error.stdout + error.stderr }),
    );
  }
  const refs = (path: string, service = 'git-upload-pack', token?: string) =>
    server.call(
      'GET',
      `/${path}.git/info/refs?service=${service}`,
      token === undefined ? {} : { headers: { authorization: `Basic ${Buffer.from(`x:${token}`).toString('base64')}` } },
    );

  test('A65 who holds as many fetches open as one may have waits for them, and takes nothing from anybody else', async () => {
    const { hostname, port } = new URL(server.url);
    const head = ['POST /open/pub.git/git-upload-pack HTTP/1.1', 'Host: h', 'Content-Type: application/x-git-upload-pack-request'];
    const beyond = Promise.withResolvers<void>();
    let answered = 0;
    const hear = (): void => {
      answered += 1;
      if (answered === 80 - 64) beyond.resolve();
    };
    const held = Array.from({ length: 80 }, () => connect(Number(port), hostname).once('data', hear));
    for (const socket of held) socket.write([...head, 'Content-Length: 100000', '', ''].join('\r\n'));
    // Those beyond the bound are answered at once; by then the others are at work. A question before that could have one of their places.
    await beyond.promise;
    const refused = await refs('open/pub');
    expect([refused.status, refused.headers.get('retry-after'), refused.text]).toEqual([
      429,
      '5',
      expect.stringMatching(/At most 64 .* without a token/),
    ]);
    expect((await git('', 'ls-remote', `${server.url}/open/pub.git`)).words).toMatch(/429/);
    expect((await refs('open/pub', 'git-upload-pack', alice.token)).status).toBe(200);
    for (const socket of held) socket.destroy();
    await expect.poll(async () => (await refs('open/pub')).status, { timeout: 20_000 }).toBe(200);
  });

  test('R11 statuses are those that git clients go by: 401 before a credential, 404 for what is hidden, 403 for what is not allowed', async () => {
    expect((await refs('open/pub')).status).toBe(200);
    const anonymous = await refs('team/app');
    expect([anonymous.status, anonymous.headers.get('www-authenticate'), anonymous.headers.get('content-type')]).toEqual([
      401,
      'Basic realm="GitLab"',
      'text/plain; charset=utf-8',
    ]);
    expect((await refs('team/nowhere')).status).toBe(401);
    expect((await refs('open/pub', 'git-receive-pack')).status).toBe(401);
    expect((await refs('team/app', 'git-upload-pack', 'glpat-wrong')).status).toBe(401);
    expect((await refs('team/hidden', 'git-upload-pack', alice.token)).status).toBe(404);
    expect((await refs('team/nowhere', 'git-upload-pack', alice.token)).status).toBe(404);
    expect((await refs('open/pub', 'git-receive-pack', alice.token)).status).toBe(403);
    expect((await refs('team/app', 'git-other', alice.token)).status).toBe(403);
    expect((await server.call('HEAD', '/team/app.git/info/refs?service=git-upload-pack')).status).toBe(401);
    expect((await server.call('GET', '/team/app.git/HEAD', { token: alice.token })).status).toBe(403);
    expect(
      (
        await server.call('POST', '/team/app.git/git-upload-pack', {
          token: alice.token,
          raw: '0000',
          headers: { 'content-type': 'text/plain' },
        })
      ).status,
    ).toBe(400);
  });

  test('clone, shallow clone and push with any user name and a token', async () => {
    expect(await git(alice.token, 'clone', '--quiet', `${server.url}/team/app.git`, 'whole')).toMatchObject({ code: 0 });
    expect(await git(alice.token, 'clone', '--quiet', '--depth=1', `${server.url}/team/app.git`, 'shallow')).toMatchObject({ code: 0 });
    await writeFile(join(folder, 'whole', 'new.txt'), 'new');
    await git('', '-C', 'whole', 'add', '--all');
    await git('', '-C', 'whole', 'commit', '--quiet', '-m', 'new');
    expect(await git(alice.token, '-C', 'whole', 'push', '--quiet', 'origin', 'HEAD:refs/heads/topic')).toMatchObject({ code: 0 });
    expect((await server.call('GET', `/api/v4/projects/${app}/repository/files/new.txt/raw?ref=topic`, { token: alice.token })).text).toBe(
      'new',
    );
  });

  test("R1 a protected branch refuses in GitLab's words, at the client", async () => {
    const pushed = await git(alice.token, '-C', 'whole', 'push', 'origin', 'HEAD:refs/heads/main');
    expect(pushed.code).not.toBe(0);
    expect(pushed.words).toContain('GitLab: You are not allowed to push code to protected branches on this project.');
  });

  test('an archived project is fetched and not pushed to', async () => {
    await server.must('POST', `/api/v4/projects/${app}/archive`);
    expect((await refs('team/app', 'git-upload-pack', alice.token)).status).toBe(200);
    expect((await refs('team/app', 'git-receive-pack', alice.token)).status).toBe(403);
    await server.must('POST', `/api/v4/projects/${app}/unarchive`);
  });

  test('the ordinary job token fetches its own project and pushes nowhere', async () => {
    await server.commit(app, '.gitlab-ci.yml', 'stages: [test]\njob:\n  script: ["true"]\n', {
      token: alice.token,
      branch: 'ci',
      start: 'main',
    });
    const runner = await server.runner();
    const job = await server.claim(runner.token);
    if (job === undefined) throw new Error('no job');
    expect((await refs('team/app', 'git-upload-pack', job.token)).status).toBe(200);
    expect((await refs('team/app', 'git-receive-pack', job.token)).status).toBe(403);
    expect((await refs('team/hidden', 'git-upload-pack', job.token)).status).toBe(404);
    await server.finish(job);
    expect((await refs('team/app', 'git-upload-pack', job.token)).status).toBe(401);
  });
});
