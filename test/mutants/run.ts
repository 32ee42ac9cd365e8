// `npm run test:mutants`: takes each defence out in turn, in a copy of the tree, and shows its test turning red.
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Mutant } from './mutant.ts';
import { mutants } from './mutants.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const only = process.argv.slice(2);
const chosen = mutants.filter(
  (mutant) => only.length === 0 || only.some((word) => mutant.id === word || mutant.file.includes(word) || mutant.test.includes(word)),
);

type Verdict = { readonly killed: boolean; readonly note: string };

function copyTree(): string {
  const folder = mkdtempSync(join(tmpdir(), 'jobpass-mutants-'));
  for (const part of ['src', 'test', 'bin', 'package.json', 'tsconfig.json', 'vitest.config.ts'])
    cpSync(join(root, part), join(folder, part), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

async function tryMutant(folder: string, mutant: Mutant): Promise<Verdict> {
  const path = join(folder, mutant.file);
  const original = readFileSync(path, 'utf8');
  const parts = original.split(mutant.find);
  if (parts.length !== 2) return { killed: false, note: `its text stands ${parts.length - 1} times in ${mutant.file}` };
  writeFileSync(path, parts.join(mutant.replace));
  try {
    const report = join(folder, 'report.json');
    await vitest(
      folder,
      ['run', mutant.test, '-t', mutant.name.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'), '--reporter=json', `--outputFile=${report}`],
      mutant.walk ?? '',
    );
    const result: { numFailedTests: number; numPassedTests: number } = JSON.parse(readFileSync(report, 'utf8'));
    if (result.numFailedTests > 0) return { killed: true, note: '' };
    return { killed: false, note: result.numPassedTests === 0 ? 'no such test' : 'its test stayed green' };
  } finally {
    writeFileSync(path, original);
  }
}

function vitest(folder: string, args: readonly string[], walk: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(folder, 'node_modules', 'vitest', 'vitest.mjs'), ...args], {
      cwd: folder,
      stdio: 'ignore',
      env: { ...process.env, WALK: walk },
    });
    child.on('error', reject);
    child.on('exit', () => resolve());
  });
}

let survived = 0;
function tell(mutant: Mutant, { killed, note }: Verdict): void {
  if (!killed) survived += 1;
  const why = killed ? '' : `  <- ${note}`;
  console.log(`${killed ? 'red ' : 'ALIVE'}  ${mutant.id.padEnd(5)} ${mutant.defence.padEnd(64)} ${mutant.test}${why}`);
}

const queue = [...chosen];
async function worker(): Promise<void> {
  const folder = copyTree();
  for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) tell(mutant, await tryMutant(folder, mutant));
  rmSync(folder, { recursive: true, force: true });
}
await Promise.all(Array.from({ length: Math.min(availableParallelism(), 4) }, () => worker()));

console.log(`\n${chosen.length - survived} of ${chosen.length} mutants found`);
process.exit(survived === 0 && chosen.length > 0 ? 0 : 1);
