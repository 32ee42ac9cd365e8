import { isJobpassError } from '../../base/errors.ts';
import { runAs } from '../run-as.ts';
import { containerEnvironment, environmentOf, fileOf } from './variables.ts';
import { type JobContext, type Outcome, section, stopOutcome } from './context.ts';
import { attemptsOf, truth } from './git-settings.ts';

const afterScriptMs = 5 * 60_000;

/** Runs the job's steps in order to the first failure, then after_script, whatever came before. */
export async function runSteps(context: JobContext): Promise<Outcome> {
  const { job, control, entry } = context;
  let outcome: Outcome = { state: 'success' };
  for (const step of job.steps) {
    if (step.name === 'after_script' || outcome.state === 'failed') continue;
    const script = [...entry.scripts.pre_build_script, ...step.script, ...entry.scripts.post_build_script];
    const name = `step_${step.name.replaceAll(/\W/g, '_')}`;
    const exitCode = await section(context, name, `Executing "step_${step.name}" stage of the job script`, () =>
      runLines(context, { name: 'script_step', script, status: 'running', signal: control.script }),
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
    runLines(context, { name: 'after_script_step', script: step.script, status, signal: AbortSignal.any([control.all, limit]) }),
  );
  if (limit.aborted) trace.line('WARNING: after_script took longer than 5 minutes and was ended');
  else if (exitCode !== 0) trace.line(`WARNING: after_script failed with exit code ${exitCode}, but the job will continue unaffected`);
}

interface Lines {
  /** Begins the names of the sections of its multi-line commands. */
  readonly name: string;
  readonly script: readonly string[];
  /** CI_JOB_STATUS. */
  readonly status: string;
  readonly signal: AbortSignal;
}

/** Runs lines where the job's script runs. @returns the exit code; that of a stopped one is not 0 */
export async function runLines(context: JobContext, { name, script, status, signal }: Lines): Promise<number> {
  if (signal.aborted) return 137;
  const { executor, workspace, variables, cookie, trace, job } = context;
  const { place } = workspace;
  const env = executor.features.elsewhere
    ? containerEnvironment(variables, place, status)
    : environmentOf(variables, place, cookie, status);
  const run = {
    script,
    env,
    signal,
    force: context.control.all,
    onOutput: (bytes: Buffer) => trace.append(bytes),
    xtrace: context.debugTrace,
    sections: job.features.trace_sections && truth(variables, 'FF_SCRIPT_SECTIONS', false) ? name : undefined,
  };
  const attempts = attemptsOf(variables, 'EXECUTOR_JOB_SECTION_ATTEMPTS');
  for (let attempt = 1; ; attempt += 1) {
    try {
      const { exitCode } = await workspace.run(run);
      return signal.aborted && exitCode === 0 ? 137 : exitCode;
    } catch (error) {
      // Only where the container itself is gone, as gitlab-runner has it.
      if (attempt >= attempts || signal.aborted || !isJobpassError(error, 'not_found')) throw error;
      trace.line(`What the script ran in is gone; trying again (${attempt + 1} of ${attempts})`);
    }
  }
}

/** File variables are written by the job's own user: the runner writes nothing where a job could have laid a link. */
export async function writeFileVariables(context: JobContext): Promise<void> {
  const { place } = context.workspace;
  for (const { key, value, file } of context.variables.all.values()) {
    if (file !== true) continue;
    await runAs(place, '/bin/sh', ['-c', 'umask 077; cat > "$1"', 'sh', fileOf(place, key)], { cwd: place.slotDir, input: value });
  }
}
