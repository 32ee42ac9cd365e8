// Prints docs/errors.md from the list in src/base/errors.ts; a test keeps the two equal.
import { errorCodes } from '../src/base/errors.ts';

console.log(
  "# Errors\n\nEvery way in which jobpass says no or fails. Doors turn the code into their protocol's answer; only their text leaves the process.\n",
);
console.log('| code | meaning | worth another try |\n|---|---|---|');
for (const [code, { meaning, retryable }] of Object.entries(errorCodes))
  console.log(`| \`${code}\` | ${meaning} | ${retryable ? 'yes' : 'no'} |`);
