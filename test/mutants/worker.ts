// One worker of `run.ts`: a copy of the tree, and a Vitest that stays warm from mutant to mutant. Each test file runs in a new thread.
import { readFileSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { createVitest } from 'vitest/node';
import type { Mutant } from './mutant.ts';

/** What became of one mutant. */
export interface Verdict {
  readonly killed: boolean;
  readonly note: string;
  /** Its test ran to its end and said nothing. */
  readonly stayedGreen?: true;
}

const folder = process.cwd();
// Modules are loaded by Node.js itself, from the compile cache: through Vite's own loader each new thread cost half as much again.
const experimental = { viteModuleRunner: false, nodeLoader: false };
const vitest = await createVitest({
  watch: false,
  isolate: true,
  pool: 'threads',
  maxWorkers: 1,
  cache: false,
  reporters: [{}],
  retry: 0,
  experimental,
});
const ordinaryMs = vitest.config.testTimeout;

process.on('message', (mutant: Mutant) => {
  void tryMutant(mutant)
    .catch((error: unknown): Verdict => ({ killed: false, note: String(error) }))
    .then((verdict) => process.send?.(verdict));
});
process.on('disconnect', () => process.exit(0));
process.send?.('ready');

async function tryMutant(mutant: Mutant): Promise<Verdict> {
  const path = join(folder, mutant.file);
  const original = readFileSync(path, 'utf8');
  const parts = original.split(mutant.find);
  if (parts.length !== 2) return { killed: false, note: `its text stands ${parts.length - 1} times in ${mutant.file}` };
  const mutated = parts.join(mutant.replace);
  // Processes that a test starts load the file as well: one that is no program would turn the test red for nothing.
  if (path.endsWith('.ts')) stripTypeScriptTypes(mutated);
  writeFileSync(path, mutated);
  try {
    return await run(mutant);
  } finally {
    writeFileSync(path, original);
  }
}

/** Many times what a test takes whose mutant hangs. */
const patienceMs = 15_000;

async function run({ test, name, walk, hangs }: Mutant): Promise<Verdict> {
  process.env['WALK'] = walk ?? '';
  for (const { config } of vitest.projects) config.testTimeout = hangs === true ? patienceMs : ordinaryMs;
  vitest.setGlobalTestNamePattern(name.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const specifications = await vitest.globTestSpecifications([test]);
  const { testModules } = await vitest.runTestSpecifications(specifications);
  const module = testModules.find(({ moduleId }) => moduleId === join(folder, test));
  const [problem] = module?.errors() ?? [];
  if (problem !== undefined) return { killed: false, note: `it does not load: ${problem.message}` };
  const states = [...(module?.children.allTests() ?? [])].map((one) => one.result().state);
  if (states.includes('failed')) return { killed: true, note: '' };
  const [broken] = [...(module?.children.allSuites() ?? [])].flatMap((suite) => suite.errors());
  if (broken !== undefined) return { killed: false, note: `what its test stands on failed: ${broken.message}` };
  return states.includes('passed')
    ? { killed: false, note: 'its test stayed green', stayedGreen: true }
    : { killed: false, note: 'no such test' };
}
