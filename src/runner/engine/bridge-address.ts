import { isTable, tableIn, tablesIn, textIn } from '../parsed.ts';
import type { Engine } from './engine.ts';

/**
 * This machine's IPv4 address on the engine's default bridge: where containers reach it.
 * @returns undefined where there is no such network
 * @see Docker Engine API v1.40, NetworkInspect
 */
export async function bridgeAddress(engine: Engine): Promise<string | undefined> {
  const bridge = await engine.call('GET', '/networks/bridge');
  const [pool] = isTable(bridge) ? tablesIn(tableIn(bridge, 'IPAM') ?? {}, 'Config') : [];
  if (pool === undefined) return undefined;
  const told = textIn(pool, 'Gateway') ?? '';
  // Until its first restart dockerd tells no gateway of a bridge that it made itself: it is the first address.
  return told === '' ? firstAddress(textIn(pool, 'Subnet') ?? '') : told;
}

/** @param subnet such as `172.17.0.0/16` */
function firstAddress(subnet: string): string | undefined {
  const found = /^(\d{1,3}\.\d{1,3}\.\d{1,3})\.(\d{1,3})\/(?:[89]|1\d|2\d|30)$/.exec(subnet);
  return found === null ? undefined : `${found[1]}.${Number(found[2]) + 1}`;
}
