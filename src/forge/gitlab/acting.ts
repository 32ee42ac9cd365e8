import type { Clock } from '../../base/clock.ts';
import { JobpassError } from '../../base/errors.ts';
import { type EpochMillis, type JobId, millis, type UserId } from '../../base/ids.ts';
import type { Log } from '../../base/log.ts';
import { Secret } from '../../base/secret.ts';
import type { ActingCredentials, ActingTokenRecord, ActingTokens, Channel } from '../../ports/gateway.ts';
import type { Transactor } from '../../ports/tx.ts';
import type { UpstreamClient } from './client.ts';
import { fieldsOf, listOf, textOf } from './json.ts';

interface Held {
  readonly secret: Promise<Secret>;
  /** When it was asked for. */
  readonly at: EpochMillis;
}

/** Days end at midnight: a token for the day after tomorrow is good for a day at least, and some jobs last longer. */
const renewMs = 20 * 3600_000;

/** The narrowest that the forge has for each. @see GitLab, "Personal access token scopes" */
const scopes: Readonly<Record<Channel, readonly string[]>> = {
  api: ['api'],
  read_api: ['read_api'],
  git_read: ['read_repository'],
  git_write: ['write_repository'],
  registry_read: ['read_registry'],
  registry_write: ['read_registry', 'write_registry'],
};

const firstDelayMs = 500;
const longestDelayMs = 30_000;

export interface ActingDeps {
  readonly client: UpstreamClient;
  readonly tokens: ActingTokens;
  readonly transactor: Transactor;
  readonly clock: Clock;
  readonly log: Log;
  /** Whether a job has ended: no token is made for it any more. */
  readonly ended: (job: JobId) => Promise<boolean>;
}

/**
 * Impersonation tokens of the users behind passes. The row is durable before the forge is asked, so that a crash at any moment leaves a trace
 * to sweep by; the secret is in memory only.
 */
export function makeActingCredentials(deps: ActingDeps): ActingCredentials & { stop(): Promise<void> } {
  const { client, tokens, transactor, clock } = deps;
  const held = new Map<JobId, Map<string, Held>>();

  async function make(job: JobId, user: UserId, channel: Channel): Promise<Secret> {
    const row = await transactor.write((tx) => tokens.insert(tx, { jobId: job, userId: user, channel, createdAt: clock.now() }));
    const { status, body } = await client.ask('POST', `/users/${user}/impersonation_tokens`, {
      name: nameOf(row, job, channel),
      scopes: scopes[channel],
      expires_at: dayAfter(clock.now()),
    });
    const fields = fieldsOf(body);
    const [secret, upstreamId] = [textOf(fields['token']), fields['id']];
    if (status !== 201 || secret === undefined || typeof upstreamId !== 'number')
      throw new JobpassError('upstream_failed', `The forge made no token to act with (${status}): see \`jobpass gateway doctor\`.`);
    await transactor.write((tx) => tokens.made(tx, row, upstreamId));
    // Some forges give an administrator's tokens that scope unasked: it would open what Admin Mode keeps out (R1, A68).
    if (Array.isArray(fields['scopes']) && fields['scopes'].some((scope) => scope === 'admin_mode' || scope === 'sudo')) {
      await revokeRow({ id: row, jobId: job, userId: user, channel, upstreamId });
      throw new JobpassError('upstream_failed', 'The forge made a token with more scopes than were asked for: it is revoked.');
    }
    if (await deps.ended(job)) {
      await revokeRow({ id: row, jobId: job, userId: user, channel, upstreamId });
      throw new JobpassError('pass_dead');
    }
    return new Secret(secret);
  }

  async function revokeRow(row: ActingTokenRecord): Promise<void> {
    const path = `/users/${row.userId}/impersonation_tokens`;
    const ids = row.upstreamId === null ? await idsByName(path, nameOf(row.id, row.jobId, row.channel)) : [row.upstreamId];
    for (const one of ids) {
      const { status } = await client.ask('DELETE', `${path}/${one}`);
      if (status !== 204 && status !== 200 && status !== 202 && status !== 404)
        throw new JobpassError('upstream_failed', `The forge does not revoke a token (${status}).`);
    }
    await transactor.write((tx) => tokens.revoked(tx, row.id, clock.now()));
  }

  /** Where the process ended before it heard the token's number. */
  async function idsByName(path: string, name: string): Promise<readonly number[]> {
    const rows = listOf((await client.ask('GET', `${path}?state=active&per_page=100`)).body);
    return rows.filter((row) => row['name'] === name).flatMap((row) => (typeof row['id'] === 'number' ? [row['id']] : []));
  }

  async function revokeAll(rows: readonly ActingTokenRecord[]): Promise<void> {
    for (const row of rows) {
      try {
        await revokeRow(row);
      } catch (error) {
        // The row stays, and is swept soon again.
        sweepSoon();
        deps.log.warn('gateway.token_not_revoked', { job: row.jobId, why: error instanceof Error ? error.message : 'unknown' });
      }
    }
  }

  async function sweep(): Promise<void> {
    for (const row of await tokens.unrevoked(null)) if (await deps.ended(row.jobId)) await revokeAll([row]);
  }

  /** A forge that was away for a moment must not keep what is over for long. */
  let timer: NodeJS.Timeout | undefined;
  let delayMs = firstDelayMs;
  function sweepSoon(): void {
    if (timer !== undefined) return;
    timer = setTimeout(() => {
      timer = undefined;
      delayMs = Math.min(delayMs * 2, longestDelayMs);
      sweep()
        // Nothing failed: the next time is a first time again.
        .then(() => (delayMs = timer === undefined ? firstDelayMs : delayMs))
        .catch(() => sweepSoon());
    }, delayMs).unref();
  }

  const ending = new Set<Promise<void>>();
  async function endOne(job: JobId): Promise<void> {
    const ofJob = held.get(job);
    held.delete(job);
    // One that is being made is in the rows already; its maker revokes it when it comes.
    if (ofJob !== undefined) await Promise.allSettled([...ofJob.values()].map(({ secret }) => secret));
    await revokeAll(await tokens.ofJob(null, job));
  }

  return {
    /** Waits for what is being revoked; what fails then is swept at the next start. */
    async stop() {
      clearTimeout(timer);
      await Promise.allSettled(ending);
    },
    async obtain(job, user, channel) {
      const ofJob = held.get(job) ?? new Map<string, Held>();
      held.set(job, ofJob);
      const key = `${user}:${channel}`;
      const known = ofJob.get(key);
      // The old one is in the rows, and is revoked with the others.
      const fresh = known !== undefined && clock.now() - known.at < renewMs ? known : { secret: make(job, user, channel), at: clock.now() };
      ofJob.set(key, fresh);
      try {
        return await fresh.secret;
      } catch (error) {
        if (ofJob.get(key) === fresh) ofJob.delete(key);
        throw error;
      }
    },
    endJob(job) {
      const end = endOne(job).finally(() => ending.delete(end));
      ending.add(end);
      return end;
    },
    sweep,
  };
}

function nameOf(row: number, job: JobId, channel: Channel): string {
  return `jobpass job ${job} ${channel} ${row}`;
}

/** The forge counts in days: tomorrow is the soonest that is surely after the job's own end. */
function dayAfter(now: EpochMillis): string {
  return new Date(millis(now + 48 * 3600_000)).toISOString().slice(0, 10);
}
