// Writes docs/variables.md from the table in src/jobs/predefined-reference.ts; a test keeps the two equal.
import { writeFileSync } from 'node:fs';
import { variableReference } from '../src/jobs/predefined-reference.ts';

writeFileSync(new URL('../docs/variables.md', import.meta.url), variableReference());
