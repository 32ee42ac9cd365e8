import { expect, test } from 'vitest';
import { id, type UserId } from '../../src/base/ids.ts';
import { inputsKey } from '../../src/pass/inputs-key.ts';

const whose = (users: readonly number[], ownProjectOnly = false) => ({
  list: users.map((user) => ({ userId: id<UserId>(user), reason: 'pusher' as const })),
  ownProjectOnly,
  notes: [],
});

test('R15 inputs are shared by jobs of one trust tier and the same principals, in any order', () => {
  const key = inputsKey(true, whose([1, 2]), id(7));
  expect(key).toMatch(/^protected-[0-9a-f]{16}$/);
  expect(inputsKey(true, whose([2, 1]), id(8))).toBe(key);
  expect(inputsKey(false, whose([1, 2]), id(7))).toBe(`non_${key}`);
  for (const other of [[1], [1, 2, 3], [12]]) expect(inputsKey(true, whose(other), id(7))).not.toBe(key);
});

test('R15 a job whose principals are not provable shares with nobody', () => {
  expect(inputsKey(false, whose([1], true), id(7))).not.toBe(inputsKey(false, whose([1], true), id(8)));
});
