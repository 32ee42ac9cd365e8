import { sql } from 'kysely';
import type postgres from 'postgres';
import { id, type JobId, type PassId } from '../../base/ids.ts';
import type { Revocations, Revoked } from '../../ports/revocations.ts';
import type { Tx } from '../../ports/tx.ts';
import type { Database } from '../database.ts';
import { listen } from './notices.ts';

const channel = 'jobpass_revoked';

/** Sent when the transaction commits, and not at all where it is rolled back. */
export async function notifyRevoked(db: Database, tx: Tx, revoked: Revoked): Promise<void> {
  const text = revoked.kind === 'job' ? `job:${revoked.jobId}` : `passes:${revoked.passIds.join(',')}`;
  await sql`select pg_notify(${channel}, ${text})`.execute(db.on(tx));
}

/** @returns undefined for what cannot be read: it was no word of ours */
export function parseRevoked(text: string): Revoked | undefined {
  const match = /^(job|passes):([1-9]\d{0,14}(?:,[1-9]\d{0,14}){0,99})$/.exec(text);
  const ids = (match?.[2] ?? '').split(',').map(Number);
  const [first] = ids;
  if (match === null || first === undefined) return undefined;
  if (match[1] === 'passes') return { kind: 'passes', passIds: ids.map((number) => id<PassId>(number)) };
  return ids.length === 1 ? { kind: 'job', jobId: id<JobId>(first) } : undefined;
}

export function postgresRevocations(open: () => postgres.Sql): Revocations {
  return {
    async listen(told) {
      const listening = await listen(open, channel, (text) => {
        const revoked = parseRevoked(text);
        if (revoked !== undefined) told(revoked);
      });
      return () => listening.close();
    },
  };
}

/** Where one process is all there is: whoever ends a job tells of it there. */
export const noRevocations: Revocations = { listen: () => Promise.resolve(() => Promise.resolve()) };
