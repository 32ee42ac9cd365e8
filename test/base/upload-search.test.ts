import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { deflateRawSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ZipFile } from 'yazl';
import { newPassToken } from '../../src/base/pass-token.ts';
import { UploadSearch } from '../../src/base/upload-search.ts';

const [pass, other] = [newPassToken('full').reveal(), newPassToken('fetch').reveal()];
const text = (secret: string): string => `${'some lines of text\n'.repeat(2000)}TOKEN=${secret}\n${'and more of them\n'.repeat(2000)}`;

function zip(entries: Readonly<Record<string, string | Buffer>>, compress = true): Promise<Buffer> {
  const file = new ZipFile();
  for (const [name, content] of Object.entries(entries))
    file.addReadStream(Readable.from([Buffer.from(content as string)]), name, { compress });
  file.end();
  return buffer(file.outputStream);
}

async function search(bytes: Buffer, cuts: readonly number[] = [], limit?: number): Promise<{ found: string[]; same: boolean }> {
  const ends = [...cuts.filter((cut) => cut < bytes.length).toSorted((one, another) => one - another), bytes.length];
  const pieces = ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
  const upload = new UploadSearch(limit);
  const through = await buffer(upload.through(Readable.from(pieces.filter((piece) => piece.length > 0))));
  return { found: [...upload.found], same: through.equals(bytes) };
}

describe('R12 A27 passes in what jobs upload', () => {
  test('R12 A27 in an entry of a zip archive, packed or not, in its name, in a gzip file, in plain', async () => {
    const entries = { 'one.txt': text('none'), 'two.txt': text(pass), 'three.txt': 'short', 'four.txt': text(other) };
    const packed = await zip(entries);
    expect(packed.includes(pass)).toBe(false);
    expect((await search(packed)).found.toSorted()).toEqual([other, pass].toSorted());
    expect((await search(await zip(entries, false))).found.toSorted()).toEqual([other, pass].toSorted());
    expect((await search(await zip({ [`${pass}.txt`]: 'x' }))).found).toEqual([pass]);
    expect((await search(gzipSync(text(pass)))).found).toEqual([pass]);
    expect((await search(Buffer.concat([gzipSync('first member'), gzipSync(text(pass))]))).found).toEqual([pass]);
    expect((await search(Buffer.from(text(pass)))).found).toEqual([pass]);
    expect((await search(Buffer.from(text('none')))).found).toEqual([]);
  });

  test('R12 wherever the stream is cut, the same is found and the same bytes go on', async () => {
    const packed = await zip({ 'one.txt': text('none'), 'two.txt': text(pass) });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat({ max: packed.length }), { maxLength: 20 }), async (cuts) => {
        expect(await search(packed, cuts)).toEqual({ found: [pass], same: true });
      }),
      { numRuns: 30 },
    );
    const each = Array.from({ length: packed.length }, (_, index) => index);
    expect(await search(packed, each)).toEqual({ found: [pass], same: true });
  });

  test('R13 what is broken, cut off, or no archive at all is let through; what can be read of it is looked at', async () => {
    const packed = await zip({ 'one.txt': text(pass), 'two.txt': text(other) });
    const header = packed.subarray(0, 30 + packed.readUInt16LE(26) + packed.readUInt16LE(28));
    expect((await search(packed.subarray(0, packed.length / 2))).same).toBe(true);
    // A header without anything after it, one whose content is junk, and one that stands inside of other bytes.
    for (const broken of [header, Buffer.concat([header, Buffer.alloc(1000, 0xff)]), Buffer.concat([Buffer.alloc(99, 1), header])])
      expect(await search(broken)).toEqual({ found: [], same: true });
    const junk = Buffer.concat([header, Buffer.alloc(1000, 0xff), packed]);
    expect((await search(junk)).found.toSorted()).toEqual([other, pass].toSorted());
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), fc.nat({ max: 2000 }), async (bytes, cut) => {
        expect((await search(Buffer.concat([header, bytes]), [cut])).same).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  test('R13 what unpacks without end is unpacked to the limit only', async () => {
    const bomb = deflateRawSync(Buffer.concat([Buffer.alloc(20_000_000), Buffer.from(pass)]));
    const one = await zip({ x: 'x'.repeat(100) });
    const header = one.subarray(0, 30 + one.readUInt16LE(26) + one.readUInt16LE(28));
    expect((await search(Buffer.concat([header, bomb]))).found).toEqual([pass]);
    expect(await search(Buffer.concat([header, bomb]), [], 1_000_000)).toEqual({ found: [], same: true });
  });

  test('R12 A27 in an archive inside of an archive, three deep, wherever the stream is cut; not in a fourth', async () => {
    const block = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
    const header = Buffer.alloc(512, 0);
    header.write('inner.gz');
    const tar = (file: Buffer): Buffer => Buffer.concat([header, block(file), header, block(Buffer.from('text'))]);
    const jar = await zip({ 'none.txt': text('none'), 'a.class': text(pass) });
    const nested = [jar, gzipSync(jar), await zip({ 'app.jar': jar, 'other.txt': text(other) }), gzipSync(tar(gzipSync(text(pass))))];
    expect((await search(tar(gzipSync(text(pass))))).found).toEqual([pass]);
    for (const bytes of nested) expect((await search(bytes)).found).toContain(pass);
    const three = await zip({ 'image.tar.gz': gzipSync(jar) });
    expect((await search(three)).found).toEqual([pass]);
    expect((await search(gzipSync(three))).found).toEqual([]);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat({ max: three.length }), { maxLength: 20 }), async (cuts) => {
        expect(await search(three, cuts)).toEqual({ found: [pass], same: true });
      }),
      { numRuns: 20 },
    );
  });

  test('R13 the limit counts all levels, and beginnings of what only looks packed', async () => {
    const twice = gzipSync(gzipSync(Buffer.concat([Buffer.from(text('none').repeat(20)), Buffer.from(pass)])));
    expect((await search(twice)).found).toEqual([pass]);
    expect((await search(twice, [], 100_000)).found).toEqual([]);
    const fake = Buffer.alloc(512, 0xff);
    fake.set([0x1f, 0x8b, 0x08]);
    const many = Buffer.concat([...Array.from({ length: 20 }, () => fake), gzipSync(text(pass))]);
    expect((await search(many, [], 1_000_000)).found).toEqual([pass]);
    expect((await search(many, [], 200_000)).found).toEqual([]);
  });
});
