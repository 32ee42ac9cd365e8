import { execFileSync } from 'node:child_process';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Commit } from '../../../src/forge/forge.ts';
import type { CommitAction } from '../../../src/forge/repository.ts';
import { allowAll, type EmbeddedGit, grantFor, project, startEmbeddedGit } from '../../support/embedded-git.ts';
import { ok } from '../../support/git-http.ts';

let forge: EmbeddedGit;
const grant = grantFor();
beforeEach(async () => {
  forge = await startEmbeddedGit();
});
afterEach(async () => {
  await forge.close();
});

const action = (kind: 'create' | 'update', path: string, content: string | Buffer): CommitAction => ({
  action: kind,
  path,
  content: Buffer.from(content),
});
function commit(message: string, actions: readonly CommitAction[], branch = 'main', startRef?: string): Promise<Commit> {
  const author = { name: 'Ada', email: 'ada@example.org' };
  const request = { branch, message, actions, author, ...(startRef === undefined ? {} : { startRef }) };
  return forge.repository.createCommit(grant, project, request, allowAll);
}
const compare = (from: string, to: string, straight = false) => forge.repository.compare(grant, project, { from, to, straight });

describe('a comparison', () => {
  test('from where two branches parted, or straight; files that came, went, moved and changed', async () => {
    const text = Array.from({ length: 20 }, (_, at) => `line ${at}\n`).join('');
    await commit('first', [
      action('create', 'a', 'diff --git a/x b/x\none\n'),
      action('create', 'old', text),
      action('create', 'gone', 'x'),
    ]);
    const two = await commit('two', [action('update', 'a', 'diff --git a/x b/x\ntwo\n')], 'side', 'main');
    const three = await commit(
      'three',
      [
        { action: 'move', path: 'new ü', previousPath: 'old' },
        { action: 'delete', path: 'gone' },
        action('create', 'bin', Buffer.from([0, 1, 2])),
        { action: 'create', path: 'empty' },
      ],
      'side',
    );
    await commit('else', [action('create', 'else', 'e')]);
    const found = await compare('main', 'side');
    expect(found.commits.map(({ id }) => id)).toEqual([two.id, three.id]);
    expect(found.sameRef).toBe(false);
    const shown = Object.fromEntries(found.diffs.map(({ newPath, oldPath, kind, text: diff }) => [newPath, [oldPath, kind, diff]]));
    expect(shown).toEqual({
      a: ['a', 'modified', '@@ -1,2 +1,2 @@\n diff --git a/x b/x\n-one\n+two\n'],
      bin: ['bin', 'added', ''],
      empty: ['empty', 'added', ''],
      gone: ['gone', 'deleted', '@@ -1 +0,0 @@\n-x\n\\ No newline at end of file\n'],
      'new ü': ['old', 'renamed', ''],
    });
    expect((await compare('main', 'side', true)).diffs.map(({ newPath }) => newPath)).toContain('else');
    expect(await compare('side', 'side')).toEqual({ commits: [], diffs: [], sameRef: true });
  });

  test('R13 what is no ref, an option or unrelated is not found; too much to tell is told', async () => {
    await commit('first', [action('create', 'a', 'a')]);
    for (const name of ['nowhere', '--output=/tmp/x', 'main..main', 'main^', ''])
      await expect(compare('main', name)).rejects.toMatchObject({ code: 'not_found' });
    const orphan = await ok(forge.path, '-c', 'user.name=a', '-c', 'user.email=a@b', 'commit-tree', '-m', 'x', 'main^{tree}');
    await ok(forge.path, 'update-ref', 'refs/heads/orphan', orphan);
    await expect(compare('main', 'orphan')).rejects.toMatchObject({ code: 'not_found' });
    await commit('large', [action('create', 'large', 'large\n'.repeat(1_000_000))], 'large', 'main');
    expect((await compare('main', 'large')).diffs).toMatchObject([{ newPath: 'large', text: null }]);
  });
});

describe('an archive', () => {
  const archive = async (ref: string | undefined, path = '', format: 'tar.gz' | 'zip' = 'tar.gz') => {
    const { name, body } = await forge.repository.archive(grant, project, { ref, path, format });
    return { name, bytes: await buffer(body) };
  };

  test('has a commit’s files below one folder; a path chooses', async () => {
    const made = await commit('first', [action('create', 'a', 'text'), action('create', 'dir/b', 'b')]);
    const all = await archive('main');
    expect(all.name).toMatch(new RegExp(`^[\\w.-]+-main-${made.id}\\.tar\\.gz$`));
    const folder = all.name.replace('.tar.gz', '');
    const list = (bytes: Buffer): string[] => execFileSync('tar', ['-tzf', '-'], { input: bytes }).toString().trim().split('\n');
    expect(list(all.bytes)).toEqual([`${folder}/`, `${folder}/a`, `${folder}/dir/`, `${folder}/dir/b`]);
    expect(list((await archive('main', 'dir')).bytes).at(-1)).toMatch(/\/dir\/b$/);
    const zip = await archive(made.id.slice(0, 10), '', 'zip');
    expect([zip.name.endsWith('.zip'), zip.bytes.subarray(0, 2).toString()]).toEqual([true, 'PK']);
  });

  test('R13 what is not there, or would be an option, is not found', async () => {
    await commit('first', [action('create', 'a', 'text')]);
    for (const [ref, path] of [
      ['nowhere', ''],
      ['--remote=x', ''],
      ['main', 'b'],
      ['main', '../a'],
      ['main', ':(exclude)a'],
    ] as const)
      await expect(archive(ref, path)).rejects.toMatchObject({ code: 'not_found' });
  });

  test('R2 a pass that dies ends git', async () => {
    await commit('first', [action('create', 'a', Buffer.alloc(4_000_000, 1))]);
    const { body } = await forge.repository.archive(grant, project, { ref: 'main', path: '', format: 'zip' });
    body.destroy();
    await expect(buffer(body)).rejects.toThrow();
  });
});
