import { expect, test } from 'vitest';
import { id, millis, type ProjectId } from '../../../src/base/ids.ts';
import { newRegistryToken } from '../../../src/base/registry-token.ts';
import { Secret } from '../../../src/base/secret.ts';
import type { RegistryToken } from '../../../src/ports/registry-tokens.ts';
import type { Bench } from './suite.ts';

export function registryTokenCases(bench: Bench): void {
  const tokenOf = (kind: RegistryToken['parent']['kind'], expiresAt: number): RegistryToken => ({
    parent: { kind, digest: new Secret(`parent of ${kind}`).digest() },
    scope: [{ projectId: id<ProjectId>(7), actions: ['pull', 'push'] }],
    expiresAt: millis(expiresAt),
  });
  const insert = async (token: RegistryToken) => {
    const digest = newRegistryToken().digest();
    await bench.store.transactor.write((tx) => bench.store.registryTokens.insert(tx, digest, token));
    return digest;
  };

  test('a registry token is found by its digest, as it was written', async () => {
    for (const kind of ['pass', 'user', 'job'] as const) {
      const digest = await insert(tokenOf(kind, 1_800_000_000_000));
      expect(await bench.store.registryTokens.byDigest(null, digest)).toEqual(tokenOf(kind, 1_800_000_000_000));
    }
    expect(await bench.store.registryTokens.byDigest(null, newRegistryToken().digest())).toBeUndefined();
  });

  test('R13 a row of a kind that nobody knows is no token', async () => {
    const digest = await insert(tokenOf('user', 1_800_000_000_000));
    await bench.engine.execute(bench.url, `update "registryTokens" set "parentKind" = 'root' where "digest" = '${digest}'`);
    expect(await bench.store.registryTokens.byDigest(null, digest)).toBeUndefined();
  });

  test('those that ended before are swept, the others stay', async () => {
    const [before, after] = [await insert(tokenOf('user', 1000)), await insert(tokenOf('user', 2000))];
    expect(await bench.store.transactor.write((tx) => bench.store.registryTokens.sweep(tx, millis(2000)))).toBe(1);
    expect(await bench.store.registryTokens.byDigest(null, before)).toBeUndefined();
    expect(await bench.store.registryTokens.byDigest(null, after)).toBeDefined();
  });
}
