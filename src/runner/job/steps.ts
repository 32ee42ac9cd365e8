import { runAs } from '../run-as.ts';
import { containerEnvironment, environmentOf, fileOf } from './variables.ts';
import { type JobContext, type Outcome, section, stopOutcome } from './context.ts';

const afterScriptMs = 5 * 60_000;

/** Runs the job's steps in order to the first failure, then after_script, whatever came before. */
export async function runSteps(context: JobContext): Promise<Outcome> {
  await writeFileVariables(context);
  const { job, control } = context;
  let outcome: Outcome = { state: 'success' };
  for (const step of job.steps) {
    if (step.name === 'after_script' || outcome.state === 'failed') continue;
    const exitCode = await section(
      context,
      `step_${step.name.replaceAll(/\W/g, '_')}`,
      `Executing "step_${step.name}" stage of the job script`,
      () => runStep(context, step.script, 'running', control.script),
    );
    if (exitCode !== 0) outcome = { state: 'failed', reason: 'script_failure', exitCode };
  }
  outcome = stopOutcome(control) ?? outcome;
  await runAfterScript(context, outcome);
  // A cancel during after_script still cancels.
  return stopOutcome(control) ?? outcome;
}

async function runAfterScript(context: JobContext, outcome: Outcome): Promise<void> {
  const { job, control, trace, workspace } = context;
  const step = job.steps.find(({ name }) => name === 'after_script');
  if (step === undefined || step.script.length === 0 || control.all.aborted) return;
  await workspace.endProcesses();
  const canceled = outcome.state === 'failed' && outcome.reason === 'job_canceled';
  const status = outcome.state === 'success' ? 'success' : canceled ? 'canceled' : 'failed';
  const limit = AbortSignal.timeout(afterScriptMs);
  const exitCode = await section(context, 'after_script', 'Running after_script', () =>
    runStep(context, step.script, status, AbortSignal.any([control.all, limit])),
  );
  if (limit.aborted) trace.line('WARNING: after_script took longer than 5 minutes and was ended');
  else if (exitCode !== 0) trace.line(`WARNING: after_script failed with exit code ${exitCode}, but the job will continue unaffected`);
}

/** @returns the exit code; that of a stopped one is not 0 */
async function runStep(context: JobContext, script: readonly string[], status: string, signal: AbortSignal): Promise<number> {
  if (signal.aborted) return 137;
  const { executor, workspace, variables, cookie, trace } = context;
  const { place } = workspace;
  const env = executor.features.images ? containerEnvironment(variables, place, status) : environmentOf(variables, place, cookie, status);
  const { exitCode } = await workspace.run({ script, env, signal, force: context.control.all, onOutput: (bytes) => trace.append(bytes) });
  return signal.aborted && exitCode === 0 ? 137 : exitCode;
}

/** File variables are written by the job's own user: the runner writes nothing where a job could have laid a link. */
async function writeFileVariables(context: JobContext): Promise<void> {
  const { place } = context.workspace;
  for (const { key, value, file } of context.variables.all.values()) {
    if (file !== true) continue;
    await runAs(place, '/bin/sh', ['-c', 'umask 077; cat > "$1"', 'sh', fileOf(place, key)], { cwd: place.slotDir, input: value });
  }
}
