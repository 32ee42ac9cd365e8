import { chmod, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { limits } from '../../../src/base/limits.ts';
import type { Commit } from '../../../src/forge/forge.ts';
import type { CommitAction } from '../../../src/forge/repository.ts';
import { allowAll, type EmbeddedGit, grantFor, project, startEmbeddedGit } from '../../support/embedded-git.ts';
import { ok } from '../../support/git-http.ts';

let forge: EmbeddedGit;
let work: string;
const grant = grantFor();

beforeEach(async () => {
  forge = await startEmbeddedGit();
  work = join(forge.folder, 'work');
  await ok(forge.folder, 'init', '-q', '-b', 'main', work);
});
afterEach(async () => {
  await forge.close();
});

const create = (path: string, content: string | Buffer = path): CommitAction => ({ action: 'create', path, content: Buffer.from(content) });
function commit(actions: readonly CommitAction[], author = { name: 'Ada', email: 'ada@example.org' }): Promise<Commit> {
  return forge.repository.createCommit(grant, project, { branch: 'main', message: 'one', actions, author }, allowAll);
}

/** Writes files beside what is there, commits all, and gives the tree's id. */
async function treeOf(files: Readonly<Record<string, string | Buffer>>): Promise<string> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(work, path, '..'), { recursive: true });
    await writeFile(join(work, path), content);
  }
  await ok(work, 'add', '--all');
  await ok(work, '-c', 'user.name=a', '-c', 'user.email=a@b', 'commit', '-q', '-m', 'work');
  return ok(work, 'rev-parse', 'HEAD^{tree}');
}
const tree = (): Promise<string> => ok(forge.path, 'rev-parse', 'main^{tree}');

describe('a commit over the API is what git would have made', () => {
  test('beside links, submodules, programs and names that are not UTF-8, in the order of git', async () => {
    await symlink('nowhere', join(work, 'link'));
    await writeFile(Buffer.concat([Buffer.from(`${work}/caf`), Buffer.from([0xe9])]), 'latin-1');
    await writeFile(join(work, 'run.sh'), 'run');
    await chmod(join(work, 'run.sh'), 0o755);
    await ok(work, 'update-index', '--add', '--cacheinfo', `160000,${'1'.repeat(40)},module`);
    await treeOf({ 'a/x': 'x', 'a.b': 'b', a0: '0', 'gone/only': 'o', 'deep/er/still/y': 'y' });
    await ok(forge.path, 'fetch', '-q', work, 'main:main');
    await commit([
      create('a/y'),
      create('a-b'),
      create('a1/z'),
      create('deep/er/z'),
      { action: 'update', path: 'run.sh', content: Buffer.from('walk') },
      { action: 'delete', path: 'gone/only' },
    ]);
    await rm(join(work, 'gone'), { recursive: true });
    expect(await tree()).toBe(await treeOf({ 'a/y': 'a/y', 'a-b': 'a-b', 'a1/z': 'a1/z', 'deep/er/z': 'deep/er/z', 'run.sh': 'walk' }));
    await ok(forge.path, 'fsck', '--strict');
  });

  test('from nothing, to nothing, and a file of many sizes', async () => {
    const sizes = [0, 1, 15, 16, 2047, 2048, 300_000];
    const contents = sizes.map((size) => Buffer.alloc(size, size % 251));
    const files = Object.fromEntries(contents.map((content) => [`f${content.length}`, content]));
    await commit(Object.entries(files).map(([path, content]) => create(path, content)));
    expect(await tree()).toBe(await treeOf(files));
    await ok(forge.path, 'fsck', '--strict');
    await commit(Object.keys(files).map((path) => ({ action: 'delete', path })));
    expect(await ok(forge.path, 'ls-tree', '-r', 'main')).toBe('');
  });

  test('where a name goes from file to folder, and from folder to file', async () => {
    await commit([create('a'), create('b/c/d'), create('b/e')]);
    await commit([
      { action: 'delete', path: 'a' },
      create('a/inside'),
      { action: 'delete', path: 'b/c/d' },
      { action: 'move', path: 'b/c', previousPath: 'b/e' },
    ]);
    expect(await tree()).toBe(await treeOf({ 'a/inside': 'a/inside', 'b/c': 'b/e' }));
  });

  test('by a person whose name git would not take whole', async () => {
    const made = await commit([create('a')], { name: '  Ada <b>\nL., ', email: '<ada@example.org>' });
    expect(made).toMatchObject({ authorName: 'Ada bL', authorEmail: 'ada@example.org', committerName: 'Ada bL' });
    expect(await commit([create('b')], { name: '<>', email: 'b@example.org' })).toMatchObject({ authorName: 'b@example.org' });
    await ok(forge.path, 'fsck', '--strict');
  });

  test('of not too many folders', async () => {
    const deep = Array.from({ length: 2000 }, () => 'd').join('/');
    const actions = Array.from({ length: limits.foldersPerCommit / 1000 }, (_none, index) => create(`${index}/${deep}`));
    await expect(commit(actions)).rejects.toMatchObject({ code: 'too_large' });
  });
});
