/**
 * Works through all of it, so many at a time. Neighbours are pulled apart, in the same order each time: what one row makes the server wait for,
 * another one's work fills.
 */
export async function inParallel<Item>(items: readonly Item[], atOnce: number, work: (item: Item) => Promise<void>): Promise<void> {
  const lanes = Math.ceil(Math.sqrt(items.length));
  const mixed = Array.from({ length: lanes }, (_none, lane) => items.filter((_item, index) => index % lanes === lane)).flat();
  const queue = mixed.values();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (const item of queue) await work(item);
    }),
  );
}
