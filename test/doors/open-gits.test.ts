import { expect, test } from 'vitest';
import { id, type TokenId, type UserId } from '../../src/base/ids.ts';
import { OpenGits } from '../../src/doors/git/open-gits.ts';

test('A65 who has as many gits at work as one may have waits for them, and takes nothing from anybody else', () => {
  const open = new OpenGits();
  const anonymous = { kind: 'anonymous' } as const;
  const alice = { kind: 'user', userId: id<UserId>(1), tokenId: id<TokenId>(1), scopes: [] } as const;
  const leave = Array.from({ length: 64 }, () => open.enter(anonymous));
  expect(() => open.enter(anonymous)).toThrow(/At most 64 .* without a token/);
  open.enter(alice)();
  leave[0]?.();
  open.enter(anonymous);
  expect(() => open.enter(anonymous)).toThrow(expect.objectContaining({ code: 'rate_limited' }));
});
