import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { oneJob, startTestServer } from '../support/server.ts';

// git takes it; what is read of one commit has a bound.
const heavyBytes = 33 * 1024 * 1024;

test('R13 a commit that no pipeline can be made of keeps no other ref from its own, and not the server from starting', async () => {
  const [dataDir, work] = await Promise.all([mkdtemp(join(tmpdir(), 'jobpass-hopeless-')), mkdtemp(join(tmpdir(), 'jobpass-work-'))]);
  const server = await startTestServer({ dataDir });
  const app = await server.project('team/app');
  await server.commit(app, '.gitlab-ci.yml', oneJob);
  const git = async (stdin: string, ...args: readonly string[]): Promise<void> => {
    const child = spawn(
      'git',
      ['-c', 'user.name=a', '-c', 'user.email=a@example.com', '-c', `http.extraHeader=PRIVATE-TOKEN: ${server.root}`, ...args],
      {
        cwd: work,
        stdio: ['pipe', 'ignore', 'pipe'],
      },
    );
    let words = '';
    child.stderr.on('data', (chunk: Buffer) => (words += chunk.toString()));
    child.stdin.end(stdin);
    const [code] = await once(child, 'close');
    if (code !== 0) throw new Error(`git ${args.join(' ')}: ${words}`);
  };
  await git('', 'clone', '-q', `${server.url}/team/app.git`, '.');
  await git('m'.repeat(heavyBytes), 'commit', '-q', '--allow-empty', '-F', '-');
  await git('', 'push', '-q', 'origin', 'HEAD:refs/heads/heavy', 'HEAD~1:refs/heads/light');

  const { list } = await server.call('GET', `/api/v4/projects/${app}/pipelines`, { token: server.root });
  expect(list.map(({ ref }) => ref)).toEqual(['light', 'main']);
  expect(await server.store.forge.pushLog.unfinished(null)).toEqual([]);
  await server.stop();
  await (await startTestServer({ dataDir })).stop();
  await Promise.all([dataDir, work].map((folder) => rm(folder, { recursive: true, force: true })));
});
