import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readFetchCommand } from '../../../src/doors/proxy/fetch-command.ts';

const pkt = (text: string): string => (Buffer.byteLength(text) + 4).toString(16).padStart(4, '0') + text;
const asks = (command: string): string => `${pkt(`agent=git/2.50`)}${pkt(`command=${command}\n`)}0001${pkt('want x\n')}0000`;

function request(body: Buffer, headers: Record<string, string>, sizes: readonly number[] = []): IncomingMessage {
  const message = new IncomingMessage(new Socket());
  Object.assign(message.headers, headers);
  let at = 0;
  for (const size of sizes) message.push(body.subarray(at, (at += size)));
  message.push(body.subarray(at));
  message.push(null);
  return message;
}
const v2 = { 'git-protocol': 'version=2' };
const read = (text: string | Buffer, headers: Record<string, string> = v2, sizes?: readonly number[]) =>
  readFetchCommand(request(Buffer.from(text), headers, sizes));

describe('what a fetch asks for', () => {
  test('R5 the addresses of bundles are told apart, in whatever pieces they are asked for, gzipped or not; all else goes on as it came', async () => {
    const pieces = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 10 });
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('fetch', 'ls-refs', 'bundle-uri'),
        fc.boolean(),
        fc.nat(9000),
        pieces,
        async (name, zipped, more, sizes) => {
          const whole = Buffer.from(`${asks(name)}${'x'.repeat(more)}`);
          const body = zipped ? gzipSync(whole) : whole;
          const found = await read(body, { ...v2, ...(zipped ? { 'content-encoding': 'gzip' } : {}) }, sizes);
          expect(found?.asksForBundles).toBe(name === 'bundle-uri');
          const parts: Buffer[] = [];
          for await (const part of found?.body ?? []) parts.push(part);
          expect(Buffer.concat(parts).equals(body)).toBe(true);
        },
      ),
    );
  });

  test('the older protocol has no commands, and is not looked at', async () => {
    expect(await read('0032want', {})).toBeUndefined();
    expect(await read('0032want', { 'git-protocol': 'version=1' })).toBeUndefined();
    expect(await read(asks('bundle-uri'), { 'git-protocol': 'x:version=2' })).toMatchObject({ asksForBundles: true });
  });

  test('R13 what is not known, or not told at its beginning, is refused', async () => {
    for (const text of [
      '',
      'hello',
      '0003',
      asks('bundle-uri\0'),
      asks('bundle-uri=x'),
      asks('object-format'),
      `${pkt('command=fetch')}${pkt('command=other')}0000`,
      `${pkt('agent=x').repeat(500)}${pkt('command=bundle-uri')}0000`,
      pkt('command=fetch'),
    ])
      await expect(read(text), text.slice(0, 60)).rejects.toMatchObject({ code: expect.stringMatching(/invalid_input|unsupported/) });
    const zipped = { ...v2, 'content-encoding': 'gzip' };
    await expect(read('0000', zipped)).rejects.toMatchObject({ code: 'invalid_input' });
    await expect(read(asks('fetch'), { ...v2, 'content-encoding': 'deflate' })).rejects.toMatchObject({ code: 'unsupported' });
  });
});
