// Writes docs/differences.md from the walk's samples; a test keeps the two equal.
import { writeFileSync } from 'node:fs';
import { differencesPage } from '../test/walk/differences.ts';
import { rowsWith } from '../test/walk/sample.ts';
import { samples } from '../test/walk/samples/index.ts';

writeFileSync(new URL('../docs/differences.md', import.meta.url), differencesPage(rowsWith(samples, () => true)));
