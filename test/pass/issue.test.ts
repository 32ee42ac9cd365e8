import { beforeEach, describe, expect, test } from 'vitest';
import { id, type JobId, type UserId } from '../../src/base/ids.ts';
import { newPassToken } from '../../src/base/pass-token.ts';
import { Secret } from '../../src/base/secret.ts';
import { issuePasses } from '../../src/pass/issue.ts';
import { LiveGrants } from '../../src/pass/live.ts';
import { makeRevoker } from '../../src/pass/revoke.ts';
import { makeTx, MemoryWorld } from '../support/memory-ports.ts';

let world: MemoryWorld;
beforeEach(() => {
  world = new MemoryWorld();
});

const request = (change: object = {}) => ({
  jobId: id<JobId>(1),
  pipelineId: id<never>(1),
  projectId: id<never>(1),
  sha: 'a'.repeat(40),
  principals: [{ userId: id<UserId>(1), reason: 'starter' as const }],
  ownProjectOnly: false,
  chainDepth: 0,
  timeoutSeconds: 3600,
  full: true,
  now: world.now,
  ...change,
});

describe('issue', () => {
  test('R6 only digests are stored, and the kinds are told apart by letter', async () => {
    const { fetch, full } = await issuePasses(world.passes, makeTx(), request());
    expect([fetch.secret.reveal().slice(0, 5), full?.secret.reveal().slice(0, 5)]).toEqual(['jpt_f', 'jpt_x']);
    expect(world.passRows.map(({ digest }) => digest)).toEqual([fetch.secret.digest(), full?.secret.digest()]);
    expect(JSON.stringify(world.passRows)).not.toContain('jpt_');
  });

  test('R7 R3 no full pass without trust, nor without provable principals', async () => {
    expect((await issuePasses(world.passes, makeTx(), request({ full: false }))).full).toBeNull();
    expect((await issuePasses(world.passes, makeTx(), request({ ownProjectOnly: true }))).full).toBeNull();
    expect(world.passRows.map(({ kind }) => kind)).toEqual(['fetch', 'fetch']);
  });

  test('R2 it ends by itself, soon after the job’s own timeout', async () => {
    const { expiresAt } = await issuePasses(world.passes, makeTx(), request());
    expect(expiresAt - world.now).toBe(3600_000 + 5 * 60_000);
  });
});

describe('revoke', () => {
  test('R9 giving back kills the pass and its children, and cuts what they have open', async () => {
    const live = new LiveGrants(async () => true, 1e6);
    const revoker = makeRevoker({ ...world.ports, live });
    const { secret, record } = world.pass('fetch', [world.user(1)]);
    world.pass('narrowed', [world.user(1)], { parentId: record.id });
    const open = live.enter(record.jobId, record.id);
    expect((await revoker.revokeSecret(secret, 'given back'))?.id).toBe(record.id);
    expect(world.passRows.map(({ revokedReason }) => revokedReason)).toEqual(['given back', 'given back']);
    expect(open.signal.aborted).toBe(true);
    open.leave();
  });

  test('R12 what is no pass, or no pass of ours, is nothing to revoke', async () => {
    const revoker = makeRevoker({ ...world.ports, live: new LiveGrants(async () => true, 1e6) });
    expect(await revoker.revokeSecret(new Secret('glpat-xxxxxxxxxxxxxxxxxxxx'), 'x')).toBeUndefined();
    expect(await revoker.revokeSecret(newPassToken('full'), 'x')).toBeUndefined();
  });

  test('R2 the end of the job takes all of its passes, and no others', async () => {
    const revoker = makeRevoker({ ...world.ports, live: new LiveGrants(async () => true, 1e6) });
    for (const job of [1, 1, 2]) world.pass('full', [world.user(1)], { jobId: id<JobId>(job) });
    await revoker.revokeForJob(makeTx(), id<JobId>(1), 'job ended');
    expect(world.passRows.map(({ revokedAt }) => revokedAt !== null)).toEqual([true, true, false]);
  });
});
