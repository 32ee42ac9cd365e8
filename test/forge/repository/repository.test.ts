import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { JobpassError } from '../../../src/base/errors.ts';
import type { Oid } from '../../../src/base/ids.ts';
import { checkPath, readablePath } from '../../../src/forge/embedded/repository/names.ts';
import type { Commit } from '../../../src/forge/forge.ts';
import type { CommitAction } from '../../../src/forge/repository.ts';
import { allowAll, type EmbeddedGit, grantFor, project, pushers, startEmbeddedGit, watching } from '../../support/embedded-git.ts';
import { client, ok } from '../../support/git-http.ts';

let forge: EmbeddedGit;
const author = { name: 'Ada', email: 'ada@example.org' };
const page = { page: 1, perPage: 20 };
const grant = grantFor();

beforeEach(async () => {
  forge = await startEmbeddedGit();
});
afterEach(async () => {
  await forge.close();
});

const create = (path: string, content = path): CommitAction => ({ action: 'create', path, content: Buffer.from(content) });
function commit(actions: readonly CommitAction[], branch = 'main', startRef?: string): Promise<Commit> {
  const request = { branch, message: 'A title\n\nand a body', actions, author, ...(startRef === undefined ? {} : { startRef }) };
  return forge.repository.createCommit(grant, project, request, allowAll);
}
const tips = (): Promise<string> => ok(forge.path, 'for-each-ref', '--format=%(refname)');

describe('commits over the API', () => {
  test('the first one makes the branch; it is logged and told like a push', async () => {
    const { decide, seen } = watching();
    const request = { branch: 'main', message: 'one', actions: [create('a'), create('dir/ü 文', 'text')], author };
    const made = await forge.repository.createCommit(grant, project, request, decide);
    expect(made).toMatchObject({ title: 'one', authorName: 'Ada', authorEmail: 'ada@example.org', parentIds: [] });
    expect(seen).toMatchObject([{ ref: 'refs/heads/main', kind: 'create', newOid: made.id, touchesJobpass: false }]);
    expect(forge.log).toMatchObject([{ state: 'applied', handled: true, pushers, commits: [made.id] }]);
    expect(forge.events).toMatchObject([{ changes: [{ ref: 'refs/heads/main', newOid: made.id }] }]);
    expect(await ok(forge.path, 'rev-parse', 'main')).toBe(made.id);
    await ok(forge.path, 'fsck', '--strict');
    expect(await readdir(join(forge.folder, 'scratch'))).toEqual([]);
  });

  test('update, move, chmod and delete, each on the state that the one before left', async () => {
    await commit([create('a'), create('b'), create('run.sh')]);
    const made = await commit([
      { action: 'update', path: 'a', content: Buffer.from('new') },
      { action: 'move', path: 'moved/b', previousPath: 'b' },
      { action: 'chmod', path: 'run.sh', executable: true },
      create('c'),
      { action: 'delete', path: 'c' },
      { action: 'delete', path: 'a' },
      create('a/inside'),
      { action: 'create', path: 'empty' },
    ]);
    const { rows } = await forge.repository.tree(grant, project, { recursive: true }, page);
    expect(rows.filter(({ type }) => type === 'blob').map(({ path, mode }) => `${mode} ${path}`)).toEqual([
      '100644 a/inside',
      '100644 empty',
      '100644 moved/b',
      '100755 run.sh',
    ]);
    expect(made).toMatchObject({ title: 'A title', message: 'A title\n\nand a body' });
    expect(await ok(forge.path, 'show', 'main:moved/b')).toBe('b');
  });

  test('what does not fit the state is refused, and nothing moves', async () => {
    const first = await commit([create('a')]);
    const refused: CommitAction[] = [
      create('a'),
      { action: 'update', path: 'none', content: Buffer.from('') },
      { action: 'delete', path: 'none' },
      { action: 'move', path: 'x', previousPath: 'none' },
      { action: 'update', path: 'a', content: Buffer.from(''), lastCommitId: '0'.repeat(40) },
    ];
    for (const action of refused) await expect(commit([action])).rejects.toBeInstanceOf(JobpassError);
    await expect(commit([create('b')], 'other')).rejects.toMatchObject({ code: 'invalid_input' });
    await expect(commit([create('b')], 'main', 'v1')).rejects.toMatchObject({ code: 'invalid_input' });
    expect(await ok(forge.path, 'rev-parse', 'main')).toBe(first.id);
    await commit([create('b')], 'other', 'main');
    await commit([{ action: 'update', path: 'a', content: Buffer.from('2'), lastCommitId: first.id }]);
  });

  test('R4 what touches .jobpass/ is seen, and a refusal moves nothing', async () => {
    const { decide, seen } = watching();
    const request = { branch: 'main', message: 'x', actions: [create('.jobpass/ceiling.yml')], author };
    const refuse: typeof decide = async (changes) => {
      await decide(changes);
      return changes.map(({ ref }) => ({ ref, allowed: false, message: 'not below .jobpass/' }));
    };
    await expect(forge.repository.createCommit(grant, project, request, refuse)).rejects.toMatchObject({
      code: 'access_denied',
      message: 'not below .jobpass/',
    });
    expect(seen).toMatchObject([{ touchesJobpass: true }]);
    expect(await tips()).toBe('');
    expect(forge.log).toEqual([]);
    expect(forge.events).toEqual([]);
  });

  test('R2 the grant is asked at the lock; a no moves nothing', async () => {
    let asked = 0;
    const dying = grantFor({
      confirm: async () => {
        asked += 1;
        if (asked > 1) throw new JobpassError('pass_dead');
      },
    });
    const request = { branch: 'main', message: 'x', actions: [create('a')], author };
    await expect(forge.repository.createCommit(dying, project, request, allowAll)).rejects.toMatchObject({ code: 'pass_dead' });
    expect(await tips()).toBe('');
    expect(forge.log).toMatchObject([{ state: 'dropped' }]);
    expect(forge.events).toEqual([]);
  });

  test('A39 paths that lead out of the tree or into .git are refused', async () => {
    for (const path of [
      '../x',
      '/x',
      'a/../x',
      '.git/config',
      'a/.GIT/x',
      'git~1/x',
      '.git. /x',
      '.g\u200cit/x',
      'a//b',
      '',
      './x',
      'a\0b',
    ])
      await expect(commit([create(path)])).rejects.toMatchObject({ code: 'invalid_input' });
    expect(await tips()).toBe('');
  });

  test('A39 a checked path never has a dangerous part', () => {
    const part = fc.oneof(fc.constantFrom('..', '.', '.git', '.GIT', '', 'a', '-x', ':(top)', '*'), fc.string({ unit: 'grapheme' }));
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), (parts) => {
        const path = parts.join('/');
        try {
          checkPath(path);
        } catch {
          return;
        }
        expect(path.split('/').some((one) => ['', '.', '..', '.git'].includes(one.toLowerCase()))).toBe(false);
        expect(readablePath(path)).toBe(path);
      }),
    );
  });
});

describe('branches and tags', () => {
  test('are made, listed, read and deleted', async () => {
    forge.rules.push({ kind: 'branch', pattern: 'main', pushLevel: 40, mergeLevel: 40, allowForcePush: false });
    const first = await commit([create('a')]);
    expect(await forge.repository.createBranch(grant, project, 'feature/x', 'main', allowAll)).toMatchObject({
      name: 'feature/x',
      commit: { id: first.id },
      protected: false,
      default: false,
      merged: true,
    });
    const second = await commit([create('b')], 'feature/x');
    const { rows, total } = await forge.repository.branches(grant, project, undefined, page);
    expect(total).toBe(2);
    expect(rows).toMatchObject([
      { name: 'feature/x', commit: { id: second.id }, merged: false, default: false, protected: false },
      { name: 'main', commit: { id: first.id }, merged: false, default: true, protected: true },
    ]);
    expect((await forge.repository.branches(grant, project, 'FEAT', { page: 1, perPage: 1 })).total).toBe(1);
    await forge.repository.deleteBranch(grant, project, 'feature/x', allowAll);
    expect(await forge.repository.branch(grant, project, 'feature/x')).toBeUndefined();

    const plain = await forge.repository.createTag(grant, project, 'v1', 'main', undefined, author, allowAll);
    expect(plain).toMatchObject({ name: 'v1', message: '', target: first.id, commit: { id: first.id } });
    const annotated = await forge.repository.createTag(grant, project, 'v2', first.id, 'Two\n\nlines', author, allowAll);
    expect(annotated).toMatchObject({ name: 'v2', message: 'Two\n\nlines', commit: { id: first.id } });
    expect(annotated.target).not.toBe(first.id);
    expect((await forge.repository.tags(grant, project, undefined, page)).rows.map(({ name }) => name)).toEqual(['v2', 'v1']);
    await forge.repository.deleteTag(grant, project, 'v1', allowAll);
    expect(await forge.repository.tag(grant, project, 'v1')).toBeUndefined();
    expect(forge.events).toHaveLength(7);
    await ok(forge.path, 'fsck', '--strict');
  });

  test('what is there or is not there is said so', async () => {
    await commit([create('a')]);
    await expect(forge.repository.createBranch(grant, project, 'main', 'main', allowAll)).rejects.toMatchObject({ code: 'invalid_input' });
    await expect(forge.repository.createBranch(grant, project, 'x', 'none', allowAll)).rejects.toMatchObject({ code: 'invalid_input' });
    await expect(forge.repository.deleteBranch(grant, project, 'none', allowAll)).rejects.toMatchObject({ code: 'not_found' });
    await expect(forge.repository.deleteTag(grant, project, 'none', allowAll)).rejects.toMatchObject({ code: 'not_found' });
  });

  test('A39 names that git or a shell could read otherwise are refused', async () => {
    await commit([create('a')]);
    for (const name of ['-x', '', 'HEAD', 'a..b', 'a b', 'a~1', 'refs/tags/v1', 'a.lock', '../x', 'x'.repeat(2000), '--upload-pack=x'])
      await expect(forge.repository.createBranch(grant, project, name, 'main', allowAll)).rejects.toMatchObject({ code: 'invalid_input' });
    for (const ref of ['--all', 'main^', 'main:a', '@{-1}', 'HEAD', ':/a', '-x'])
      expect(await forge.repository.resolve(grant, project, ref)).toBeUndefined();
    expect(await tips()).toBe('refs/heads/main');
  });

  test('A39 a branch named like a tag is not that tag', async () => {
    const made = await commit([create('a')]);
    // Older repositories may hold such a name; ours refuse it.
    await ok(forge.path, 'update-ref', 'refs/heads/refs/tags/v1', made.id);
    expect(await forge.repository.resolve(grant, project, 'v1')).toBeUndefined();
    expect(await forge.repository.tag(grant, project, 'v1')).toBeUndefined();
  });
});

describe('reads', () => {
  test('A39 a branch is found as a file of its own, packed, symbolic, and by no other name than its own', async () => {
    const made = await commit([create('a')]);
    const tag = await ok(forge.path, '-c', 'user.name=a', '-c', 'user.email=a@b', 'tag', '-a', '-m', 'x', 'twin', made.id).then(() =>
      ok(forge.path, 'rev-parse', 'refs/tags/twin'),
    );
    await ok(forge.path, 'symbolic-ref', 'refs/heads/other', 'refs/heads/main');
    const found = async (name: string) => (await forge.repository.resolve(grant, project, name)) ?? 'nothing';
    const everywhere = async (): Promise<void> => {
      expect(await found('main')).toEqual({ oid: made.id, ref: 'refs/heads/main' });
      expect(await found('other')).toEqual({ oid: made.id, ref: 'refs/heads/other' });
      expect(await found('twin')).toEqual({ oid: made.id, ref: 'refs/tags/twin' });
      for (const name of ['Main', 'mai', 'main/main', 'main/..', './main', '../heads/main', 'main.lock', '../../HEAD', '../../config'])
        expect(await found(name)).toBe('nothing');
    };
    await everywhere();
    await ok(forge.path, 'pack-refs', '--all');
    await everywhere();
    expect(await forge.repository.branch(grant, project, 'main')).toMatchObject({ name: 'main', commit: { id: made.id } });
    expect(await forge.repository.tag(grant, project, 'twin')).toMatchObject({ name: 'twin', target: tag, message: 'x' });
  });

  test('tree, file, blob, text', async () => {
    const first = await commit([create('a', 'text'), create('dir/b'), create('dir/sub/c')]);
    const second = await commit([create('later')]);
    const { rows, total } = await forge.repository.tree(grant, project, { path: 'dir', recursive: false }, page);
    expect(total).toBe(2);
    expect(rows).toMatchObject([
      { name: 'b', path: 'dir/b', type: 'blob', mode: '100644' },
      { name: 'sub', path: 'dir/sub', type: 'tree', mode: '040000' },
    ]);
    const file = await forge.repository.file(grant, project, 'a', undefined);
    expect(file).toMatchObject({ path: 'a', commitId: second.id, lastCommitId: first.id, sizeBytes: 4, executable: false });
    expect(file.sha256).toBe('982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1');
    const { sizeBytes, body } = await forge.repository.blob(grant, project, file.blobId);
    expect(sizeBytes).toBe(4);
    expect((await buffer(body)).toString()).toBe('text');
    expect(await forge.repository.textFile(grant, project, first.id, 'dir/b', 100)).toBe('dir/b');
    expect(await forge.repository.textFile(grant, project, first.id, 'later', 100)).toBeUndefined();
    await expect(forge.repository.textFile(grant, project, first.id, 'dir/b', 2)).rejects.toMatchObject({ code: 'too_large' });
  });

  test('what is not there', async () => {
    await expect(forge.repository.tree(grant, project, { recursive: false }, page)).rejects.toMatchObject({ code: 'not_found' });
    const made = await commit([create('a')]);
    for (const path of ['../a', '/a', 'none', ':(top)a', '*', ''])
      await expect(forge.repository.file(grant, project, path, 'main')).rejects.toMatchObject({ code: 'not_found' });
    await expect(forge.repository.file(grant, project, 'a', 'none')).rejects.toMatchObject({
      code: 'not_found',
      detail: { what: 'Commit' },
    });
    await expect(forge.repository.blob(grant, project, made.id)).rejects.toMatchObject({ code: 'not_found' });
    await expect(forge.repository.blob(grant, project, '1'.repeat(40) as Oid)).rejects.toMatchObject({ code: 'not_found' });
    expect(await forge.repository.textFile(grant, project, made.id, '../../etc/passwd', 100)).toBeUndefined();
    expect(await forge.repository.commit(grant, project, '1'.repeat(40))).toBeUndefined();
  });

  test('commits: pages, one path, short shas, annotated tags', async () => {
    const first = await commit([create('a')]);
    const second = await commit([create('b')]);
    await forge.repository.createTag(grant, project, 'v1', first.id, 'one', author, allowAll);
    expect(await forge.repository.commits(grant, project, {}, { page: 2, perPage: 1 })).toMatchObject({
      rows: [{ id: first.id }],
      total: 2,
    });
    expect(await forge.repository.commits(grant, project, { path: 'b' }, page)).toMatchObject({ rows: [{ id: second.id }], total: 1 });
    expect((await forge.repository.commit(grant, project, first.id.slice(0, 8)))?.id).toBe(first.id);
    expect(await forge.repository.resolve(grant, project, 'v1')).toEqual({ oid: first.id, ref: 'refs/tags/v1' });
    expect(await forge.repository.resolve(grant, project, 'refs/heads/main')).toEqual({ oid: second.id, ref: 'refs/heads/main' });
  });

  test('paths of a commit, and what differs between two', async () => {
    const first = await commit([create('a'), create('dir/b')]);
    const second = await commit([{ action: 'move', path: 'dir/c', previousPath: 'dir/b' }, create('d')]);
    const side = await commit([create('side')], 'side', first.id);
    const { repository } = forge;
    expect(await repository.paths(grant, project, second.id, 10)).toEqual(['a', 'd', 'dir/c']);
    expect(await repository.paths(grant, project, second.id, 2)).toBeNull();
    const changed = (from: Oid, to: Oid, sinceFork: boolean, limit = 10) =>
      repository.changedPaths(grant, project, { from, to, sinceFork }, limit);
    expect(await changed(first.id, second.id, false)).toEqual(['d', 'dir/b', 'dir/c']);
    expect(await changed(first.id, second.id, false, 2)).toBeNull();
    expect(await changed(second.id, side.id, true)).toEqual(['side']);
    expect(await changed(second.id, side.id, false)).toEqual(['d', 'dir/b', 'dir/c', 'side']);
    for (const sinceFork of [true, false]) expect(await changed('1'.repeat(40) as Oid, second.id, sinceFork)).toBe('unrelated');
    await expect(repository.paths(grant, project, '1'.repeat(40) as Oid, 10)).rejects.toMatchObject({ code: 'not_found' });
  });

  test('R3 unprotected commits stop at protected branches and tags; null past the limit', async () => {
    forge.rules.push({ kind: 'branch', pattern: 'main', pushLevel: 40, mergeLevel: 40, allowForcePush: false });
    forge.rules.push({ kind: 'tag', pattern: 'v*', pushLevel: 40, mergeLevel: 40, allowForcePush: false });
    await commit([create('a')]);
    const side = await commit([create('b')], 'side', 'main');
    const later = await commit([create('c')], 'side');
    const commits = (limit: number): Promise<readonly Oid[] | null> => forge.repository.unprotectedCommits(grant, project, later.id, limit);
    expect(await commits(10)).toEqual([later.id, side.id]);
    expect(await commits(1)).toBeNull();
    const bases = (sha: Oid) => forge.repository.protectedBases(grant, project, sha);
    expect(await bases(later.id)).toEqual(['refs/heads/main']);
    await forge.repository.createTag(grant, project, 'v1', side.id, undefined, author, allowAll);
    expect(await commits(10)).toEqual([later.id]);
    expect(await bases(later.id)).toEqual(['refs/tags/v1']);
    expect(await bases(side.id)).toEqual(['refs/tags/v1']);
    await ok(forge.path, 'update-ref', 'refs/heads/main', later.id);
    expect(await commits(10)).toEqual([]);
    for (const sha of [later.id, side.id]) expect(await bases(sha)).toEqual(['refs/heads/main']);
    const alone = await ok(forge.path, 'commit-tree', '-m', 'alone', `${later.id}^{tree}`);
    expect(await bases(alone as Oid)).toEqual([]);
  });

  test('a grant for something else does not pass', async () => {
    await expect(forge.repository.tree(grantFor({ permissions: ['tag:read'] }), project, { recursive: false }, page)).rejects.toMatchObject(
      {
        code: 'internal',
      },
    );
    const request = { branch: 'main', message: 'x', actions: [create('a')], author };
    await expect(
      forge.repository.createCommit(grantFor({ permissions: ['repository:read'] }), project, request, allowAll),
    ).rejects.toMatchObject({ code: 'internal' });
    expect((await client(forge.path, 'rev-parse', '--verify', 'main')).code).not.toBe(0);
  });
});
