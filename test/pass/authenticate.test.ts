import { beforeEach, describe, expect, test } from 'vitest';
import { id, type JobId, millis, type RunnerId, type UserId } from '../../src/base/ids.ts';
import { newPassToken } from '../../src/base/pass-token.ts';
import { Secret } from '../../src/base/secret.ts';
import { authenticate } from '../../src/pass/authenticate.ts';
import type { Carrier } from '../../src/pass/subject.ts';
import { makeTx, MemoryWorld } from '../support/memory-ports.ts';

let world: MemoryWorld;
let alice: UserId;
beforeEach(() => {
  world = new MemoryWorld();
  alice = world.user(1);
});

async function codeOf(secret: Secret, carrier: Carrier = 'private_token', secure = true): Promise<string> {
  const who = await authenticate(world, { kind: 'secret', secret, carrier }, secure);
  return who.ok ? who.identity.kind : who.refusal.code;
}

describe('passes', () => {
  test('a pass is taken in the five places of the design, and in no other', async () => {
    const { secret } = world.pass('full', [alice]);
    for (const carrier of ['private_token', 'job_token', 'bearer', 'basic', 'oauth_form'] as const)
      expect([carrier, await codeOf(secret, carrier)]).toEqual([carrier, 'pass']);
    for (const carrier of ['runner_token', 'body_token'] as const)
      expect([carrier, await codeOf(secret, carrier)]).toEqual([carrier, 'credential_misplaced']);
  });

  test('R16 a pass over plain HTTP is refused, a personal token is not', async () => {
    expect(await codeOf(world.pass('full', [alice]).secret, 'bearer', false)).toBe('insecure_transport');
    expect(await codeOf(world.personalToken(alice), 'bearer', false)).toBe('user');
  });

  test('R13 a malformed pass never reaches the store, and is never taken for another credential', async () => {
    const { secret } = world.pass('full', [alice]);
    const text = secret.reveal();
    const bad = [`${text}x`, text.slice(0, -1), text.replace('jpt_x', 'jpt_y'), `jpt_x${'0'.repeat(36)}`, 'jpt_', 'jpt_glpat-abc'];
    for (const one of bad) {
      // Even where a row with that very digest exists, as a pass or as a personal token.
      const forged = new Secret(one);
      world.pass('full', [alice], { digest: forged.digest() });
      const row = [...world.personal.values()][0] ?? world.personal.get(world.personalToken(alice).digest());
      if (row !== undefined) world.personal.set(forged.digest(), row);
      expect([one, await codeOf(forged)]).toEqual([one, 'credential_invalid']);
    }
    expect(await codeOf(newPassToken('full'))).toBe('credential_invalid');
    expect(await codeOf(new Secret('x'.repeat(5000)))).toBe('credential_invalid');
    expect(await codeOf(new Secret(''))).toBe('credential_invalid');
  });

  test('R2 A45 from the moment the job ends the pass is dead', async () => {
    const { secret } = world.pass('full', [alice]);
    expect(await codeOf(secret)).toBe('pass');
    world.endJob(1);
    expect(await codeOf(secret)).toBe('pass_dead');
  });

  test('R2 silence suspends it, expiry and revocation end it, an unknown job is a no', async () => {
    const { secret, record } = world.pass('full', [alice]);
    world.now = millis(world.now + 3 * 60_000);
    expect(await codeOf(secret)).toBe('pass');
    world.now = millis(world.now + 1);
    expect(await codeOf(secret)).toBe('pass_dead');
    world.jobs.set(record.jobId, { state: 'running', cancelingSince: null, contactAt: world.now });
    expect(await codeOf(secret)).toBe('pass');
    await world.passes.revoke(makeTx(), record.id, 'test', world.now);
    expect(await codeOf(secret)).toBe('pass_dead');
    expect(await codeOf(world.pass('full', [alice], { expiresAt: world.now }).secret)).toBe('pass_dead');
    const orphan = world.pass('full', [alice], { jobId: id<JobId>(2) }).secret;
    world.jobs.delete(id<JobId>(2));
    expect(await codeOf(orphan)).toBe('pass_dead');
  });

  test('R2 canceling leaves the fetch pass only', async () => {
    const [full, fetch] = [world.pass('full', [alice]).secret, world.pass('fetch', [alice]).secret];
    world.jobs.set(id<JobId>(1), { state: 'canceling', cancelingSince: world.now, contactAt: world.now });
    expect([await codeOf(full), await codeOf(fetch)]).toEqual(['pass_dead', 'pass']);
  });
});

describe('other credentials', () => {
  test('a personal token: revoked, expired, or of a blocked user is invalid', async () => {
    expect(await codeOf(world.personalToken(alice, ['api'], { revokedAt: world.now }))).toBe('credential_invalid');
    expect(await codeOf(world.personalToken(alice, ['api'], { expiresAt: world.now }))).toBe('credential_invalid');
    expect(await codeOf(world.personalToken(world.user(2, { state: 'blocked' })))).toBe('credential_invalid');
    expect(await codeOf(world.personalToken(id<UserId>(99)))).toBe('credential_invalid');
    expect(await codeOf(world.personalToken(alice), 'job_token')).toBe('credential_invalid');
  });

  test('R2 a job token lives while its job runs or cancels', async () => {
    const token = world.jobToken(alice);
    world.pass('fetch', [alice]);
    expect(await codeOf(token, 'job_token')).toBe('job');
    world.jobs.set(id<JobId>(1), { state: 'canceling', cancelingSince: world.now, contactAt: world.now });
    expect(await codeOf(token, 'basic')).toBe('job');
    world.endJob(1);
    expect(await codeOf(token, 'job_token')).toBe('pass_dead');
  });

  test('A60 a runner token serves as runner token only', async () => {
    const token = new Secret(`glrt-${'r'.repeat(20)}`);
    world.runners.set(token.digest(), id<RunnerId>(5));
    expect(await codeOf(token, 'runner_token')).toBe('runner');
    expect(await codeOf(token, 'private_token')).toBe('credential_invalid');
  });

  test('A8 a system subject is of the closed list, and nobody’s user', async () => {
    const who = await authenticate(world, { kind: 'system', reason: 'reaper' }, true);
    expect(who).toEqual({ ok: true, identity: { kind: 'system', reason: 'reaper' } });
  });
});
