import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Nodes } from '../../ports/nodes.ts';

/**
 * A folder of this node's own for what is half made; those of nodes that are gone are emptied, as nobody comes back to them.
 * @param above shared by the nodes
 * @returns its path
 */
export async function scratchFolder(above: string, nodes: Nodes): Promise<string> {
  const own = join(above, String(nodes.self));
  await mkdir(above, { recursive: true, mode: 0o700 });
  for (const name of await readdir(above)) {
    const node = /^[1-9]\d{0,9}$/.test(name) ? Number(name) : 0;
    await nodes.inherit(node, () => rm(join(above, name), { recursive: true, force: true }));
  }
  await mkdir(own, { recursive: true, mode: 0o700 });
  return own;
}
