import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const page = readFileSync(new URL('../docs/threat-model.md', import.meta.url), 'utf8');
const rows = [...page.matchAll(/^\| A(\d+) \| [^|]+ \| [^|]+ \| ([^|]+) \|$/gm)].map(([, number, state]) => ({
  number: Number(number),
  state: state?.trim() ?? '',
}));

/** Numbers that the titles of tests carry. */
function tested(): ReadonlySet<number> {
  const found = new Set<number>();
  for (const file of globSync('test/**/*.ts'))
    for (const [title] of readFileSync(file, 'utf8').matchAll(/\(\s*(['"`])(?:(?!\1)[^\n\\]|\\.){3,}\1/g))
      for (const [, number] of title.matchAll(/\bA(\d{1,2})\b/g)) found.add(Number(number));
  return found;
}

test('the threat model has a row for each known attack, in order', () => {
  expect(rows.map(({ number }) => number)).toEqual(Array.from({ length: 68 }, (_, index) => index + 1));
  expect(new Set(rows.map(({ state }) => state))).toEqual(
    new Set(['stopped', 'open: later', 'open: not built', "by the operator's choice"]),
  );
});

test('a row that says stopped has a test with its number', () => {
  const numbers = tested();
  expect(rows.filter(({ number, state }) => state === 'stopped' && !numbers.has(number))).toEqual([]);
});
