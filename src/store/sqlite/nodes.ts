import type { Nodes } from '../../ports/nodes.ts';

/** Where a folder serves one process at a time: whatever another one left, it is gone. */
export const onlyNode: Nodes = {
  self: 1,
  alone: true,
  async inherit(_node, work) {
    await work();
    return true;
  },
  close: () => Promise.resolve(),
};
