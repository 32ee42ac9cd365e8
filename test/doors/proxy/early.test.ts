import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { confirmed, piecesOf, withoutPass } from '../../../src/doors/proxy/guarded-body.ts';
import { fuzzAsync, tellCount } from '../../fuzz/cases.ts';
import { grantFor } from '../../support/embedded-git.ts';
import { forge, type Stage, stage, Wire } from './stage.ts';

tellCount('early answers');

let upstream: Awaited<ReturnType<typeof forge>>;
let gateway: Stage;
/** How much of a body the forge reads before it answers, and how it does. */
let wants = { bytes: 0, turns: 0 };

beforeAll(async () => {
  upstream = await forge((request, response) => {
    let read = 0;
    let answered = false;
    const answer = (): void => {
      if (!answered) response.writeHead(request.method === 'GET' ? 200 : 413, { 'content-length': 2 }).end('no');
      answered = true;
    };
    const { bytes, turns } = wants;
    request.on('error', () => undefined).on('end', answer);
    request.on('data', (piece: Buffer) => {
      read += piece.length;
      if (read >= bytes) return answer();
      request.pause();
      const go = async (): Promise<void> => {
        for (let left = turns; left > 0; left -= 1) await setImmediate();
        request.resume();
      };
      void go();
    });
  });
  gateway = await stage(upstream.port, {}, (request) => {
    const pieces = piecesOf(request.iterator({ destroyOnReturn: false }));
    const looked = withoutPass(async (piece) => (await setImmediate(), piece.length === 0), pieces);
    if (request.url === '/pieces') return { body: { stream: pieces, length: 'same' } };
    if (request.url === '/looked') return { body: { stream: confirmed(grantFor(), looked), length: 'same' } };
    return undefined;
  });
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

test('whenever the forge answers a body, and however that comes, the answer is heard and so is the next request on the connection', async () => {
  const size = fc.integer({ min: 1, max: 300_000 });
  const cases = fc.record({
    path: fc.constantFrom('/lent', '/pieces', '/looked'),
    size,
    reads: size,
    turns: fc.integer({ min: 0, max: 3 }),
    cuts: fc.array(fc.integer({ min: 5000, max: 120_000 }), { minLength: 1, maxLength: 4 }),
    /** The client hears the answer before it sends what is left. */
    waits: fc.boolean(),
  });
  await fuzzAsync(60, cases, async ({ path, size: bytes, reads, turns, cuts, waits }) => {
    wants = { bytes: reads, turns };
    const wire = new Wire(gateway.port).send(`POST ${path} HTTP/1.1\r\nHost: h\r\nContent-Length: ${bytes}\r\n\r\n`);
    for (let at = 0, index = 0; at < bytes; index += 1) {
      const piece = Math.min(cuts[index % cuts.length] ?? bytes, bytes - at);
      wire.send('x'.repeat(piece));
      at += piece;
      // As much as the forge wants may be on its way by now, but not behind what looks at it: that holds a piece back.
      if (waits && at >= reads && path !== '/looked') await wire.until(/no$/);
      else await setImmediate();
    }
    await wire.until(/no$/);
    wire.send('GET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n');
    expect(await wire.end()).toMatch(/^HTTP\/1\.1 413 [^]*noHTTP\/1\.1 200 [^]*no$/);
  });
});
