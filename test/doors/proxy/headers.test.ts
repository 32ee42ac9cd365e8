import { BlockList, type Socket } from 'node:net';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { clientHeaders, pairs, upstreamHeaders } from '../../../src/doors/proxy/headers.ts';

const names = fc.oneof(
  fc.constantFrom(
    'Host',
    'X-Forwarded-For',
    'x-forwarded-proto',
    'Forwarded',
    'X-Real-IP',
    'TE',
    'Upgrade',
    'Trailer',
    'Keep-Alive',
    'Expect',
  ),
  fc.constantFrom('Proxy-Authorization', 'Transfer-Encoding', 'Authorization', 'Accept', 'X-One', 'X-Two', 'x_forwarded_for', 'Set-Cookie'),
  fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,20}$/),
);
const headers = fc.array(fc.tuple(names, fc.stringMatching(/^[\x21-\x7e]{0,20}$/)), { maxLength: 12 });
const listed = fc.array(names, { maxLength: 3 });

const hopByHop = /^(?:connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade)$/i;

const socket = { remoteAddress: '192.0.2.1' } as unknown as Socket;

describe('headers', () => {
  test('RFC 9110 §7.6.1: nothing of one connection goes on; the rest stays, in its order', () => {
    fc.assert(
      fc.property(headers, listed, (given, own) => {
        const raw = [...given, ['Connection', own.join(', ')] as const].flat();
        const isOwn = (name: string): boolean => hopByHop.test(name) || own.some((one) => one.toLowerCase() === name.toLowerCase());
        const wanted = given.filter(([name]) => !isOwn(name));
        expect([...pairs(clientHeaders(raw))]).toEqual(wanted);
        const up = [...pairs(upstreamHeaders({ rawHeaders: raw, socket }, { trustedProxies: new BlockList() }))];
        const untouched = wanted.filter(
          ([name]) =>
            !/_|^(?:expect|forwarded|x-forwarded-.*|x-real-ip|x-original-.*|x-rewrite-url|(?:x-|true-|x-cluster-)?client-ip)$/i.test(name),
        );
        expect(up.slice(0, untouched.length)).toEqual(untouched);
        expect(up.slice(untouched.length).map(([name]) => name)).toEqual([
          'x-forwarded-for',
          'x-forwarded-proto',
          ...(untouched.some(([name]) => name.toLowerCase() === 'host') ? ['x-forwarded-host'] : []),
          'x-forwarded-port',
        ]);
      }),
    );
  });
});
