import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Slots } from '../../src/runner/slots.ts';
import { Turns } from '../../src/runner/git/turns.ts';
import { jobPayload, makeScene, passesFor, type Scene, sourcesOf, variable } from './support/jobs.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await makeScene();
});
afterEach(async () => {
  await scene.close();
});

/** A job with sources and passes of its own. */
async function job(
  script: readonly string[],
  sha: string,
  more: { readonly depth?: number; readonly variables?: Record<string, string> } = {},
) {
  const sources = sourcesOf(scene.forge, sha);
  const report = await scene.run(
    jobPayload(script, {
      git_info: { ...sources.git_info, ...(more.depth === undefined ? {} : { depth: more.depth }) },
      variables: Object.entries(more.variables ?? {}).map(([key, value]) => variable(key, value)),
      extended_job_token: passesFor(scene.forge).extended_job_token,
    }),
  );
  return { ...report, state: (report.final as { readonly state: string }).state };
}

const mirrors = (): Promise<string[]> => readdir(join(scene.buildsDir, '.jobpass/mirrors'));

describe('A34 what the server refuses is not given out of the mirror', () => {
  test('A34 a repository that is asked for by the id of a commit alone, whole and known, is asked for anew', async () => {
    const { forge } = scene;
    const lib = forge.repository('libs/greeting', { 'greeting.txt': 'a greeting\n' });
    const sha = forge.repository('group/app', { a: 'a' }, { lib: ['../../libs/greeting.git', lib] });
    const order = { depth: 0, variables: { GIT_SUBMODULE_STRATEGY: 'normal' } };
    const first = await job(['cat lib/greeting.txt'], sha, order);
    expect(first.state, first.text).toBe('success');
    forge.intercept = (request, response) => {
      if (request.url?.startsWith('/libs/') !== true) return false;
      response.writeHead(404).end();
      return true;
    };
    expect((await job(['cat lib/greeting.txt'], sha, order)).state).toBe('failed');
  });

  test('A34 commits that were taken off a branch, or that another branch’s job brought, are in no later job’s repository', async () => {
    const { forge } = scene;
    const gone = forge.repository('group/app', { a: 'secret' });
    expect((await job([`git cat-file -e ${gone}`], gone, { depth: 0 })).state).toBe('success');
    const [bare, work] = [join(scene.dir, 'git/group/app.git'), join(scene.dir, 'work/group/app')];
    const env = { PATH: process.env['PATH'] ?? '', HOME: scene.dir, GIT_COMMITTER_NAME: 'n', GIT_COMMITTER_EMAIL: 'n@example.com' };
    const git = (...args: string[]) =>
      execFileSync('git', ['-C', work, '-c', 'user.name=n', '-c', 'user.email=n@example.com', ...args], { env });
    git('commit', '--quiet', '--amend', '-m', 'clean');
    git('push', '--quiet', '--force', bare, 'HEAD:refs/heads/main');
    const sha = git('rev-parse', 'HEAD').toString().trim();
    const look = [
      `git cat-file -e ${sha}`,
      `if git cat-file -e ${gone}; then exit 1; fi`,
      'git fsck --full',
      'git log --oneline origin/main',
    ];
    const second = await job(look, sha, { depth: 0 });
    expect(second.state, second.text).toBe('success');
    expect(second.text).toContain('clean');
    // And nothing is lost for a commit on top.
    const third = await job([`git cat-file -e ${sha}`], forge.repository('group/app', { b: 'more' }), { depth: 0 });
    expect(third.state, third.text).toBe('success');
  });

  test('A34 a fetch that was cut off leaves nothing: without the note of what was given, only this job’s stays', async () => {
    const { forge } = scene;
    const sha = forge.repository('group/app', { a: 'a' });
    await job(['true'], sha);
    const dir = join(scene.buildsDir, '.jobpass/mirrors', (await mirrors())[0] ?? '');
    const stray = execFileSync('git', ['-C', dir, 'hash-object', '-w', '--stdin'], { input: 'stray' }).toString().trim();
    const packed = execFileSync('git', ['-C', dir, 'pack-objects', 'objects/pack/pack'], { input: stray }).toString().trim();
    execFileSync('touch', [join(dir, `objects/pack/pack-${packed}.keep`)]);
    execFileSync('rm', [join(dir, 'jobpass-given')]);
    const second = await job([`if git cat-file -e ${stray}; then exit 1; fi`], sha);
    expect(second.state, second.text).toBe('success');
  });

  test('locks of a git that was killed with its job fail no other', async () => {
    const { forge } = scene;
    await job(['true'], forge.repository('group/app', { a: 'a' }));
    const dir = join(scene.buildsDir, '.jobpass/mirrors', (await mirrors())[0] ?? '');
    // As SIGKILL leaves it in the middle of a fetch.
    await rm(join(dir, 'jobpass-given'));
    await mkdir(join(dir, 'refs/remotes/origin'), { recursive: true });
    for (const name of ['refs/remotes/origin/main', 'refs/jobpass/job', 'packed-refs', 'shallow'])
      await writeFile(join(dir, `${name}.lock`), '');
    const next = await job(['cat a'], forge.repository('group/app', { a: 'another' }));
    expect(next.state, next.text).toBe('success');
  });
});

describe('A53 a kept work tree', () => {
  const files = { same: 'same', edited: 'one', moded: 'x', 'dir/inner': 'inner', 'dir/other': 'other' };

  test('A53 only what fits to the nanosecond of the kernel’s own stamp counts as unchanged', async () => {
    const sha = scene.forge.repository('group/app', files);
    const first = await job(
      [
        'stat -c "was %i %z" same',
        // Same size, same times as far as a job can set them.
        'cp -p edited ../stamp && printf two > edited && touch -r ../stamp edited',
        'chmod +x moded',
        'mv dir ../moved && ln -s ../moved dir',
        'cp .git/index ../index && git update-index --assume-unchanged same && git rm -q --cached same && touch -r ../index .git/index',
      ],
      sha,
      { variables: { GIT_CLEAN_FLAGS: 'none' } },
    );
    expect(first.state, first.text).toBe('success');
    const second = await job(
      [
        'stat -c "is %i %z" same',
        'grep -q one edited',
        'test ! -x moded',
        'test -d dir -a ! -L dir',
        'cat dir/inner',
        'git diff --exit-code HEAD',
        'test -z "$(git status --porcelain)"',
      ],
      sha,
      { variables: { GIT_CLEAN_FLAGS: 'none' } },
    );
    expect(second.state, second.text).toBe('success');
    // The same file, not written again.
    expect(/is (\d+ .*)/.exec(second.text)?.[1]).toBe(/was (\d+ .*)/.exec(first.text)?.[1]);
  });

  test('A53 a file that a job changed at once, within the same tick, is compared', async () => {
    const sha = scene.forge.repository('group/app', { edited: 'one' });
    for (let round = 0; round < 3; round += 1) {
      const { state, text } = await job(['grep -q one edited', 'printf two > edited'], sha);
      expect(state, text).toBe('success');
    }
  });

  test('a commit with other attributes has its files written anew', async () => {
    const one = scene.forge.repository('group/app', { text: 'a\nb\n' });
    expect((await job(['test "$(wc -c < text)" = 4'], one)).state).toBe('success');
    const two = scene.forge.repository('group/app', { '.gitattributes': 'text eol=crlf\n' });
    const { state, text } = await job(['test "$(wc -c < text)" = 6'], two);
    expect(state, text).toBe('success');
  });
});

test('R15 jobs of one project and principals share a mirror, one after the other; the depth is each job’s own', async () => {
  await writeFile(scene.configPath, (await readFile(scene.configPath, 'utf8')).replace('concurrent = 1', 'concurrent = 3'));
  await scene.start();
  const { forge } = scene;
  forge.repository('group/app', { a: '1' });
  const sha = forge.repository('group/app', { a: '2' });
  const depths = [1, 0, 1];
  const jobs = await Promise.all(depths.map((depth) => job(['echo "count $(git rev-list --count HEAD)"'], sha, { depth })));
  for (const [index, { state, text }] of jobs.entries()) {
    expect(state, text).toBe('success');
    expect(text).toContain(`count ${depths[index] === 1 ? 1 : 2}\n`);
  }
  expect(await mirrors()).toHaveLength(1);
});

describe('R15 slots', () => {
  const never = new AbortController().signal;

  test('R15 a job gets the slot that its like used last, else one that nobody used, else the one unused for longest', async () => {
    const slots = new Slots(3);
    const claim = async (key: string): Promise<number> => {
      expect(await slots.take(never)).toBe(true);
      return slots.claim(key);
    };
    expect([await claim('a'), await claim('b')]).toEqual([0, 1]);
    slots.give(0);
    slots.give(1);
    expect(await claim('b')).toBe(1);
    expect(await claim('c')).toBe(2);
    slots.give(2);
    slots.give(1);
    expect(await claim('d')).toBe(0);
    expect(await claim('b')).toBe(1);
    expect(await claim('b')).toBe(2);
  });

  test('a place that was given back without a job is free', async () => {
    const slots = new Slots(1);
    await slots.take(never);
    slots.give();
    await slots.take(never);
    expect(slots.claim('a')).toBe(0);
    expect(await slots.take(AbortSignal.abort())).toBe(false);
  });
});

test('turns are taken in order; one that is not wanted any more lets the next begin no earlier', async () => {
  const turns = new Turns();
  const [never, gone] = [new AbortController().signal, new AbortController()];
  const { promise, resolve } = Promise.withResolvers<void>();
  const seen: string[] = [];
  const first = turns.take('x', never, async () => {
    await promise;
    seen.push('first');
  });
  const second = turns.take('x', gone.signal, async () => void seen.push('second'));
  const third = turns.take('x', never, async () => void seen.push('third'));
  const other = turns.take('y', never, async () => void seen.push('other'));
  await other;
  gone.abort(new Error('no more'));
  await expect(second).rejects.toThrow('no more');
  expect(seen).toEqual(['other']);
  expect(turns.busy('x')).toBe(true);
  resolve();
  await Promise.all([first, third]);
  expect(seen).toEqual(['other', 'first', 'third']);
});
