import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const folder = fileURLToPath(new URL('../../packaging', import.meta.url));
const units = globSync('*.service', { cwd: folder }).toSorted();
const analyses = spawnSync('systemd-analyze', ['--version'], { stdio: 'ignore' }).status === 0;

test.each(units)('%s keeps what Node.js needs', (unit) => {
  const text = readFileSync(join(folder, unit), 'utf8');
  // Its compiler writes code; V8 asks for protection keys, and a filter without an error number kills the process for that.
  expect(text).not.toMatch(/^MemoryDenyWriteExecute=/m);
  expect(text).toMatch(/^SystemCallFilter=@system-service @pkey$/m);
  expect(text).toMatch(/^SystemCallErrorNumber=EPERM$/m);
});

test.each(['jobpass-serve.service', 'jobpass-runner.service'])('%s lets what it has started end with what it is for', (unit) => {
  // Else each git and each job would be told to end together with the service that lets them finish.
  expect(readFileSync(join(folder, unit), 'utf8')).toMatch(/^KillMode=mixed$/m);
});

test.skipIf(!analyses).each(units)('%s is a unit that systemd takes', (unit) => {
  const dir = mkdtempSync(join(tmpdir(), 'jobpass-units-'));
  try {
    const copy = join(dir, unit);
    // What it starts is not installed here.
    writeFileSync(copy, readFileSync(join(folder, unit), 'utf8').replace('/usr/bin/jobpass', '/bin/true'));
    const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', copy], { encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
