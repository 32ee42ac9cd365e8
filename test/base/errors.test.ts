import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

test('docs/errors.md is what the list of codes says (node scripts/errors-doc.mjs > docs/errors.md)', () => {
  const printed = execFileSync(process.execPath, ['scripts/errors-doc.mjs'], { cwd: root, encoding: 'utf8' });
  expect(readFileSync(`${root}/docs/errors.md`, 'utf8')).toBe(printed);
});
