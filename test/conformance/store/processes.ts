import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('child.ts', import.meta.url));

/** A running child.ts and what it printed so far. */
export interface Child {
  readonly process: ChildProcess;
  readonly lines: readonly string[];
  /** Resolves when that many lines were printed. */
  printed(count: number): Promise<void>;
  /** Resolves with the exit code when the process is gone and all of its lines are read. */
  readonly ended: Promise<number | null>;
}

export function startChild(mode: 'open' | 'append' | 'claim', url: string, extra = ''): Child {
  const child = spawn(process.execPath, [script, mode, url, extra], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: string[] = [];
  const waiting: { readonly count: number; readonly resolve: () => void }[] = [];
  const reader = createInterface({ input: child.stdout });
  reader.on('line', (line) => {
    lines.push(line);
    for (const wait of waiting) if (lines.length >= wait.count) wait.resolve();
  });
  const ended = Promise.all([once(child, 'exit'), once(reader, 'close')]).then(() => child.exitCode);
  const printed = (count: number): Promise<void> =>
    new Promise((resolve, reject) => {
      if (lines.length >= count) resolve();
      waiting.push({ count, resolve });
      void ended.then((code) => reject(new Error(`the child ended with ${code} after ${lines.length} lines`)));
    });
  return { process: child, lines, printed, ended };
}
