import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { limits } from '../../../src/base/limits.ts';
import type { TraceFiles } from '../../../src/ports/blobs.ts';
import { fileTraces } from '../../../src/store/blobs/traces.ts';

let root: string;
let traces: TraceFiles;
const key = 'trace-7';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'jobpass-test-traces-'));
  traces = fileTraces(root);
});
afterEach(() => rm(root, { recursive: true, force: true }));

const text = async (from?: number): Promise<string> => (await buffer(await traces.read(key, from))).toString();

test('grows by appends at its end, and is read from any byte', async () => {
  expect(await traces.sizeBytes(key)).toBe(0);
  expect(await text()).toBe('');
  expect(await traces.append(key, 0, Buffer.from('one '))).toBe(4);
  expect(await traces.append(key, 4, Buffer.from('two'))).toBe(7);
  expect(await text()).toBe('one two');
  expect(await text(4)).toBe('two');
  expect(await text(7)).toBe('');
  expect(await traces.crc32(key)).toBe(crc32('one two'));
});

test('an append elsewhere than at the end is refused with the stored size, and changes nothing', async () => {
  await traces.append(key, 0, Buffer.from('one'));
  for (const offset of [0, 2, 4]) {
    const refused = expect.objectContaining({ code: 'range_mismatch', detail: { offsetBytes: 3 } });
    await expect(traces.append(key, offset, Buffer.from('x'))).rejects.toThrow(refused);
  }
  expect(await text()).toBe('one');
});

test('of appends that race for the same place exactly one is taken', async () => {
  const results = await Promise.allSettled(
    Array.from({ length: 10 }, (_, index) => traces.append(key, 0, Buffer.from(`${index}${index}`))),
  );
  expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
  expect(await text()).toMatch(/^(\d)\1$/);
});

test('a trace has a largest size', async () => {
  await writeFile(join(root, key), '');
  await truncate(join(root, key), limits.traceBytes - 1);
  await expect(traces.append(key, limits.traceBytes - 1, Buffer.from('xy'))).rejects.toThrow(
    expect.objectContaining({ code: 'too_large' }),
  );
  expect(await traces.append(key, limits.traceBytes - 1, Buffer.from('x'))).toBe(limits.traceBytes);
});

test('is emptied and removed, also when there is none', async () => {
  await traces.truncate(key);
  await traces.append(key, 0, Buffer.from('one'));
  await traces.truncate(key);
  expect([await traces.sizeBytes(key), await traces.crc32(key)]).toEqual([0, 0]);
  await traces.append(key, 0, Buffer.from('x'));
  await traces.remove(key);
  await traces.remove(key);
  expect(await text()).toBe('');
});

test('A39 a key never leads out of the folder', async () => {
  const refused = expect.objectContaining({ code: 'invalid_input' });
  await expect(traces.append('../x', 0, Buffer.from('x'))).rejects.toThrow(refused);
  await expect(traces.read('/etc/passwd')).rejects.toThrow(refused);
});
