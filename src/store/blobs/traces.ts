import { createReadStream } from 'node:fs';
import { mkdir, open, rm, stat, truncate } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { JobpassError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { TraceFiles } from '../../ports/blobs.ts';
import { pathOfKey } from './files.ts';

/** Traces as files that only grow; one append at a time for each. */
export function fileTraces(root: string): TraceFiles {
  const queues = new Map<string, Promise<unknown>>();
  const inTurn = <Result>(key: string, work: () => Promise<Result>): Promise<Result> => {
    const turn = (queues.get(key) ?? Promise.resolve()).then(work, work);
    const settled = turn.catch(() => undefined);
    queues.set(key, settled);
    void settled.then(() => {
      if (queues.get(key) === settled) queues.delete(key);
      return undefined;
    });
    return turn;
  };
  const size = async (key: string): Promise<number> => (await stat(pathOfKey(root, key)).catch(() => undefined))?.size ?? 0;
  return {
    sizeBytes: size,
    append: (key, offset, bytes) =>
      inTurn(key, async () => {
        const stored = await size(key);
        if (offset !== stored) throw new JobpassError('range_mismatch', { offsetBytes: stored });
        if (stored + bytes.length > limits.traceBytes)
          throw new JobpassError('too_large', `A trace has at most ${limits.traceBytes} bytes.`);
        const path = pathOfKey(root, key);
        await mkdir(dirname(path), { recursive: true, mode: 0o700 });
        const file = await open(path, 'a', 0o600);
        try {
          await file.appendFile(bytes);
        } finally {
          await file.close();
        }
        return stored + bytes.length;
      }),
    async crc32(key) {
      let sum = 0;
      if ((await size(key)) > 0)
        for await (const chunk of createReadStream(pathOfKey(root, key), { highWaterMark: 1024 * 1024 })) sum = crc32(chunk, sum);
      return sum;
    },
    async read(key, fromByte = 0, endByte = Infinity) {
      const end = Math.min(await size(key), endByte);
      return end <= fromByte ? Readable.from([]) : createReadStream(pathOfKey(root, key), { start: fromByte, end: end - 1 });
    },
    mask: (key, at) =>
      inTurn(key, async () => {
        const stored = await size(key);
        const file = await open(pathOfKey(root, key), 'r+');
        try {
          for (const position of at) if (position >= 0 && position < stored) await file.write('*', position);
        } finally {
          await file.close();
        }
      }),
    truncate: (key) => inTurn(key, async () => ((await size(key)) > 0 ? truncate(pathOfKey(root, key)) : undefined)),
    remove: (key) => inTurn(key, () => rm(pathOfKey(root, key), { force: true })),
  };
}
