import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = '/sys/fs/cgroup';
/** Short, so that nobody waits long for the rest of it. */
const periodUs = 10_000;

/** A bound on the CPU time of processes. */
export interface Quota {
  /** Takes the bound away again. */
  close(): void;
}

/**
 * Gives each of `pids` a share of one core, whatever else the machine does: control groups of their own, below this process's.
 * @param share of one core, above 0
 * @returns undefined where no control group can be made or bounded here
 * @see cgroups(7); `cpu.max` is of version 2, `cpu.cfs_quota_us` of version 1
 */
export function quotaFor(name: string, pids: readonly number[], share: number): Quota | undefined {
  const above = ownGroup();
  if (above === undefined) return undefined;
  const group = join(above, `jobpass-bench-${process.pid}-${name}`);
  const quotaUs = Math.round(periodUs * share);
  const close = (): void => {
    for (const pid of pids) write(join(above, 'cgroup.procs'), pid);
    rmdirSync(group);
  };
  try {
    mkdirSync(group);
  } catch {
    return undefined;
  }
  const bounded = existsSync(join(group, 'cpu.max'))
    ? write(join(group, 'cpu.max'), `${quotaUs} ${periodUs}`)
    : write(join(group, 'cpu.cfs_period_us'), periodUs) && write(join(group, 'cpu.cfs_quota_us'), quotaUs);
  if (bounded && pids.every((pid) => write(join(group, 'cgroup.procs'), pid))) return { close };
  close();
  return undefined;
}

/** This process's group of the CPU controller. In version 2 only the root may hold both processes and groups that are bounded. */
function ownGroup(): string | undefined {
  const lines = readFileSync('/proc/self/cgroup', 'utf8').split('\n');
  const first = lines.map((line) => /^\d+:(?:[^:]*,)?cpu(?:,[^:]*)?:(.*)$/.exec(line)?.[1]).find((path) => path !== undefined);
  if (first !== undefined) return join(root, 'cpu', first);
  return existsSync(join(root, 'cgroup.controllers')) ? root : undefined;
}

function write(path: string, value: number | string): boolean {
  try {
    writeFileSync(path, String(value));
    return true;
  } catch {
    return false;
  }
}
