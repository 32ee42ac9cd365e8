import { once } from 'node:events';
import { BlockList, connect } from 'node:net';
import { Agent } from 'undici';
import { expect, test } from 'vitest';
import { silentLog } from '../../../src/base/log.ts';
import { Exchange } from '../../../src/doors/proxy/exchange.ts';
import type { Forwarded } from '../../../src/doors/proxy/forwarder.ts';
import type { Hearer } from '../../../src/doors/proxy/wire/call.ts';
import { forge } from './stage.ts';

test('R5 an answer that is awaited though its client left is heard to its end, also where it waited for that client', async () => {
  const asked = Promise.withResolvers<Hearer>();
  const over = Promise.withResolvers<Forwarded>();
  const ends = { forge: { dispatch: (_call: unknown, hearer: Hearer) => asked.resolve(hearer) }, storage: new Agent() };
  const gateway = await forge((request, response) => {
    const options = { trustedProxies: new BlockList(), log: silentLog };
    void new Exchange(ends, options, request, response, { body: Buffer.from('{}'), finish: true }).done.then(over.resolve);
  });
  const client = connect(gateway.port, '127.0.0.1');
  client.pause();
  client.write('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}');
  const hearer = await asked.promise;

  const goesOn = Promise.withResolvers<void>();
  const control = {
    headers: [],
    abort: () => expect.fail('it is awaited'),
    pause: () => undefined,
    resume: () => goesOn.resolve(),
  };
  hearer.onRequestStart(control);
  hearer.onResponseStart(control, 201, undefined);
  // More than the system takes for somebody who does not read.
  for (let pieces = 0; pieces < 1024; pieces += 1) hearer.onResponseData(control, Buffer.alloc(64 * 1024));
  client.destroy();
  await once(client, 'close');
  await goesOn.promise;
  hearer.onResponseEnd();
  expect(await over.promise).toEqual({ outcome: 'cut', status: 201 });
  await gateway.close();
});
