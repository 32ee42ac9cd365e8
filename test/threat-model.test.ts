import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { mutants } from './mutants/mutants.ts';

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
  const known = new Set(['stopped', 'open: later', 'open: not built', "by the operator's choice"]);
  expect(rows.filter(({ state }) => !known.has(state))).toEqual([]);
});

test('a row that says stopped has a test with its number', () => {
  const numbers = tested();
  expect(rows.filter(({ number, state }) => state === 'stopped' && !numbers.has(number))).toEqual([]);
});

test('a row that says stopped has a defence that is taken out, and each rule has one', () => {
  const taken = new Set(mutants.flatMap(({ id, name }) => [id, ...(name.match(/\b[AR]\d{1,2}\b/g) ?? [])]));
  expect(rows.filter(({ number, state }) => state === 'stopped' && !taken.has(`A${number}`))).toEqual([]);
  expect(Array.from({ length: 17 }, (_, index) => `R${index + 1}`).filter((rule) => !taken.has(rule))).toEqual([]);
});

test('what a mutant takes out stands once in its file, and its test is there', () => {
  const wrong = mutants.flatMap(({ id, defence, file, find, test: path, name }) => {
    const times = readFileSync(new URL(`../${file}`, import.meta.url), 'utf8').split(find).length - 1;
    if (times !== 1) return [`${id} ${defence}: its text stands ${times} times in ${file}`];
    return globSync(path).some((one) => namedIn(one, name)) ? [] : [`${id} ${defence}: no test ${JSON.stringify(name)} in ${path}`];
  });
  expect(wrong).toEqual([]);
});

/** A test of that name, also one that a suite of another file makes. */
function namedIn(path: string, name: string): boolean {
  const source = readFileSync(path, 'utf8');
  return source.includes(name) || /Suite|Conformance|\$\{|%s|%j|test\.each/.test(source);
}
