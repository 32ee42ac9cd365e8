import { beforeEach, describe, expect, test } from 'vitest';
import { id, millis, type ProjectId, type SecretDigest, type UserId } from '../../src/base/ids.ts';
import { limits } from '../../src/base/limits.ts';
import { anonymousRegistryToken, isRegistryToken, newRegistryToken } from '../../src/base/registry-token.ts';
import { Secret } from '../../src/base/secret.ts';
import { type Authentication, authenticate } from '../../src/pass/authenticate.ts';
import { beyondScope } from '../../src/pass/registry-token.ts';
import type { Carrier } from '../../src/pass/subject.ts';
import type { RegistryToken } from '../../src/ports/registry-tokens.ts';
import { makeTx, MemoryWorld } from '../support/memory-ports.ts';

const app = id<ProjectId>(7);
const other = id<ProjectId>(8);

describe('registry tokens', () => {
  let world: MemoryWorld;
  let alice: UserId;
  beforeEach(() => {
    world = new MemoryWorld();
    alice = world.user(1);
  });

  async function tokenOf(
    kind: 'pass' | 'user' | 'job',
    digest: SecretDigest,
    expiresAt = millis(world.clock.now() + 1000),
  ): Promise<Secret> {
    const secret = newRegistryToken();
    const parent = { kind, digest };
    await world.registryTokens.insert(makeTx(), secret.digest(), { parent, scope: [{ projectId: app, actions: ['pull'] }], expiresAt });
    return secret;
  }
  const ask = (secret: Secret, again = false, carrier: Carrier = 'bearer'): Promise<Authentication> =>
    authenticate(world, { kind: 'secret', secret, carrier }, true, null, again);
  const codeOf = async (secret: Secret, again = false, carrier: Carrier = 'bearer'): Promise<string> => {
    const who = await ask(secret, again, carrier);
    return who.ok ? who.identity.kind : who.refusal.code;
  };

  test('A48 a registry token is the credential behind it, with a scope, and dies with it', async () => {
    const pass = world.pass('full', [alice]);
    const personal = world.personalToken(alice);
    const [ofPass, ofUser] = [await tokenOf('pass', pass.record.digest), await tokenOf('user', personal.digest())];
    expect(await ask(ofPass)).toMatchObject({ ok: true, identity: { kind: 'pass', passId: pass.record.id }, scope: [{ projectId: app }] });
    expect([await codeOf(ofPass), await codeOf(ofUser)]).toEqual(['pass', 'user']);
    world.endJob(1);
    expect([await codeOf(ofPass), await codeOf(ofPass, true), await codeOf(ofUser)]).toEqual(['pass_dead', 'pass_dead', 'user']);
    world.personal.delete(personal.digest());
    expect(await codeOf(ofUser)).toBe('credential_invalid');
  });

  test('A14 without a credential behind it, it is nobody', async () => {
    expect(await codeOf(new Secret(anonymousRegistryToken))).toBe('anonymous');
  });

  test('A48 expires at its time, without leeway; an upload that it began ends by its credential alone (A61 expires during an upload)', async () => {
    const pass = world.pass('full', [alice]);
    const secret = await tokenOf('pass', pass.record.digest, world.clock.now());
    expect([await codeOf(secret), await codeOf(secret, true)]).toEqual(['credential_invalid', 'pass']);
    world.endJob(1);
    expect(await codeOf(secret, true)).toBe('pass_dead');
  });

  test('A15 R17 what was not handed out, or comes as a password, is refused', async () => {
    expect(await codeOf(newRegistryToken())).toBe('credential_invalid');
    const known = await tokenOf('user', world.personalToken(alice).digest());
    for (const carrier of ['basic', 'private_token', 'job_token', 'oauth_form'] as const)
      expect(await codeOf(known, false, carrier)).toBe('credential_misplaced');
  });

  test('its form is its own, and it is made anew each time', () => {
    const made = new Set(Array.from({ length: 100 }, () => newRegistryToken().reveal()));
    expect(made.size).toBe(100);
    for (const text of made) expect(isRegistryToken(text)).toBe(true);
    for (const text of ['jrt_', `jrt_${'a'.repeat(39)}`, `jrt_${'a'.repeat(41)}`, `jrt_${'a'.repeat(39)}-`, `x${[...made][0] ?? ''}`])
      expect(isRegistryToken(text)).toBe(false);
    expect(limits.registryTokenMs).toBeLessThanOrEqual(300_000);
  });

  test.each([
    ['container:read', app, true],
    ['container:push', app, false],
    ['container:admin', app, false],
    ['container:delete', app, false],
    ['project:read', app, false],
    ['container:read', other, false],
  ] as const)('R9 %s on project %i within a scope of pulling from 7: %s', (permission, projectId, within) => {
    const scope: RegistryToken['scope'] = [{ projectId: app, actions: ['pull'] }];
    const refusal = beyondScope(scope, [{ permission, resource: { kind: 'project', id: projectId } }]);
    expect(refusal?.code).toBe(within ? undefined : 'scope_insufficient');
    expect(beyondScope(undefined, [{ permission, resource: { kind: 'project', id: projectId } }])).toBeUndefined();
  });
});
