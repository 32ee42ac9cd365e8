import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseDigest } from '../../../src/base/digest.ts';
import { chunkOffset } from '../../../src/doors/registry/blobs.ts';
import { parseScopes } from '../../../src/doors/registry/challenge.ts';
import { isRepositoryName, isTag, parseRegistryPath, placeOf } from '../../../src/doors/registry/names.ts';

const part = fc.stringMatching(/^[a-z0-9]{1,6}(?:(?:\.|_|__|-{1,3})[a-z0-9]{1,6}){0,2}$/);
const name = fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('/'));
const hex = fc.stringMatching(/^[0-9a-f]{64}$/);
const digest = hex.map((digits) => `sha256:${digits}`);
const tag = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/);

describe('R13 what a registry client sends is read strictly', () => {
  test('every path that is made of a name, a digest, a tag or an id is read as what it was made of', () => {
    fc.assert(
      fc.property(name, digest, tag, (where, sum, label) => {
        expect(parseRegistryPath(`/v2/${where}/blobs/${sum}`)).toEqual({ kind: 'blob', name: where, digest: sum });
        expect(parseRegistryPath(`/v2/${where}/referrers/${sum}`)).toEqual({ kind: 'referrers', name: where, digest: sum });
        expect(parseRegistryPath(`/v2/${where}/manifests/${sum}`)).toEqual({ kind: 'manifest', name: where, reference: sum });
        expect(parseRegistryPath(`/v2/${where}/manifests/${label}`)).toEqual({ kind: 'manifest', name: where, reference: label });
        expect(parseRegistryPath(`/v2/${where}/tags/list`)).toEqual({ kind: 'tags', name: where });
        expect(parseRegistryPath(`/v2/${where}/blobs/uploads/`)).toEqual({ kind: 'uploads', name: where });
        expect(parseRegistryPath(`/v2/${where}/blobs/uploads/${label}`)).toEqual({ kind: 'upload', name: where, id: label });
      }),
    );
  });

  test('whatever the path, the name in the answer is one that the specification allows', () => {
    const piece = fc.oneof(
      part,
      fc.string({ maxLength: 8 }),
      fc.constantFrom('blobs', 'manifests', 'tags', 'list', 'uploads', '..', '_catalog'),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const read = parseRegistryPath(`/v2/${pieces.join('/')}`);
        if (read !== undefined && 'name' in read) expect(isRepositoryName(read.name)).toBe(true);
      }),
    );
  });

  test.each(['Upper/case', '-a/b', 'a/-b', 'a//b', 'a/b/', '/a', 'a..b', 'a.', 'a___b', 'a b', 'ä', '', 'a'.repeat(256)])(
    'no name: %j',
    (text) => {
      expect(isRepositoryName(text)).toBe(false);
    },
  );

  test.each(['', '.a', '-a', 'a b', 'a'.repeat(129), 'a:b', 'a/b'])('no tag: %j', (text) => {
    expect(isTag(text)).toBe(false);
  });

  test('a digest is a served algorithm and all of its digits in lower case', () => {
    fc.assert(
      fc.property(hex, (digits) => {
        expect(parseDigest(`sha256:${digits}`)).toBe(`sha256:${digits}`);
        expect(parseDigest(`sha512:${digits}${digits}`)).toBe(`sha512:${digits}${digits}`);
        for (const wrong of [
          `sha256:${digits}0`,
          `sha256:${digits.slice(1)}`,
          `sha512:${digits}`,
          `sha1:${digits}`,
          digits,
          `sha256:${digits}\n`,
        ])
          expect(parseDigest(wrong)).toBeUndefined();
      }),
    );
  });

  test('scopes: several in one, or several times; actions that nobody knows are dropped, and with them scopes of nothing', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(name, fc.subarray(['pull', 'push', 'delete'] as const, { minLength: 1 })), { maxLength: 8 }),
        (wanted) => {
          const texts = wanted.map(([where, actions]) => `repository:${where}:${actions.join(',')}`);
          const read = wanted.map(([where, actions]) => ({ name: where, actions }));
          expect(parseScopes(texts)).toEqual(read);
          expect(parseScopes([texts.join(' ')])).toEqual(read);
        },
      ),
    );
    expect(parseScopes(['repository:a/b:*'])).toEqual([{ name: 'a/b', actions: ['pull', 'push', 'delete'] }]);
    for (const nothing of ['registry:catalog:*', 'repository:a/b:', 'repository:a/b:sudo', 'repository:A/b:pull', 'repository:a/b', 'x'])
      expect(parseScopes([nothing])).toEqual([]);
    expect(parseScopes(Array.from({ length: 21 }, () => 'repository:a/b:pull'))).toBeUndefined();
  });

  test('scopes of any text never name a repository that could not be', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 60 }), { maxLength: 6 }), (texts) => {
        for (const one of parseScopes(texts) ?? []) expect(isRepositoryName(one.name)).toBe(true);
      }),
    );
  });

  test('a chunk says where it starts, and has just the bytes that it says', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat({ max: 1e6 }), (first, more) => {
        expect(chunkOffset(`${first}-${first + more}`, String(more + 1))).toBe(first);
        expect(chunkOffset(`${first}-${first + more}`, undefined)).toBe(first);
        expect(() => chunkOffset(`${first}-${first + more}`, String(more + 2))).toThrow();
        expect(() => chunkOffset(`${first + more + 1}-${first}`, undefined)).toThrow();
      }),
    );
    expect(chunkOffset(undefined, '5')).toBeUndefined();
    for (const wrong of ['', '5', '-5', '5-', 'bytes 0-4', 'bytes=0-4', '0-4/5', '0x0-4', ' 0-4'])
      expect(() => chunkOffset(wrong, undefined), wrong).toThrow();
  });

  test('R13 a name of many parts costs no more look-ups than the deepest project has', async () => {
    const asked: string[] = [];
    const directory = { projectByPath: (_tx: unknown, path: string) => Promise.resolve(void asked.push(path)) };
    const deepest = Array.from({ length: 21 }, () => 'g').join('/');
    expect(await placeOf(directory, `${deepest}/image/and/more`)).toMatchObject({ projectId: 0 });
    expect([asked[0], asked.length]).toEqual([deepest, 20]);
    asked.length = 0;
    await placeOf(directory, Array.from({ length: 127 }, () => 'g').join('/'));
    expect(asked).toHaveLength(20);
  });
});
