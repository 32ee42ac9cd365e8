// Prints docs/gate.md from the tables in src/runner/gate; a test keeps the two equal.
import { reference } from '../src/runner/gate/reference.ts';

process.stdout.write(reference());
