import { randomUUID } from 'node:crypto';
import type postgres from 'postgres';

/** How often a node asks itself whether it still hears. */
const checkEveryMs = 5000;

/** One connection of its own, which PostgreSQL tells of every `notify` that was committed. */
export interface Listening {
  /** Makes sure that it hears: where its own last word did not come back, by a new connection. */
  check(): Promise<void>;
  close(): Promise<void>;
}

/**
 * @param open makes a client; of a lost one nothing is kept
 * @throws what the driver throws where the first connection fails
 */
export async function listen(open: () => postgres.Sql, channel: string, told: (text: string) => void): Promise<Listening> {
  let client = open();
  let heard = true;
  let closed = false;
  const connect = (to: postgres.Sql): Promise<unknown> =>
    to.listen(channel, (text) => {
      if (text.startsWith('here:')) heard = heard || text === word;
      else told(text);
    });
  const word = `here:${randomUUID()}`;
  await connect(client);
  const check = async (): Promise<void> => {
    if (closed) return;
    try {
      if (!heard) {
        const lost = client;
        client = open();
        void lost.end({ timeout: 0 }).catch(() => undefined);
        await connect(client);
      }
      heard = false;
      await client.notify(channel, word);
    } catch {
      // The next check tries again; until then whoever must know asks.
      heard = false;
    }
  };
  const timer = setInterval(() => void check(), checkEveryMs).unref();
  return {
    check,
    async close() {
      closed = true;
      clearInterval(timer);
      await client.end({ timeout: 1 });
    },
  };
}
