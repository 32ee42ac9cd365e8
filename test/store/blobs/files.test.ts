import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Blobs } from '../../../src/ports/blobs.ts';
import { fileBlobs, pathOfKey } from '../../../src/store/blobs/files.ts';

let root: string;
let blobs: Blobs;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'jobpass-test-blobs-'));
  blobs = fileBlobs(root);
});
afterEach(() => rm(root, { recursive: true, force: true }));

const files = async (): Promise<string[]> =>
  (await readdir(root, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).map((entry) => entry.name);

test('what was written is read back, with its size and hash; the owner alone may read it', async () => {
  const bytes = randomBytes(3 * 1024 * 1024 + 17);
  const body = Readable.from([bytes.subarray(0, 100), bytes.subarray(100)]);
  const stored = await blobs.write('artifacts/17/archive.zip', body, bytes.length);
  expect(stored).toEqual({ sizeBytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') });
  const opened = await blobs.open('artifacts/17/archive.zip');
  expect(opened.sizeBytes).toBe(bytes.length);
  expect((await buffer(opened.body)).equals(bytes)).toBe(true);
  expect((await stat(join(root, 'artifacts/17/archive.zip'))).mode & 0o777).toBe(0o600);
});

test('a second write replaces the first; a removed blob is gone, and may be removed again', async () => {
  await blobs.write('a/b', Readable.from([Buffer.from('one')]), 10);
  await blobs.write('a/b', Readable.from([Buffer.from('two!')]), 10);
  expect((await buffer((await blobs.open('a/b')).body)).toString()).toBe('two!');
  await blobs.remove('a/b');
  await blobs.remove('a/b');
  await expect(blobs.open('a/b')).rejects.toThrow(expect.objectContaining({ code: 'not_found' }));
  await expect(blobs.open('a')).rejects.toThrow(expect.objectContaining({ code: 'not_found' }));
});

test('what is moved stands under its new key alone, in place of what was there', async () => {
  await blobs.write('a/b', Readable.from([Buffer.from('one')]), 10);
  await blobs.write('c/d', Readable.from([Buffer.from('two')]), 10);
  await blobs.move('a/b', 'c/d');
  expect([await files(), (await buffer((await blobs.open('c/d')).body)).toString()]).toEqual([['d'], 'one']);
  await expect(blobs.move('a/b', 'c/d')).rejects.toThrow(expect.objectContaining({ code: 'not_found' }));
});

test('too much, or a body that breaks off, leaves nothing behind, and what was there stays', async () => {
  await blobs.write('a/b', Readable.from([Buffer.from('kept')]), 4);
  const large = blobs.write('a/b', Readable.from([Buffer.from('12345')]), 4);
  await expect(large).rejects.toThrow(expect.objectContaining({ code: 'too_large' }));
  const broken = Readable.from(
    (async function* () {
      yield Buffer.from('half');
      await Promise.reject(new Error('the client went away'));
    })(),
  );
  await expect(blobs.write('a/b', broken, 100)).rejects.toThrow('the client went away');
  expect(await files()).toEqual(['b']);
  expect((await buffer((await blobs.open('a/b')).body)).toString()).toBe('kept');
});

test('A39 a key never leads out of the folder', () => {
  const part = fc.constantFrom('..', '.', '/', 'a', 'artifacts', '\0', '\\', ' ', '%2e', '-', '_', '\n', 'Ä');
  fc.assert(
    fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
      const key = parts.join('');
      try {
        expect(pathOfKey('/root/x', key).startsWith('/root/x/')).toBe(true);
        expect(key).not.toMatch(/\.\.|\0|\\|^\/|\s/);
      } catch (error) {
        expect(error).toMatchObject({ code: 'invalid_input' });
      }
    }),
  );
  for (const key of ['', '/a', 'a/', 'a//b', '../a', 'a/../b', 'a\0', 'a\n', 'x'.repeat(201)])
    expect(() => pathOfKey('/root/x', key), JSON.stringify(key)).toThrow(expect.objectContaining({ code: 'invalid_input' }));
});
