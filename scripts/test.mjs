// `npm test`: type check, linter, formatter, then every test; ends with the line `N passed, N failed`.
import { execFile, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { quickFolder, removeQuickFolder } from '../test/support/quick-folder.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const bin = (name) => join(root, 'node_modules', '.bin', name);
const filters = process.argv.slice(2);
let passed = 0;
let failed = 0;
const notRun = [];
const failures = [];

const run = promisify(execFile);

async function check(name, command, args) {
  const started = Date.now();
  const problem = await run(command, args, { cwd: root, maxBuffer: 64 * 1024 * 1024 }).then(
    () => undefined,
    (error) => `${error.stdout ?? ''}${error.stderr ?? ''}` || String(error),
  );
  console.log(`${problem === undefined ? 'ok  ' : 'FAIL'} ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
  if (problem === undefined) passed += 1;
  else {
    failed += 1;
    console.log(problem);
  }
}

if (filters.length === 0) {
  const places = ['src', 'test', 'bench', 'bin', 'scripts'];
  // Side by side; several type checkers would each look at the same declarations, for twice the processor time.
  await Promise.all([
    check('types (tsc)', bin('tsc'), ['--noEmit', '--singleThreaded']),
    check('linter (oxlint)', bin('oxlint'), ['--type-aware', '--deny-warnings', ...places]),
    check('format (oxfmt)', bin('oxfmt'), ['--check', ...places]),
    check('build (tsc to dist/)', process.execPath, [join(root, 'scripts', 'build.mjs')]),
  ]);
}

const folder = quickFolder();
const report = join(folder, 'report.json');
const vitest = spawnSync(
  process.execPath,
  [
    bin('vitest'),
    'run',
    '--reporter=dot',
    `--reporter=${join(root, 'test', 'support', 'unsteady.ts')}`,
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...filters,
  ],
  {
    cwd: root,
    stdio: 'inherit',
    // Far more than all of it takes: a process that a test left behind can keep the runner from its end when the report is long written.
    timeout: 25 * 60_000,
    killSignal: 'SIGKILL',
    // Servers, helpers and runners that tests start all load the same sources: stripped and compiled once.
    env: { ...process.env, TMPDIR: folder, NODE_COMPILE_CACHE: join(folder, 'compiled') },
  },
);
try {
  const result = JSON.parse(readFileSync(report, 'utf8'));
  passed += result.numPassedTests;
  failed += result.numFailedTests;
  for (const file of result.testResults) {
    // A file that does not even load has no test that could fail.
    if (file.status === 'failed' && file.assertionResults.length === 0) {
      failed += 1;
      failures.push(relative(root, file.name));
    }
    for (const test of file.assertionResults) {
      if (test.status === 'skipped' || test.status === 'pending') notRun.push(test.fullName);
      if (test.status === 'failed') failures.push(`${relative(root, file.name)} > ${test.fullName}`);
    }
  }
} catch (error) {
  failed += 1;
  console.log(`the test runner left no report: ${String(error)}`);
}
removeQuickFolder(folder);
if (vitest.error?.code === 'ETIMEDOUT') console.log('\nthe test runner did not end: a process that a test started has its output open');
else if (vitest.status !== 0 && failed === 0) failed += 1;

if (notRun.length > 0) {
  console.log(`\nnot run (${notRun.length}), a tool is missing here:`);
  for (const name of notRun) console.log(`  - ${name}`);
  if (process.env.CI) failed += notRun.length;
}
// Once more where a reader of a long log looks.
if (failures.length > 0) console.log(`\nfailed:\n${failures.map((name) => `  - ${name}`).join('\n')}`);
console.log(`\n${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
