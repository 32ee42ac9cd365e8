import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { reference } from '../../../src/runner/gate/reference.ts';
import type { Row } from '../../../src/runner/gate/row.ts';
import { entryRows } from '../../../src/runner/gate/rows/entry.ts';
import { globalRows } from '../../../src/runner/gate/rows/global.ts';

test('docs/gate.md is what the gate judges by (node scripts/gate-doc.mjs > docs/gate.md)', () => {
  expect(readFileSync(new URL('../../../docs/gate.md', import.meta.url), 'utf8')).toBe(reference());
});

test('docs/gate.md names every key that the gate knows', () => {
  const keys = (rows: readonly Row[]): string[] => rows.flatMap(({ key, section }) => (section === undefined ? [key] : keys(section.rows)));
  const page = reference();
  expect([...keys(globalRows), ...keys(entryRows)].filter((key) => !new RegExp(`[\`.]${key}[\`.\\]]`).test(page))).toEqual([]);
});
