import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { gitEnvironment } from '../../src/runner/git/environment.ts';
import type { JobCache } from '../../src/wire/runner.ts';
import { jobPayload, makeScene, type Scene, variable } from './support/jobs.ts';

/**
 * Makes of the folder `w` a repository whose list of files cannot be read without a folder that is not there, which the repository says to fetch with a
 * program of its own: `w/ran` tells that git has obeyed.
 */
const trap = [
  'git init -q w && cd w && mkdir d && echo 1 > d/f && echo 2 > g && git add -A',
  'git -c user.name=a -c user.email=a@b commit -qm x',
  'git sparse-checkout init --cone --sparse-index && git sparse-checkout set --sparse-index other',
  'tree=$(git rev-parse HEAD:d)',
  'find .git/objects -type f -name "$(echo $tree | cut -c3-)" -delete',
  'git config core.repositoryformatversion 1 && git config extensions.partialClone o && git config remote.o.promisor true',
  'git config remote.o.url "$PWD" && git config remote.o.uploadpack "touch $PWD/ran; false"',
  'for one in file ext http; do git config protocol.$one.allow always; done',
  'mkdir d && touch d/new && cd ..',
];
const cache: JobCache = { key: 'k', untracked: true, policy: 'push', paths: [], when: 'on_success', fallback_keys: [] };

let scene: Scene;
beforeEach(async () => {
  scene = await makeScene();
});
afterEach(async () => {
  await scene.close();
});

test('A53 R8 `untracked` runs no program that a job wrote into its repository', async () => {
  // The job's own folder becomes that repository.
  const script = [...trap, 'mv w/.git w/d w/g . && sed -i "s,$PWD/w,$PWD,g" .git/config && rm -r w'];
  const report = await scene.run(jobPayload(script, { cache: [cache], variables: [variable('GIT_STRATEGY', 'empty')] }));
  expect(report.text).toMatch(/Creating cache k|the cache is not kept/);
  const files = await readdir(scene.buildsDir, { recursive: true });
  expect(files.some((path) => path.endsWith('/d/new'))).toBe(true);
  expect(files.filter((path) => path.endsWith('/ran'))).toEqual([]);
});

test('A53 `untracked` heeds no setting of a repository that a job wrote', async () => {
  const script = ['git init -q .', 'touch known new', 'git add known', 'git config core.worktree /nonexistent'];
  const report = await scene.run(jobPayload(script, { cache: [cache], variables: [variable('GIT_STRATEGY', 'empty')] }));
  expect(report.text).toContain('Created cache of 1 files');
});

test('A53 no git of the runner fetches what a repository of a job says', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'jobpass-trap-'));
  try {
    execFileSync('/bin/sh', ['-ec', trap.join('\n')], { cwd: dir, env: { PATH: process.env['PATH'], HOME: dir } });
    const env = gitEnvironment(dir);
    for (const args of [
      ['ls-files', '--others'],
      ['fetch', 'o'],
      ['fetch', `ext::touch ${dir}/w/ran`],
    ])
      spawnSync('git', args, { cwd: join(dir, 'w'), env });
    expect(await readdir(join(dir, 'w'))).not.toContain('ran');
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
