import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const memory = '/dev/shm';
const roomBytes = 3 * 1024 ** 3;

/**
 * A folder for what a run of the tests leaves lying: in memory where there is room for it and programs may run there (git's hooks do), since tests
 * make thousands of files and nobody reads them after a power cut. The path is short, as sockets' paths have to be, and open to the other users that
 * tests run as.
 */
export function quickFolder(): string {
  const folder = inMemory() ?? mkdtempSync(join(tmpdir(), 'jpt-'));
  chmodSync(folder, 0o1777);
  return folder;
}

/** Whatever cannot be removed stays: the verdict of the tests does not hang on it. */
export function removeQuickFolder(folder: string): void {
  try {
    // podman mounts its storage anew where a container's end is tidied up late, after its test.
    for (const place of mountsBelow(folder)) execFileSync('umount', ['-l', place]);
    rmSync(folder, { recursive: true, force: true });
  } catch (error) {
    console.log(`${folder} stays: ${String(error)}`);
  }
}

function mountsBelow(folder: string): readonly string[] {
  if (!existsSync('/proc/mounts')) return [];
  const places = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '');
  return places.filter((place) => place.startsWith(`${folder}/`)).toReversed();
}

function inMemory(): string | undefined {
  let folder: string | undefined;
  try {
    const { bavail, bsize } = statfsSync(memory);
    if (bavail * bsize < roomBytes || process.availableMemory() < 2 * roomBytes) return undefined;
    folder = mkdtempSync(join(memory, 'jpt-'));
    const program = join(folder, 'program');
    writeFileSync(program, '#!/bin/sh\n', { mode: 0o755 });
    execFileSync(program);
    rmSync(program);
    return folder;
  } catch {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    return undefined;
  }
}
