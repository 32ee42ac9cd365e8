import { JobpassError } from '../../base/errors.ts';
import type { JobContext } from './context.ts';
import { runLines } from './steps.ts';

/** The two places at which a job and an operator may have lines run around the sources. */
export type HookName = 'pre_get_sources_script' | 'post_get_sources_script';

/**
 * Runs the operator's lines and the job's own (`hooks:`): before the sources the operator's first, after them last, as gitlab-runner does.
 * They run where the script runs, with what the script sees.
 * @throws upstream_failed where one of them fails
 */
export async function runHook(context: JobContext, name: HookName): Promise<void> {
  const { job, entry, control } = context;
  const own = job.hooks.filter((hook) => hook.name === name).flatMap(({ script }) => script);
  const operators = entry.scripts[name];
  const both = name === 'pre_get_sources_script' ? [...operators, ...own] : [...own, ...operators];
  if (both.length === 0) return;
  const exitCode = await runLines(context, { name, script: both, status: 'running', signal: control.script });
  control.script.throwIfAborted();
  if (exitCode !== 0) throw new JobpassError('upstream_failed', `${name} ended with exit code ${exitCode}.`);
}
