import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type postgres from 'postgres';
import type { Nodes } from '../../ports/nodes.ts';

/** Any fixed number: the first of the two by which an advisory lock of a node is known; the second is the node's own. */
const nodeLocks = 0x6a6f62;
const highest = 2 ** 31;
const againMs = 1000;

/** One connection, and what is asked on it. */
interface Kept {
  readonly sql: postgres.Sql;
  lost: boolean;
  /** Rejects with the connection: a question that it took along may never be answered. */
  readonly gone: Promise<never>;
}

/**
 * A node holds the lock of its number for as long as it lives: PostgreSQL lets go of it when the connection ends, however that comes.
 * @param open a client of one connection that is kept; told when it is lost
 * @see PostgreSQL, "Advisory Locks"
 */
export async function postgresNodes(open: (lost: () => void) => postgres.Sql): Promise<Nodes> {
  const closing = new AbortController();
  let connecting = false;
  let self = 0;
  let kept = connect();

  function connect(): Kept {
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => undefined);
    const made: Kept = {
      lost: false,
      gone: promise,
      sql: open(() => {
        made.lost = true;
        reject(new Error('the connection to PostgreSQL is lost'));
        if (self !== 0) void again();
      }),
    };
    return made;
  }
  /** A new connection takes the lock anew; of the lost one nothing is kept. */
  async function again(): Promise<void> {
    if (connecting) return;
    connecting = true;
    while (!closing.signal.aborted && kept.lost) {
      void kept.sql.end({ timeout: 0 }).catch(() => undefined);
      kept = connect();
      const { sql, gone } = kept;
      await Promise.race([sql`select pg_advisory_lock(${nodeLocks}, ${self})`, gone]).catch(async () => {
        kept.lost = true;
        await delay(againMs, undefined, { ref: false });
      });
    }
    connecting = false;
  }
  async function take({ sql, gone }: Kept, node: number): Promise<boolean> {
    const [row] = await Promise.race([sql<{ taken: boolean }[]>`select pg_try_advisory_lock(${nodeLocks}, ${node}) as taken`, gone]);
    return row?.taken === true;
  }

  let chosen = randomInt(1, highest);
  while (!(await take(kept, chosen))) chosen = randomInt(1, highest);
  self = chosen;
  return {
    self,
    alone: false,
    async inherit(node, work) {
      const on = kept;
      // Its own lock it would get a second time.
      if (node === self || !(await take(on, node))) return false;
      try {
        await work();
      } finally {
        // With its connection a lock is gone, too.
        await Promise.race([on.sql`select pg_advisory_unlock(${nodeLocks}, ${node})`, on.gone]).catch(() => undefined);
      }
      return true;
    },
    async close() {
      closing.abort();
      await kept.sql.end({ timeout: 1 });
    },
  };
}
