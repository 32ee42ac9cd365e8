import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { smallZipEntry, zipEntry } from '../../src/jobs/zip-entry.ts';
import { zipOf } from '../support/zip.ts';

const big = randomBytes(1_500_000);
const many = Object.fromEntries(Array.from({ length: 9000 }, (_, index) => [`folder/of/many/files/number-${index}`, `file ${index}`]));
const archive = zipOf({ first: 'one', ...many, 'ä/ö': 'umlauts', big });

/** @returns the largest piece that was ever asked for */
function reading(bytes: Buffer) {
  const asked = { largest: 0 };
  return {
    asked,
    read: (from: number, end: number) => {
      asked.largest = Math.max(asked.largest, end - from);
      return Promise.resolve(bytes.subarray(from, end));
    },
  };
}

async function file(bytes: Buffer, path: string): Promise<Buffer | undefined> {
  return smallZipEntry(reading(bytes).read, bytes.length, path, 2_000_000);
}

test('a file is found by its whole name, wherever its directory entry stands', async () => {
  expect(String(await file(archive, 'first'))).toBe('one');
  expect(String(await file(archive, 'folder/of/many/files/number-8999'))).toBe('file 8999');
  expect(String(await file(archive, 'ä/ö'))).toBe('umlauts');
  expect(await file(archive, 'folder/of/many')).toBeUndefined();
  expect((await file(archive, 'big'))?.equals(big)).toBe(true);
});

test('neither archive nor file is held whole', async () => {
  const { read, asked } = reading(archive);
  for await (const part of (await zipEntry(read, archive.length, 'big'))?.body ?? []) expect(Buffer.from(part).length).toBeGreaterThan(0);
  expect(asked.largest).toBeLessThanOrEqual(256 * 1024);
});

test('R13 a file that is more or less than its directory says breaks off', async () => {
  const whole = zipOf({ a: 'x'.repeat(100_000) });
  const sizeAt = whole.lastIndexOf(Buffer.from([0x50, 0x4b, 1, 2])) + 24;
  for (const size of [10, 99_999, 100_001, 0xffff_ffff]) {
    const bytes = Buffer.from(whole);
    bytes.writeUInt32LE(size, sizeAt);
    const found = await zipEntry(reading(bytes).read, bytes.length, 'a');
    expect(found?.sizeBytes).toBe(size);
    let given = 0;
    const all = async (): Promise<void> => {
      for await (const part of found?.body ?? []) given += Buffer.from(part).length;
    };
    await expect(all()).rejects.toThrow('damaged');
    expect(given).toBeLessThanOrEqual(size);
  }
});

test('R13 what is cut, encrypted, packed otherwise or no archive is refused', async () => {
  const whole = zipOf({ a: 'x', b: 'y' });
  const directory = whole.indexOf(Buffer.from([0x50, 0x4b, 1, 2]));
  const changed = (at: number, byte: number): Buffer => {
    const bytes = Buffer.from(whole);
    bytes[at] = byte;
    return bytes;
  };
  for (const bytes of [
    Buffer.from('PK'),
    whole.subarray(0, -1),
    whole.subarray(5),
    changed(directory, 0),
    changed(directory + 8, 1),
    changed(directory + 10, 12),
    changed(directory + 28, 255),
    changed(0, 0),
    changed(whole.length - 12, 255),
  ])
    await expect(file(bytes, 'a')).rejects.toMatchObject({ code: 'invalid_input' });
  await expect(smallZipEntry(reading(archive).read, archive.length, 'big', big.length - 1)).rejects.toMatchObject({ code: 'too_large' });
});
