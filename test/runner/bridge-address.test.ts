import { createServer } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bridgeAddress } from '../../src/runner/engine/bridge-address.ts';
import { Engine } from '../../src/runner/engine/engine.ts';

/** An engine that knows one network. */
async function withPool(config: readonly Record<string, string>[]): Promise<string | undefined> {
  const dir = await mkdtemp(join(tmpdir(), 'jobpass-bridge-'));
  const server = createServer((_, response) => response.end(JSON.stringify({ IPAM: { Config: config } })));
  await new Promise<void>((done) => server.listen(join(dir, 'sock'), done));
  const engine = new Engine(join(dir, 'sock'));
  try {
    return await bridgeAddress(engine);
  } finally {
    engine.close();
    server.close();
    await rm(dir, { recursive: true, force: true });
  }
}

test.each([
  ['a restarted engine tells its gateway', [{ Subnet: '172.17.0.0/16', Gateway: '172.17.0.9' }], '172.17.0.9'],
  ['a new engine tells the subnet only', [{ Subnet: '172.17.0.0/16' }], '172.17.0.1'],
  ['an empty gateway is none', [{ Subnet: '192.168.8.128/25', Gateway: '' }], '192.168.8.129'],
  ['no pool, no address', [], undefined],
  ['nothing is made of what is no IPv4 subnet', [{ Subnet: 'fd00::/64' }], undefined],
])('%s', async (_, config, address) => {
  expect(await withPool(config)).toBe(address);
});
