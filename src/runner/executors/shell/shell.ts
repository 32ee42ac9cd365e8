import { spawn } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { invocation, removeAs } from '../../run-as.ts';
import type { BuildPlace, Executor, ScriptEnd, ScriptRun, Workspace } from '../executor.ts';
import { makePlace } from '../place.ts';
import { endGroup, killMarked, killUid, signalGroup } from './processes.ts';
import { shellScript } from './script.ts';

/** How long a script may take to clean up after SIGTERM. */
const graceMs = 5000;

/** Runs scripts in a shell of this machine: as another OS user where the runner is root (R8), else with no boundary at all. */
export const shellExecutor: Executor = {
  name: 'shell',
  features: { images: false, separateUser: process.getuid?.() === 0, elsewhere: false },
  async prepare(options) {
    const place = await makePlace(options);
    const shell = await chooseShell(options.entry.shell);
    const endProcesses = async (): Promise<void> => {
      if (place.uid !== undefined && place.gid !== undefined && place.exclusiveUid) await killUid(place.uid, place.gid);
      else await killMarked(options.cookie);
    };
    const workspace: Workspace = {
      place,
      endProcesses,
      run: (run) => runScript(place, shell, run),
      async cleanup() {
        await endProcesses();
        await removeAs(place, place.tmpDir);
      },
    };
    return workspace;
  },
};

async function chooseShell(wanted: string | undefined): Promise<{ readonly kind: 'bash' | 'sh'; readonly path: string }> {
  for (const path of wanted === 'sh' ? [] : ['/bin/bash', '/usr/bin/bash', '/usr/local/bin/bash']) {
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return { kind: 'bash', path };
  }
  return { kind: 'sh', path: '/bin/sh' };
}

async function runScript(
  place: BuildPlace,
  shell: { readonly kind: 'bash' | 'sh'; readonly path: string },
  run: ScriptRun,
): Promise<ScriptEnd> {
  run.signal.throwIfAborted();
  const call = invocation(place, place.buildDir, shell.path, shell.kind === 'bash' ? ['--noprofile', '--norc'] : []);
  const child = spawn(call.program, call.args, { ...call.options, env: { ...run.env }, stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  child.stdout.on('data', run.onOutput);
  child.stderr.on('data', run.onOutput);
  child.stdin.on('error', () => undefined);
  child.stdin.end(shellScript(run.script, { shell: shell.kind, xtrace: run.xtrace, sections: run.sections }));
  const group = child.pid;
  const pipesClosed = closed(child);
  let ending: Promise<void> | undefined;
  const kill = (): void => {
    if (group !== undefined) ending ??= endGroup(group, graceMs);
  };
  const force = (): void => {
    if (group !== undefined) signalGroup(group, 'SIGKILL');
  };
  run.signal.addEventListener('abort', kill, { once: true });
  run.force.addEventListener('abort', force, { once: true });
  try {
    const exitCode = await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => resolve(code ?? 128 + (signal === 'SIGKILL' ? 9 : 15)));
    });
    if (ending === undefined && group !== undefined) ending = endGroup(group, 0);
    await ending;
    // A process that left the group may hold the pipes open; what the group wrote is already in them.
    await Promise.race([pipesClosed, new Promise((resolve) => setTimeout(resolve, 500))]);
    return { exitCode };
  } finally {
    run.signal.removeEventListener('abort', kill);
    run.force.removeEventListener('abort', force);
    child.stdout.destroy();
    child.stderr.destroy();
  }
}

function closed(child: ReturnType<typeof spawn>): Promise<void> {
  return new Promise((resolve) => {
    child.once('close', () => resolve());
  });
}
