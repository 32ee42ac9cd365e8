// Prints docs/keywords.md from the table in src/pipeline/keywords.ts; a test keeps the two equal.
import { keywordReference } from '../src/pipeline/keyword-reference.ts';

process.stdout.write(keywordReference());
