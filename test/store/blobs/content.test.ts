import { createHash, hash, pbkdf2, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { appendFile, mkdtemp, open, readdir, rm, utimes } from 'node:fs/promises';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable, Writable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Digest, digestFrom } from '../../../src/base/digest.ts';
import type { JobpassError } from '../../../src/base/errors.ts';
import type { ContentStore } from '../../../src/ports/content.ts';
import { fileContent } from '../../../src/store/blobs/content.ts';

const gib = 1024 ** 3;
let root: string;
let content: ContentStore;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'jobpass-test-content-'));
  content = await fileContent(root);
});
afterAll(async () => {
  await content.close();
  await rm(root, { recursive: true, force: true });
});

const code = (wanted: JobpassError['code']) => expect.objectContaining({ code: wanted });
const digestOf = (bytes: Buffer | string): Digest => digestFrom('sha256', hash('sha256', bytes, 'hex'));
const body = (...parts: readonly (Buffer | string)[]): Readable => Readable.from(parts.map((part) => Buffer.from(part)));
async function store(bytes: Buffer | string, to: ContentStore = content): Promise<Digest> {
  const id = await to.begin('1');
  await to.append('1', id, 0, body(bytes), gib);
  await to.finish('1', id, digestOf(bytes));
  return digestOf(bytes);
}
async function read(digest: Digest, from: ContentStore = content): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of (await from.read(digest)).body) parts.push(part as Buffer);
  return Buffer.concat(parts);
}
const uploadFiles = (): Promise<string[]> => readdir(join(root, 'uploads'));

test('bytes in any pieces come out as they went in, whole and in ranges', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 8 }), fc.nat(), fc.nat(), async (pieces, one, other) => {
      const whole = Buffer.concat(pieces);
      const id = await content.begin('1');
      let at = 0;
      for (const piece of pieces) at = await content.append('1', id, at, body(Buffer.from(piece)), gib);
      expect(at).toBe(whole.length);
      await content.finish('1', id, digestOf(whole));
      expect((await read(digestOf(whole))).equals(whole)).toBe(true);
      if (whole.length === 0) return;
      const [first, last] = [one % whole.length, other % whole.length].toSorted((a, b) => a - b) as [number, number];
      const { body: part } = await content.read(digestOf(whole), { range: { first, last } });
      const taken = new Taken();
      await part.sendTo(taken);
      expect(taken.bytes.equals(whole.subarray(first, last + 1))).toBe(true);
    }),
    { numRuns: 40 },
  );
  expect(await uploadFiles()).toEqual([]);
});

/** Takes its time, so that a buffer that is used again too early shows. */
class Taken extends Writable {
  readonly #parts: Buffer[] = [];
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    setImmediate(() => {
      this.#parts.push(Buffer.from(chunk));
      done();
    });
  }
  get bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

test('the quick way out gives every byte to a slow reader, also several at once', async () => {
  const bytes = randomBytes(5 * 1024 * 1024 + 3);
  const digest = await store(bytes);
  const readers = Array.from({ length: 4 }, () => new Taken());
  await Promise.all(readers.map(async (reader) => (await content.read(digest)).body.sendTo(reader)));
  for (const reader of readers) expect(reader.bytes.equals(bytes)).toBe(true);
});

test('a reader that hangs up ends the quick way out', async () => {
  const digest = await store(randomBytes(16 * 1024 * 1024));
  const ended: Promise<unknown>[] = [];
  const server = createServer((_request, response) => {
    ended.push(content.read(digest).then(({ body: bytes }) => bytes.sendTo(response)));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const request = get({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  const [response] = (await once(request, 'response')) as [Readable];
  await once(response, 'data');
  response.destroy();
  expect(await ended[0]).toBe(false);
  server.close();
});

test('R2 a signal that aborts ends a stream that waits for its reader', async () => {
  const digest = await store(randomBytes(4 * 1024 * 1024));
  const life = new AbortController();
  const { body: bytes } = await content.read(digest, { signal: life.signal });
  const stuck = new PassThrough();
  const sending = bytes.sendTo(stuck);
  await once(stuck, 'readable');
  life.abort();
  await expect(sending).rejects.toEqual(code('pass_dead'));
  const late = await content.read(digest, { signal: life.signal });
  await expect(late.body.sendTo(new PassThrough())).rejects.toEqual(code('pass_dead'));
});

test('what arrived before a cut stays, and the upload goes on from there', async () => {
  const id = await content.begin('1');
  const cut = function* (): Generator<Buffer> {
    yield Buffer.from('before ');
    throw new Error('hung up');
  };
  await expect(content.append('1', id, 0, Readable.from(cut()), gib)).rejects.toThrow('hung up');
  expect(await content.uploaded('1', id)).toBe(7);
  expect(await content.append('1', id, 7, body('after'), gib)).toBe(12);
  expect(await content.finish('1', id, digestOf('before after'))).toBe(12);
});

test('an upload that another process began goes on, and what that one still writes changes nothing', async () => {
  const id = await content.begin('1');
  await content.append('1', id, 0, body('one '), gib);
  const [name = ''] = await uploadFiles();
  // Held open by the first process, as by a request that never ends.
  const held = await open(join(root, 'uploads', name), 'a');
  const next = await fileContent(root);
  expect(await next.uploaded('1', id)).toBe(4);
  expect(await next.append('1', id, 4, body('two'), gib)).toBe(7);
  await held.write('evil');
  await next.finish('1', id, digestOf('one two'));
  await held.write('evil');
  await held.close();
  expect((await read(digestOf('one two'), next)).toString()).toBe('one two');
  await expect(content.append('1', id, undefined, body('x'), gib)).rejects.toEqual(code('not_found'));
});

test('a file that is not as long as what was hashed is read again', async () => {
  const id = await content.begin('1');
  await content.append('1', id, 0, body('one '), gib);
  const [name = ''] = await uploadFiles();
  await appendFile(join(root, 'uploads', name), 'two');
  expect(await content.append('1', id, undefined, body(''), gib)).toBe(7);
  await content.finish('1', id, digestOf('one two'));
});

test('one request at a time writes to an upload', async () => {
  const id = await content.begin('1');
  const slow = new PassThrough();
  const adding = content.append('1', id, 0, slow, gib);
  await expect(content.append('1', id, undefined, body('x'), gib)).rejects.toEqual(code('conflict'));
  await expect(content.finish('1', id, digestOf(''))).rejects.toEqual(code('conflict'));
  await expect(content.discard('1', id)).rejects.toEqual(code('conflict'));
  slow.end('slow');
  expect(await adding).toBe(4);
  expect(await content.discard('1', id)).toBe(true);
});

test('limits and names: too much, unknown ids, other owners', async () => {
  const id = await content.begin('1');
  const much = body('12345', '6');
  await expect(content.append('1', id, 0, much, 5)).rejects.toEqual(code('too_large'));
  expect(much.destroyed).toBe(false);
  for (const [owner, unknown] of [
    ['2', id],
    ['1-a', id],
    ['1', '../../../etc/passwd'],
    ['1', 'a'.repeat(32)],
    ['1', ''],
  ] as const) {
    expect(await content.uploaded(owner, unknown)).toBeUndefined();
    await expect(content.append(owner, unknown, undefined, body('x'), gib)).rejects.toEqual(code('not_found'));
    await expect(content.finish(owner, unknown, digestOf(''))).rejects.toEqual(code('not_found'));
    expect(await content.discard(owner, unknown)).toBe(false);
  }
  expect(await content.discard('1', id)).toBe(true);
});

test('only uploads that nobody went on with are removed', async () => {
  const [idle, fresh, writing] = [await content.begin('1'), await content.begin('1'), await content.begin('1')];
  const old = new Date(Date.now() - 3600_000);
  for (const name of await uploadFiles()) if (!name.startsWith(fresh)) await utimes(join(root, 'uploads', name), old, old);
  const slow = new PassThrough();
  const adding = content.append('1', writing, 0, slow, gib);
  expect(await content.removeIdleUploads(Date.now() - 60_000)).toBe(1);
  expect(await content.uploaded('1', idle)).toBeUndefined();
  expect(await content.uploaded('1', fresh)).toBe(0);
  slow.end('x');
  expect(await adding).toBe(1);
  await Promise.all([fresh, writing].map((id) => content.discard('1', id)));
});

test('content that is retired is out of reach at once, and gone with the trash', async () => {
  const digest = await store('to be retired');
  const { body: reading } = await content.read(digest);
  expect(content.holds(digest)).toBe(true);
  content.retire(digest);
  expect(content.holds(digest)).toBe(false);
  await expect(content.read(digest)).rejects.toEqual(code('not_found'));
  await content.emptyTrash();
  expect(await readdir(join(root, 'trash'))).toEqual([]);
  // Who reads it already reads on.
  const taken = new Taken();
  await reading.sendTo(taken);
  expect(taken.bytes.toString()).toBe('to be retired');
});

test('the age of content is that of its last finish', async () => {
  const digest = await store('aged');
  const listed = async (before: number): Promise<boolean> => {
    for await (const one of content.finishedBefore(before)) if (one === digest) return true;
    return false;
  };
  const old = new Date(Date.now() - 3600_000);
  await utimes(join(root, 'sha256', digest.slice(7, 9), digest.slice(7)), old, old);
  expect(await listed(Date.now() - 60_000)).toBe(true);
  await store('aged');
  expect(await listed(Date.now() - 60_000)).toBe(false);
});

test('a big body is hashed and written in batches', async () => {
  const part = randomBytes(64 * 1024);
  const whole = createHash('sha256');
  const id = await content.begin('1');
  const parts = function* (): Generator<Buffer> {
    for (let at = 0; at < 1200; at += 1) {
      whole.update(part);
      yield part;
    }
  };
  await content.append('1', id, 0, Readable.from(parts()), gib);
  await content.finish('1', id, digestFrom('sha256', whole.digest('hex')));
});

test('closing waits for a flush that is under way', async () => {
  const own = await mkdtemp(join(tmpdir(), 'jobpass-test-content-'));
  const closed = await fileContent(own);
  await store('the folders are there', closed);
  const id = await closed.begin('1');
  await closed.append('1', id, 0, body('flushed late'), gib);
  // More than there are threads for, so that the flush is still in line when its file has its name.
  const enough = new AbortController();
  const work = async (): Promise<void> => {
    while (!enough.signal.aborted) await promisify(pbkdf2)('x', 'y', 10_000, 32, 'sha256');
  };
  const working = Promise.all(Array.from({ length: 16 }, work));
  const digest = digestOf('flushed late');
  const finishing = closed.finish('1', id, digest);
  while (!closed.holds(digest)) await nextTurn();
  const ends = await Promise.allSettled([finishing, closed.close()]);
  enough.abort();
  await working;
  expect(ends.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled']);
  await rm(own, { recursive: true, force: true });
});
