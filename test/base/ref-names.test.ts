import { expect, test } from 'vitest';
import { parseRefName } from '../../src/base/ids.ts';

test("R13 a ref's name is bounded in bytes: an index of PostgreSQL has no room for a long one, and a push that moved it could never be settled", () => {
  const named = (letter: string, count: number) => parseRefName(`refs/heads/${letter.repeat(count)}`) !== undefined;
  expect([named('a', 1013), named('a', 1014)]).toEqual([true, false]);
  expect([named('가', 337), named('가', 338)]).toEqual([true, false]);
});
