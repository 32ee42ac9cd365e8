#!/usr/bin/env node
// Plain JavaScript on purpose: it must start on whatever Node the host has, then hand over to one that is new enough.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(root, 'src', 'cli', 'main.ts');
const built = join(root, 'dist', 'cli', 'main.js');
// A clone runs its sources; a package has none and runs what was built.
const entry = existsSync(source) ? source : built;

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major > 24 || (major === 24 && minor >= 11)) {
  nodeModule.enableCompileCache?.();
  whenLeft(() => process.kill(process.pid, 'SIGTERM'));
  await import(entry);
} else {
  const node = bundledNode();
  if (node === undefined) {
    console.error(
      `jobpass needs Node.js 24.11 or newer; this is ${process.versions.node}, and no bundled Node.js was installed for ${process.platform}-${process.arch}.\n` +
        'Install Node.js 24 (https://nodejs.org), or reinstall jobpass without --omit=optional.',
    );
    process.exit(1);
  }
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']) process.on(signal, () => child.kill(signal));
  whenLeft(() => child.kill('SIGTERM'));
  child.on('exit', (code, signal) => process.exit(signal === null ? (code ?? 1) : 128 + constants.signals[signal]));
}

/** npm, and so npx, starts us by a shell, and tells that shell alone to end: then nobody is left who would tell us. */
function whenLeft(end) {
  if (process.env.npm_lifecycle_event === undefined) return;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    end();
  }, 200);
  timer.unref();
}

function bundledNode() {
  try {
    const require = nodeModule.createRequire(import.meta.url);
    const path = join(dirname(require.resolve(`node-${process.platform}-${process.arch}/package.json`)), 'bin', 'node');
    return existsSync(path) ? path : undefined;
  } catch {
    return undefined;
  }
}
