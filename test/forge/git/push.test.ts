import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { JobpassError } from '../../../src/base/errors.ts';
import { newPassToken } from '../../../src/base/pass-token.ts';
import { recoverPushes } from '../../../src/forge/embedded/git/recover.ts';
import { type EmbeddedGit, grantFor, project, pushers, startEmbeddedGit, watching } from '../../support/embedded-git.ts';
import { client, type GitHttp, ok, serveGit } from '../../support/git-http.ts';

let forge: EmbeddedGit;
let http: GitHttp;
let work: string;

beforeEach(async () => {
  forge = await startEmbeddedGit();
  http = await serveGit(forge.git);
  work = join(forge.folder, 'work');
  await ok(forge.folder, 'init', '-q', '-b', 'main', work);
  await ok(work, 'remote', 'add', 'origin', http.url);
});
afterEach(async () => {
  await http.close();
  await forge.close();
});

async function commit(path: string, content = path): Promise<string> {
  await mkdir(dirname(join(work, path)), { recursive: true });
  await writeFile(join(work, path), content);
  await ok(work, 'add', '-A');
  await ok(work, 'commit', '-q', '-m', `add ${path}`);
  return ok(work, 'rev-parse', 'HEAD');
}
const tips = (): Promise<string> => ok(forge.path, 'for-each-ref', '--format=%(refname) %(objectname)');

describe('a push', () => {
  test('moves the ref, is logged with all principals and its commits, and is told once (R3)', async () => {
    const first = await commit('a');
    const second = await commit('ünï/cödé 文');
    await ok(work, 'push', '-q', 'origin', 'main');
    expect(await tips()).toBe(`refs/heads/main ${second}`);
    expect(http.outcomes).toEqual([{ outcome: 'done', moved: ['refs/heads/main'] }]);
    const zero = '0'.repeat(40);
    const changes = [{ ref: 'refs/heads/main', oldOid: zero, newOid: second }];
    expect(forge.log).toMatchObject([
      { state: 'applied', handled: true, pushers, passId: 5, jobId: 6, commits: [second, first], changes, skipCi: false },
    ]);
    expect(forge.events).toEqual([{ pushId: 1, projectId: project, changes, pushers, passId: 5, jobId: 6, skipCi: false }]);
  });

  test('R12 A27 a pass in a file, a name or a message is found before any ref moves; what was there already is not looked at again', async () => {
    const [inFile, inName, inMessage, old] = Array.from({ length: 4 }, () => newPassToken('full').reveal());
    await commit('a');
    await ok(work, 'push', '-q', 'origin', 'main');
    const before = await tips();
    const refused = async (found: string | undefined): Promise<void> => {
      const { code, text } = await client(work, 'push', '-q', 'origin', 'main');
      expect([code, text]).toEqual([1, expect.stringContaining('a pass (jpt_…) stands in this push: it is revoked now')]);
      expect(text).toContain('take it out of the commits');
      expect(forge.leaked.splice(0)).toEqual([found]);
      expect(await tips()).toBe(before);
      await ok(work, 'reset', '-q', '--hard', 'origin/main');
    };
    await commit('deep/er/file.txt', `${'a line\n'.repeat(50_000)}user:${Buffer.from(`x:${inFile}`).toString('base64')}`);
    await refused(inFile);
    await commit(`deep/${inName}.txt`, 'content');
    await refused(inName);
    await commit('b');
    await ok(work, 'commit', '-q', '--amend', '-m', `with ${inMessage}`);
    await refused(inMessage);
    // A branch or a tag is called so, and brings no object.
    for (const kind of ['heads', 'tags']) {
      const { code, text } = await client(work, 'push', '-q', 'origin', `origin/main:refs/${kind}/of-${inName}`);
      expect([code, text]).toEqual([1, expect.stringContaining('a pass (jpt_…) stands in this push: it is revoked now')]);
      expect([forge.leaked.splice(0), await tips()]).toEqual([[inName], before]);
    }
    // In a pack of many objects as well as loose, and in a commit that another one takes back.
    for (let index = 0; index < 120; index += 1) await writeFile(join(work, `many-${index}`), `${index} ${index === 60 ? inFile : ''}`);
    await commit('c');
    await commit('many-60', 'gone again');
    await refused(inFile);

    forge.ignoresLeaks.value = true;
    await commit('old', old);
    await ok(work, 'push', '-q', 'origin', 'main');
    forge.ignoresLeaks.value = false;
    forge.leaked.splice(0);
    await commit('new');
    await ok(work, 'push', '-q', 'origin', 'main');
    await ok(work, 'push', '-q', 'origin', 'main:refs/heads/copy');
    await ok(work, 'push', '-q', 'origin', ':refs/heads/copy');
    expect(forge.leaked).toEqual([]);
  });

  test('is cloned back: shallow, by protocol v0 and v2, with tags', async () => {
    const first = await commit('a');
    const second = await commit('b');
    await ok(work, 'tag', '-a', '-m', 'one', 'v1');
    await ok(work, 'push', '-q', 'origin', 'main', 'v1');
    for (const version of ['0', '2']) {
      const copy = join(forge.folder, `copy-${version}`);
      await ok(forge.folder, '-c', `protocol.version=${version}`, 'clone', '-q', http.url, copy);
      expect(await ok(copy, 'rev-parse', 'HEAD')).toBe(second);
      expect(await ok(copy, 'describe', '--tags')).toBe('v1');
    }
    const shallow = join(forge.folder, 'shallow');
    await ok(forge.folder, 'clone', '-q', '--depth=1', http.url, shallow);
    expect(await ok(shallow, 'rev-list', '--count', 'HEAD')).toBe('1');
    await ok(shallow, 'fetch', '-q', '--depth=1', 'origin', first);
    expect(await ok(shallow, 'rev-parse', 'FETCH_HEAD')).toBe(first);
  });

  test('an empty repository can be cloned', async () => {
    await ok(forge.folder, 'clone', '-q', http.url, 'copy');
    expect((await client(join(forge.folder, 'copy'), 'rev-parse', '--verify', 'HEAD')).code).not.toBe(0);
  });

  test('tells create, update, force, delete and tags apart', async () => {
    const { decide, seen } = watching();
    http.decide = decide;
    await commit('a');
    await ok(work, 'tag', 'v1');
    await ok(work, 'push', '-q', 'origin', 'main', 'main:other', 'v1');
    await commit('b');
    await ok(work, 'push', '-q', 'origin', 'main');
    await ok(work, 'commit', '-q', '--amend', '-m', 'else');
    await ok(work, 'push', '-q', '--force', 'origin', 'main');
    await ok(work, 'push', '-q', 'origin', ':other');
    expect(seen.map(({ ref, kind, forced }) => [ref, kind, forced])).toEqual([
      ['refs/heads/main', 'create', false],
      ['refs/heads/other', 'create', false],
      ['refs/tags/v1', 'create', false],
      ['refs/heads/main', 'update', false],
      ['refs/heads/main', 'update', true],
      ['refs/heads/other', 'delete', false],
    ]);
    expect(forge.events).toHaveLength(4);
  });

  test('a branch that only gains commits is not forced, by whichever way they came', async () => {
    const { decide, seen } = watching();
    http.decide = decide;
    const first = await commit('a');
    await ok(work, 'push', '-q', 'origin', 'main', 'main:other', 'main:third');
    await commit('b');
    await commit('c');
    await ok(work, 'push', '-q', 'origin', 'main');
    await ok(work, 'push', '-q', 'origin', 'main:other');
    await ok(work, 'checkout', '-q', '-b', 'side', first);
    await commit('d');
    await ok(work, 'merge', '-q', '--no-edit', 'main');
    await commit('e');
    await ok(work, 'push', '-q', 'origin', 'side:main', 'side^:other', 'side^^:third');
    await ok(work, 'checkout', '-q', '-b', 'lost', first);
    await commit('f');
    await ok(work, 'push', '-q', '--force', 'origin', 'lost:other', 'lost:third', `${first}:main`);
    expect(seen.map(({ ref, kind, forced }) => `${ref} ${kind}${forced ? ' forced' : ''}`)).toEqual([
      'refs/heads/main create',
      'refs/heads/other create',
      'refs/heads/third create',
      'refs/heads/main update',
      'refs/heads/other update',
      'refs/heads/main update',
      'refs/heads/other update',
      'refs/heads/third update',
      'refs/heads/main update forced',
      'refs/heads/other update forced',
      'refs/heads/third update forced',
    ]);
  });

  test('many refs at once are asked about one by one', async () => {
    const { decide, seen } = watching();
    http.decide = decide;
    await commit('a');
    const names = Array.from({ length: 12 }, (_none, index) => `b${String(index).padStart(2, '0')}`);
    await ok(work, 'push', '-q', 'origin', ...names.map((name) => `main:${name}`));
    expect(seen.map(({ ref }) => ref)).toEqual(names.map((name) => `refs/heads/${name}`));
    expect((await tips()).split('\n')).toHaveLength(names.length);
  });

  test('R11 one refused ref refuses all of it, in words, and nothing stays behind', async () => {
    http.decide = async (changes) =>
      changes.map(({ ref }) => ({ ref, allowed: ref !== 'refs/heads/main', message: 'You may not.\nReally' }));
    const tip = await commit('a');
    const { code, text } = await client(work, 'push', 'origin', 'main', 'main:other');
    expect(code).not.toBe(0);
    expect(text).toContain('GitLab: You may not. Really');
    expect(await tips()).toBe('');
    expect((await client(forge.path, 'cat-file', '-e', tip)).code).not.toBe(0);
    expect(forge.log).toEqual([]);
    expect(forge.events).toEqual([]);
    expect(http.outcomes[0]?.outcome).toBe('refused');
  });

  test('R2 each ref is decided once more when it takes effect: rules may have changed while the push was searched', async () => {
    const asked: string[] = [];
    http.decide = async (changes, again) => {
      asked.push(`${changes.map(({ ref }) => ref).join(' ')} ${again ?? 'first'}`);
      return changes.map(({ ref }) => ({
        ref,
        allowed: again === undefined || ref !== 'refs/heads/main',
        message: 'Protected meanwhile.',
      }));
    };
    await commit('a');
    expect((await client(work, 'push', 'origin', 'main', 'main:other')).code).not.toBe(0);
    expect(asked[0]).toBe('refs/heads/main refs/heads/other first');
    expect(asked.slice(1).every((one) => one.endsWith(' again'))).toBe(true);
    expect(await tips()).not.toContain('refs/heads/main');
  });

  test('R13 a ref without a decision is refused', async () => {
    http.decide = async () => [];
    await commit('a');
    expect((await client(work, 'push', 'origin', 'main')).code).not.toBe(0);
    expect(await tips()).toBe('');
  });

  test('R2 the grant is asked again while git holds the lock; a no stops the ref', async () => {
    await commit('a');
    await ok(work, 'push', '-q', 'origin', 'main');
    const before = await tips();
    await commit('b');
    let asked = 0;
    http.grant = () =>
      grantFor({
        confirm: async () => {
          asked += 1;
          // The first time is for the log's row, the second at the lock.
          if (asked === 2) throw new JobpassError('pass_dead');
        },
      });
    expect((await client(work, 'push', 'origin', 'main')).code).not.toBe(0);
    expect(asked).toBe(2);
    expect(await tips()).toBe(before);
    expect(forge.log.map(({ state }) => state)).toEqual(['applied', 'dropped']);
    expect(forge.events).toHaveLength(1);
  });

  test('R2 a pass that dies at the lock cuts the push, and leaves no ref locked', async () => {
    await commit('a');
    const death = new AbortController();
    let asked = 0;
    http.grant = () =>
      grantFor({
        signal: death.signal,
        confirm: async () => {
          asked += 1;
          if (asked < 2) return;
          death.abort();
          throw new JobpassError('pass_dead');
        },
      });
    expect((await client(work, 'push', 'origin', 'main')).code).not.toBe(0);
    expect(await tips()).toBe('');
    http.grant = () => grantFor();
    await ok(work, 'push', '-q', 'origin', 'main');
    expect(forge.log.map(({ state }) => state)).toEqual(['dropped', 'applied']);
  });

  test('A62 R5 push options other than ci.skip are refused', async () => {
    await commit('a');
    const { code, text } = await client(work, 'push', '-o', 'merge_request.create', '-o', 'ci.skip', 'origin', 'main');
    expect(code).not.toBe(0);
    expect(text).toContain('push options other than ci.skip');
    expect(await tips()).toBe('');
    await ok(work, 'push', '-q', '-o', 'ci.skip', 'origin', 'main');
    expect(forge.events).toMatchObject([{ skipCi: true }]);
  });

  test('two at once to different branches both arrive; to the same branch one does', async () => {
    await commit('a');
    await Promise.all([ok(work, 'push', '-q', 'origin', 'main:one'), ok(work, 'push', '-q', 'origin', 'main:two')]);
    expect((await tips()).split('\n')).toHaveLength(2);
    const left = await commit('left');
    await ok(work, 'reset', '-q', '--hard', 'HEAD^');
    const right = await commit('right');
    const results = await Promise.all([client(work, 'push', 'origin', `${left}:one`), client(work, 'push', 'origin', `${right}:one`)]);
    expect(results.filter(({ code }) => code === 0)).toHaveLength(1);
    expect(forge.log.filter(({ state }) => state === 'applied')).toHaveLength(3);
    expect(forge.events).toHaveLength(3);
  });

  test('A39 ref names that could be taken for others are refused', async () => {
    const tip = await commit('a');
    for (const ref of [
      'refs/heads/refs/tags/v1',
      `refs/heads/${tip}`,
      'refs/tags/HEAD',
      'refs/heads/-x',
      `refs/heads/${'x/'.repeat(600)}x`,
    ])
      expect((await client(work, 'push', 'origin', `${tip}:${ref}`)).code).not.toBe(0);
    expect(await tips()).toBe('');
    expect(forge.log).toEqual([]);
  });

  test('a tag must name a commit', async () => {
    await commit('a');
    expect((await client(work, 'push', 'origin', 'HEAD^{tree}:refs/tags/tree')).text).toContain('must point to a commit');
  });

  test('the event that fails leaves the push standing, and recovery tells it', async () => {
    await commit('a');
    const broken = { ...forge.push, onRefsUpdated: () => Promise.reject(new JobpassError('store_unavailable')) };
    await ok(work, 'push', '-q', 'origin', 'main');
    forge.events.length = 0;
    const [row] = forge.log;
    if (row === undefined) throw new Error('no row');
    row.handled = false;
    await expect(recoverPushes(broken, forge.repositories)).rejects.toThrow();
    await recoverPushes(forge.push, forge.repositories);
    expect(forge.events).toHaveLength(1);
    expect(row.handled).toBe(true);
  });

  test('R13 a push that nobody can be told of keeps neither the server from starting nor the next push from being told', async () => {
    await commit('a');
    await ok(work, 'push', '-q', 'origin', 'main');
    await commit('b');
    await ok(work, 'push', '-q', 'origin', 'main');
    for (const row of forge.log) row.handled = false;
    const told: number[] = [];
    const onRefsUpdated = async ({ pushId }: { readonly pushId: number }): Promise<void> => {
      if (pushId === forge.log[0]?.id) throw new Error('nobody knows what to do with it');
      told.push(pushId);
    };
    await recoverPushes({ ...forge.push, onRefsUpdated }, forge.repositories);
    expect(told).toEqual([forge.log[1]?.id]);
    expect(forge.log.map(({ handled }) => handled)).toEqual([false, true]);
  });

  test('recovery: a prepared push counts as applied where the ref moved, else as dropped', async () => {
    const tip = await commit('a');
    await ok(work, 'push', '-q', 'origin', 'main');
    const [row] = forge.log;
    if (row === undefined) throw new Error('no row');
    forge.events.length = 0;
    Object.assign(row, { state: 'prepared', handled: false });
    const lost = { ref: 'refs/heads/lost', oldOid: '0'.repeat(40), newOid: tip } as (typeof row.changes)[number];
    forge.log.push({ ...row, id: 2 as typeof row.id, changes: [lost] });
    await recoverPushes(forge.push, forge.repositories);
    expect(forge.log.map(({ state }) => state)).toEqual(['applied', 'dropped']);
    expect(forge.events).toMatchObject([{ pushId: 1, changes: [{ ref: 'refs/heads/main' }] }]);
  });
});

describe('R4 A66 what touches .jobpass/', () => {
  const touched = async (...refspecs: string[]): Promise<boolean[]> => {
    const { decide, seen } = watching();
    http.decide = decide;
    await ok(work, 'push', '-q', '--force', 'origin', ...refspecs);
    return seen.map(({ touchesJobpass }) => touchesJobpass);
  };
  beforeEach(async () => {
    await commit('.jobpass/ceiling.yml');
    await commit('readme');
    await ok(work, 'push', '-q', 'origin', 'main');
  });

  test('nothing else does', async () => {
    await commit('jobpass/x');
    await commit('sub/.jobpass.txt');
    expect(await touched('main', 'main:new')).toEqual([false, false]);
  });
  test('a change, on a new branch as well', async () => {
    await commit('.jobpass/ceiling.yml', 'wider');
    expect(await touched('main:new')).toEqual([true]);
  });
  test('a change that a later commit takes back', async () => {
    await commit('.jobpass/x');
    await ok(work, 'revert', '--no-edit', 'HEAD');
    expect(await touched('main')).toEqual([true]);
  });
  test('another spelling of the name', async () => {
    await commit('.JobPass/x');
    expect(await touched('main')).toEqual([true]);
  });
  test('a deletion', async () => {
    await ok(work, 'rm', '-q', '.jobpass/ceiling.yml');
    await ok(work, 'commit', '-q', '-m', 'gone');
    expect(await touched('main')).toEqual([true]);
  });
  test('a rename into it', async () => {
    await ok(work, 'mv', 'readme', '.jobpass/readme');
    await ok(work, 'commit', '-q', '-m', 'moved');
    expect(await touched('main')).toEqual([true]);
  });
  test('a merge whose side touches it, or that does itself', async () => {
    await ok(work, 'checkout', '-q', '-b', 'side');
    await commit('.jobpass/side');
    await ok(work, 'checkout', '-q', 'main');
    await commit('other');
    await ok(work, 'merge', '-q', '-s', 'ours', '--no-edit', 'side');
    expect(await touched('main:new')).toEqual([true]);
    await ok(work, 'reset', '-q', '--hard', 'HEAD^');
    await ok(work, 'checkout', '-q', '-b', 'clean', 'main^');
    await commit('clean');
    await ok(work, 'merge', '-q', '--no-commit', '--no-ff', 'main');
    await commit('.jobpass/evil');
    expect(await touched('clean')).toEqual([true]);
  });
  test('setting a branch back to where it was different, without a new commit', async () => {
    const old = await ok(work, 'rev-parse', 'HEAD');
    await commit('.jobpass/more');
    await ok(work, 'push', '-q', 'origin', 'main');
    expect(await touched(`${old}:main`)).toEqual([true]);
  });
});
