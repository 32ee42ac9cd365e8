import { mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type CacheOwner, CacheStore } from '../../src/runner/cache/store.ts';
import type { JobCache, JobPayload } from '../../src/wire/runner.ts';
import { jobPayload, makeScene, passesFor, type Payload, type Scene, variable } from './support/jobs.ts';

const cache = (parts: Partial<JobCache> = {}): JobCache => ({
  key: 'deps',
  untracked: false,
  policy: 'pull-push',
  paths: ['vendor'],
  when: 'on_success',
  fallback_keys: [],
  ...parts,
});

describe('the cache', () => {
  let scene: Scene;
  beforeEach(async () => {
    scene = await makeScene();
  });
  afterEach(async () => {
    await scene.close();
  });
  /** Each job starts from an empty folder, so that only a cache can bring anything. */
  const job = (script: readonly string[], caches: readonly JobCache[], parts: Partial<JobPayload> = {}): Payload =>
    jobPayload(script, { cache: caches, variables: [variable('GIT_STRATEGY', 'empty')], ...parts });
  const fill = ['mkdir -p vendor/bin', 'echo kept > vendor/one', 'ln -s /usr/bin/env vendor/bin/env', 'chmod +x vendor/one'];
  const has = 'test "$(cat vendor/one)" = kept && test -x vendor/one && test -L vendor/bin/env';
  const hasNot = 'test ! -e vendor';

  test('brings back what an earlier job left, modes and links too, in sections as gitlab-runner has them', async () => {
    const first = await scene.run(job(fill, [cache()], { features: sections }));
    expect(first.final, first.text).toMatchObject({ state: 'success' });
    expect(first.text).toContain('No cache is there yet');
    expect(first.text).toMatch(/section_start:\d+:archive_cache\r/);
    const second = await scene.run(job([has], [cache()], { features: sections }));
    expect(second.final, second.text).toMatchObject({ state: 'success' });
    expect(second.text).toMatch(/section_start:\d+:restore_cache\r[^]*Successfully extracted cache/);
  });

  test('policy and when decide what is read and written', async () => {
    await scene.run(job(fill, [cache({ policy: 'pull' })]));
    expect((await scene.run(job([hasNot], [cache({ policy: 'pull' })]))).final).toMatchObject({ state: 'success' });
    await scene.run(job([...fill, 'false'], [cache()]));
    expect((await scene.run(job([hasNot], [cache({ policy: 'pull' })]))).final).toMatchObject({ state: 'success' });
    await scene.run(job([...fill, 'false'], [cache({ when: 'on_failure' })], { features: sections }));
    expect((await scene.run(job([has], [cache({ policy: 'pull' })]))).final).toMatchObject({ state: 'success' });
    expect((await scene.run(job([hasNot], [cache({ policy: 'push' })]))).final).toMatchObject({ state: 'success' });
  });

  test('fallback keys and CACHE_FALLBACK_KEY are asked for in order; variables count in keys and paths', async () => {
    const variables = [variable('GIT_STRATEGY', 'empty'), variable('BRANCH', 'main'), variable('WHERE', 'vendor')];
    await scene.run(job(fill, [cache({ key: 'deps-$BRANCH', paths: ['$CI_PROJECT_DIR/$WHERE/'] })], { variables }));
    const second = await scene.run(job([has], [cache({ key: 'new', fallback_keys: ['none', 'deps-main'], policy: 'pull' })]));
    expect(second.final, second.text).toMatchObject({ state: 'success' });
    const fallback = [variable('GIT_STRATEGY', 'empty'), variable('CACHE_FALLBACK_KEY', 'deps-main')];
    expect((await scene.run(job([has], [cache({ key: 'other' })], { variables: fallback }))).final).toMatchObject({ state: 'success' });
  });

  test('R15 A33 A64 no other project, tier or set of principals finds it', async () => {
    const own = passesFor(scene.forge).extended_job_token;
    const keyed = (key: string) => ({ extended_job_token: { ...own, inputs_key: key } });
    expect((await scene.run(job(fill, [cache()], keyed('protected-a')))).final).toMatchObject({ state: 'success' });
    expect((await scene.run(job([has], [cache({ policy: 'pull' })], keyed('protected-a')))).final).toMatchObject({ state: 'success' });
    const info = (more: object) => ({ job_info: { ...job([], []).job_info, ...more } as JobPayload['job_info'] });
    const others: Partial<JobPayload>[] = [
      keyed('protected-b'),
      keyed('non_protected-a'),
      { ...keyed('protected-a'), ...info({ project_id: 6 }) },
      {},
      info({ user_id: 43 }),
    ];
    for (const other of others) {
      const report = await scene.run(job([hasNot, 'mkdir vendor; echo evil > vendor/one'], [cache()], other));
      expect(report.final, report.text).toMatchObject({ state: 'success' });
    }
    expect((await scene.run(job([has], [cache({ policy: 'pull' })], keyed('protected-a')))).final).toMatchObject({ state: 'success' });
  });

  test.runIf(process.getuid?.() === 0)('R15 no job reads the runner’s store', async () => {
    await scene.run(job(fill, [cache()]));
    const folder = join(scene.buildsDir, '.jobpass');
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    const report = await scene.run(job([`ls ${folder} && exit 1`, `find ${scene.buildsDir} -name '*.zip' | grep . && exit 1`, 'true'], []));
    expect(report.final, report.text).toMatchObject({ state: 'success' });
  });

  test('A39 paths that point out of the project are left out and named; a key is never a path', async () => {
    const caches = [cache({ key: '../../../../evil', paths: ['../..', '/etc/passwd', 'vendor/../../x', 'vendor'] })];
    const report = await scene.run(job(fill, caches));
    expect(report.text).toContain('/etc/passwd is outside of the project');
    expect(report.text).toContain('../.. is outside of the project');
    expect(report.text).toContain('Created cache of 1 files');
    expect(await readdir(scene.dir)).not.toContain('evil.zip');
  });

  test('one that is broken is tried as often as it says, is dropped, and fails nothing', async () => {
    await scene.run(job(fill, [cache()]));
    const store = join(scene.buildsDir, '.jobpass/cache');
    for (const entry of await readdir(store, { recursive: true, withFileTypes: true }))
      if (entry.isFile()) await writeFile(join(entry.parentPath, entry.name), 'no zip');
    const variables = [variable('GIT_STRATEGY', 'empty'), variable('RESTORE_CACHE_ATTEMPTS', '3')];
    const report = await scene.run(job([hasNot], [cache({ policy: 'pull' })], { variables }));
    expect(report.final, report.text).toMatchObject({ state: 'success' });
    expect(report.text.match(/the cache cannot be extracted/g)).toHaveLength(3);
    expect((await scene.run(job([hasNot], [cache({ policy: 'pull' })]))).text).toContain('No cache is there yet');
  });

  test('untracked files are kept, and cache_dir says where', async () => {
    const dir = join(scene.dir, 'caches');
    await scene.configure(`cache_dir = "${dir}"`);
    await scene.run(job(['git init -q .', ...fill, 'git add vendor/one'], [cache({ paths: [], untracked: true })]));
    expect((await scene.run(job(['test -L vendor/bin/env', 'test ! -e vendor/one'], [cache({ policy: 'pull' })]))).final).toMatchObject({
      state: 'success',
    });
    expect(await readdir(join(dir, '.jobpass/cache'))).not.toEqual([]);
  });
});

const sections = { trace_sections: true, token_mask_prefixes: [], failure_reasons: [] };

describe('the store of caches', () => {
  let dir: string;
  let store: CacheStore;
  const owner: CacheOwner = { server: 'https://forge.example', projectId: 1, trustKey: 'a' };
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'jobpass-cache-'));
    store = await CacheStore.open(dir);
  });
  afterEach(async () => {
    await rm(dir, { recursive: true, force: true });
  });
  async function put(key: string, bytes: number, age = 0, of: CacheOwner = owner): Promise<void> {
    const draft = await store.draft(key);
    await writeFile(draft, Buffer.alloc(bytes));
    await store.put(of, key, draft);
    const path = await store.find(of, key);
    if (path !== undefined) await utimes(path, new Date(Date.now() - age), new Date(Date.now() - age));
  }

  test('R15 owners do not meet: server, project and trust key all count', async () => {
    await put('k', 1);
    expect(await store.find(owner, 'k')).toBeDefined();
    for (const other of [{ server: 'https://other.example' }, { projectId: 2 }, { trustKey: 'b' }])
      expect(await store.find({ ...owner, ...other }, 'k')).toBeUndefined();
  });

  test('what is unused for long goes, then the longest unused until all fit', async () => {
    await put('ancient', 1, 15 * 86_400_000);
    await put('old', 600, 3_600_000);
    await put('new', 600);
    await store.tidy(10_000);
    expect(await store.find(owner, 'ancient')).toBeUndefined();
    expect(await store.find(owner, 'old')).toBeDefined();
    await put('old', 600, 3_600_000);
    await store.tidy(1000);
    expect(await store.find(owner, 'old')).toBeUndefined();
    expect(await store.find(owner, 'new')).toBeDefined();
  });

  test('a draft takes the place of the old in one step, and none stays', async () => {
    await put('k', 5);
    await put('k', 7);
    const path = await store.find(owner, 'k');
    expect(path === undefined ? 0 : (await stat(path)).size).toBe(7);
    expect(await readdir(join(dir, '.jobpass/cache/drafts'))).toEqual([]);
  });
});
