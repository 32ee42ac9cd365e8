// `npm run test:mutants`: takes each defence out in turn, in a copy of the tree, and shows its test turning red.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, symlinkSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { quickFolder, removeQuickFolder } from '../support/quick-folder.ts';
import type { Mutant } from './mutant.ts';
import { mutants } from './mutants.ts';
import type { Verdict } from './worker.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const only = process.argv.slice(2);
const chosen = mutants.filter(
  (mutant) => only.length === 0 || only.some((word) => mutant.id === word || mutant.file.includes(word) || mutant.test.includes(word)),
);
const place = quickFolder();
const temporary = join(place, 't');
mkdirSync(temporary, { mode: 0o1777 });

function copyTree(): string {
  const folder = mkdtempSync(join(place, 'tree-'));
  for (const part of ['src', 'test', 'bin', 'package.json', 'tsconfig.json', 'vitest.config.ts'])
    cpSync(join(root, part), join(folder, part), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

async function startWorker(folder: string): Promise<ChildProcess> {
  // Each test file runs in a new thread, which loads the same packages again.
  // What Node.js warns of without a defence is no news, and hides what is.
  const env = { ...process.env, TMPDIR: temporary, NODE_COMPILE_CACHE: join(place, 'compiled'), NODE_NO_WARNINGS: '1' };
  const child = fork(join(folder, 'test', 'mutants', 'worker.ts'), {
    cwd: folder,
    env,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  await once(child, 'message');
  return child;
}

/** Long enough for any walk; a mutant that runs in circles is stopped. */
const longestMs = 300_000;

/** @returns undefined where the worker died of it */
async function ask(child: ChildProcess, mutant: Mutant): Promise<Verdict | undefined> {
  const over = new AbortController();
  const late = setTimeout(() => child.kill('SIGKILL'), longestMs);
  const { signal } = over;
  const answer = once(child, 'message', { signal }).then(([verdict]: Verdict[]) => verdict);
  const death = once(child, 'exit', { signal }).then(() => undefined);
  child.send(mutant);
  try {
    return await Promise.race([answer, death]);
  } finally {
    clearTimeout(late);
    over.abort();
    await Promise.allSettled([answer, death]);
  }
}

/** What is said again at the end, where a reader of a long log looks. */
const survivors: string[] = [];
const lucky: string[] = [];
function tell(mutant: Mutant, { killed, note }: Verdict, tries: number): void {
  const why = killed ? '' : `  <- ${note}`;
  const line = `${mutant.id.padEnd(5)} ${mutant.defence.padEnd(64)} ${mutant.test}${why}`;
  if (!killed) survivors.push(line);
  else if (tries > 1) lucky.push(`${line}  (try ${tries})`);
  console.log(`${killed ? 'red ' : 'ALIVE'}  ${line}`);
}

/** A property test draws its examples, and a race has two ends: a test may need more than one try. More would hide that it tests little. */
const mostTries = 3;

const waiting = chosen.filter(({ hangs }) => hangs === true);
const busy = chosen.filter(({ hangs }) => hangs !== true);
/** @param patient takes the tests that wait first, while the others keep the processors busy */
async function work(patient: boolean): Promise<void> {
  const [first, second] = patient ? [waiting, busy] : [busy, waiting];
  let child: ChildProcess | undefined;
  for (let mutant = first.shift() ?? second.shift(); mutant !== undefined; mutant = first.shift() ?? second.shift()) {
    let verdict: Verdict | undefined;
    let tries = 0;
    do {
      child ??= await startWorker(copyTree());
      verdict = await ask(child, mutant);
      tries += 1;
    } while (verdict?.stayedGreen === true && tries < mostTries);
    if (verdict === undefined) child = undefined;
    tell(mutant, verdict ?? { killed: false, note: 'it took the whole test run down' }, tries);
  }
  if (child === undefined) return;
  child.disconnect();
  await once(child, 'exit');
}
const atOnce = Math.min(availableParallelism(), 4);
await Promise.all([...Array.from({ length: atOnce }, () => work(false)), work(true), work(true)]);
removeQuickFolder(place);

function list(title: string, lines: readonly string[]): void {
  if (lines.length > 0) console.log(`\n${title}:\n${lines.map((line) => `  - ${line}\n`).join('')}`.trimEnd());
}
list('found, but not at once: their tests are weak', lucky);
list('ALIVE', survivors);
console.log(`\n${chosen.length - survivors.length} of ${chosen.length} mutants found`);
process.exit(survivors.length === 0 && chosen.length > 0 ? 0 : 1);
