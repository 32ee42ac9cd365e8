import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { smallBody } from '../../../src/doors/registry/call.ts';

describe('a small body', () => {
  test('comes whole, up to its bound', async () => {
    expect((await smallBody(Readable.from([Buffer.from('ab'), Buffer.from('c')]), 3)).toString()).toBe('abc');
    await expect(smallBody(Readable.from([Buffer.from('ab'), Buffer.from('cd')]), 3)).rejects.toMatchObject({ code: 'too_large' });
  });

  test('that has no end is left off at twice its bound, and still there to be answered', async () => {
    let sent = 0;
    const endless = new Readable({ read: () => void endless.push(Buffer.alloc(10, ++sent)) });
    await expect(smallBody(endless, 100)).rejects.toMatchObject({ code: 'too_large' });
    expect(endless.destroyed).toBe(false);
    endless.destroy();
  });

  test('that never comes is cut off', async () => {
    const silent = new Readable({ read: () => undefined });
    await expect(smallBody(silent, 100, 1)).rejects.toThrow();
    expect(silent.destroyed).toBe(true);
  });
});
