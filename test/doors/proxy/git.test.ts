import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../../support/server.ts';
import { type Stage, stage } from './stage.ts';

const run = promisify(execFile);

describe('git, without a pass', () => {
  let upstream: TestServer;
  let front: Stage;
  let dir: string;
  let token: string;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'jobpass-proxy-git-'));
    upstream = await startTestServer();
    const alice = await upstream.user('alice');
    token = alice.token;
    await upstream.member(await upstream.project('team/app'), alice.id, 40);
    front = await stage(Number(new URL(upstream.url).port));
  }, 60_000);

  afterAll(async () => {
    await front?.close();
    await upstream?.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const git = (...args: string[]) =>
    run('git', ['-c', 'credential.helper=', '-c', 'credential.helper=!f() { echo username=x; echo "password=$TOKEN"; }; f', ...args], {
      env: { ...process.env, TOKEN: token, GIT_TERMINAL_PROMPT: '0', GIT_CONFIG_NOSYSTEM: '1', HOME: dir },
    });

  test('a push without a length, a clone, a shallow fetch and a refusal go through', async () => {
    const url = `${front.url}/team/app.git`;
    const [work, copy] = [join(dir, 'work'), join(dir, 'copy')];
    await git('init', '-q', '-b', 'main', work);
    const inWork = (...args: string[]) => git('-C', work, '-c', 'user.name=a', '-c', 'user.email=a@example.com', ...args);
    for (const name of ['one', 'two']) {
      // More than http.postBuffer: git sends it chunked.
      await writeFile(join(work, name), randomBytes(3 * 1024 * 1024));
      await inWork('add', '.');
      await inWork('commit', '-q', '-m', name);
    }
    await inWork('push', '-q', url, 'main');
    await git('clone', '-q', url, copy);
    await git('-C', copy, 'fsck', '--strict');
    expect((await git('-C', copy, 'rev-parse', 'HEAD')).stdout).toBe((await inWork('rev-parse', 'main')).stdout);
    await git('clone', '-q', '--depth', '1', url, join(dir, 'shallow'));
    await expect(git('ls-remote', `${front.url}/team/none.git`)).rejects.toThrow(/not found|Authentication failed|403/i);
    expect(new Set(front.ended.map(({ outcome }) => outcome))).toEqual(new Set(['done']));
  }, 60_000);
});
