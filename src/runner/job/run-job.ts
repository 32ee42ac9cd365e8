import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { JobpassError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import { Secret } from '../../base/secret.ts';
import type { JobUpdate } from '../../wire/runner.ts';
import type { ReportAnswer } from '../client.ts';
import { runnerVersion } from '../info.ts';
import { isTable, numberIn, textIn } from '../parsed.ts';
import { privateDir } from '../places.ts';
import { tokenPrefixes } from '../trace/forms.ts';
import { Masker, type WatchedSecret } from '../trace/masker.ts';
import { isKill, TraceSender } from '../trace/sender.ts';
import { Trace } from '../trace/trace.ts';
import { forgetJob, rememberJob, traceName } from '../cleanup.ts';
import { waitFor } from '../wait.ts';
import { collectArtifacts, isUploaded, restoreArtifacts } from './artifacts.ts';
import { isSaved, restoreCaches, saveCaches } from './cache.ts';
import { type JobContext, type JobDeps, type Outcome, section, stopOutcome } from './context.ts';
import { JobControl } from './control.ts';
import { decideExposure, type ExposureDecision } from './exposure.ts';
import { fetchSources, returnFetchPass } from './fetch-sources.ts';
import { switchOf } from './git-settings.ts';
import { runHook } from './hooks.ts';
import { needsOf } from './needs.ts';
import { type Job, parsePayload } from './payload.ts';
import { ownVariables } from './own-variables.ts';
import { runSteps, writeFileVariables } from './steps.ts';
import { clonePathOf, variablesOf } from './variables.ts';

/**
 * Runs one job from its payload to its final report.
 * @param stop the runner ends at once: the job is ended with it
 */
export async function runJob(deps: JobDeps, body: unknown, stop: AbortSignal): Promise<void> {
  const job = await readable(deps, body);
  const token = new Secret(job.token);
  const control = new JobControl();
  const accepted = await accept(deps, job, token, stop).catch(async (error: unknown) => {
    // The server has given the job away: unless it is told, it waits for this runner's word.
    const reason = stop.aborted ? 'runner_interrupted' : 'runner_system_failure';
    const lost: JobUpdate = { state: 'failed', failure_reason: reason };
    await deps.client.updateJob(job.id, token, lost, AbortSignal.timeout(hurriedMs)).catch(() => undefined);
    throw error;
  });
  // The last point at which the server can take the job back.
  if (isKill(accepted) || accepted.status === 404) return deps.log.info('job.dropped', { job: job.id });
  if (accepted.jobStatus === 'canceling') control.stopScript('canceling');
  const interrupt = (): void => control.stopAll('interrupted');
  stop.addEventListener('abort', interrupt, { once: true });
  const timer = setTimeout(() => control.stopScript('timeout'), Math.min(job.runner_info.timeout * 1000, 2 ** 31 - 1));
  deps.log.info('job.started', { job: job.id, project: job.job_info.project_id });
  try {
    const trustKey = `${job.job_info.project_id}:${job.extended_job_token?.inputs_key ?? alone(job)}`;
    const cookie = randomBytes(16).toString('hex');
    await runTraced({ ...deps, trustKey, slot: deps.slotFor(trustKey), cookie, log: deps.log.with({ job: job.id }) }, job, token, control);
  } catch (error) {
    // Without a trace there is still a state to report.
    deps.log.error('job.failed_without_trace', { job: job.id }, error);
    await deps.client.updateJob(job.id, token, systemFailure);
  } finally {
    clearTimeout(timer);
    stop.removeEventListener('abort', interrupt);
  }
}

const acceptTries = 5;
/** For the last word on a job of a runner that is to end. */
const hurriedMs = 5000;

/** A connection that is cut between the job and its first report loses neither. @throws what the last try met */
async function accept({ client, retryMs, log }: JobDeps, job: Job, token: Secret, stop: AbortSignal): Promise<ReportAnswer> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await client.updateJob(job.id, token, { state: 'running' }, stop);
    } catch (error) {
      if (stop.aborted || attempt === acceptTries) throw error;
      log.warn('job.unaccepted', { job: job.id, reason: error instanceof Error ? error.message : String(error) });
      await waitFor(retryMs * 2 ** (attempt - 1), stop);
    }
  }
}

const systemFailure: JobUpdate = { state: 'failed', failure_reason: 'runner_system_failure' };

/** A payload that cannot be read is reported at once, where it says at least which job it is. @throws invalid_input */
async function readable(deps: JobDeps, body: unknown): Promise<Job> {
  try {
    return parsePayload(body);
  } catch (error) {
    const [id, token] = isTable(body) ? [numberIn(body, 'id'), textIn(body, 'token')] : [];
    if (id !== undefined && token !== undefined) await deps.client.updateJob(id, new Secret(token), systemFailure);
    throw error;
  }
}

async function runTraced(deps: PlacedDeps, job: Job, token: Secret, control: JobControl): Promise<void> {
  const exposure = decideExposure(job.extended_job_token, deps.judgement, deps.unsafe);
  const visible = variablesOf(job, undefined, exposure.exposure, deps.entry.environment);
  const debugTrace = !deps.entry.debugTraceDisabled && (switchOf(visible.get('CI_DEBUG_TRACE')) ?? false);
  const path = join(await privateDir(deps.entry.buildsDir, 'traces'), traceName(job.id, deps.cookie));
  const leaks: Promise<void>[] = [];
  const watched = watchedSecrets(job, (name, pass) => {
    // Not within the masker's own call.
    leaks.push(Promise.resolve().then(() => onLeak(deps, trace, name, pass)));
  });
  const trace: Trace = await Trace.open({
    path,
    masker: new Masker({
      phrases: [...visible.all.values()].filter(({ masked }) => masked).map(({ value }) => value),
      watched,
      prefixes: [...tokenPrefixes, ...job.features.token_mask_prefixes],
    }),
    timestamps: switchOf(visible.get('FF_TIMESTAMPS')) ?? true,
    limitBytes: deps.entry.outputLimitBytes,
  });
  const sender = new TraceSender({
    client: deps.client,
    job: job.id,
    token,
    trace,
    log: deps.log,
    debugTrace,
    intervalMs: deps.traceIntervalMs,
    retryMs: deps.retryMs,
    heartbeatMs: deps.heartbeatMs,
    onCanceling: () => control.stopScript('canceling'),
    onCanceled: () => control.stopAll('canceled'),
  });
  try {
    const outcome = await runPrepared({ ...deps, job, token, control, trace, watched, debugTrace }, exposure);
    sayOutcome(trace, outcome, job.runner_info.timeout);
    await trace.end();
    await Promise.all(leaks);
    const told = await sender.finish(
      () => finalUpdate(outcome, trace),
      AbortSignal.timeout(control.reason === 'interrupted' ? hurriedMs : 600_000),
    );
    deps.log.info('job.finished', { state: outcome.state, reason: outcome.state === 'failed' ? outcome.reason : null, told });
  } finally {
    await sender.stop();
    await trace.remove();
  }
}

type PlacedDeps = JobDeps & Pick<JobContext, 'slot' | 'trustKey' | 'cookie'>;

/** A job before it has a place to run in. */
type OpenedJob = Omit<JobContext, 'workspace' | 'variables'>;

/** What keeps the inputs of jobs apart where the server says nothing of principals: the tier and who started the job (R15). */
function alone(job: Job): string {
  return `${job.git_info.protected ? 'protected' : 'non_protected'}-user${job.job_info.user_id}`;
}

async function runPrepared(opened: OpenedJob, exposure: ExposureDecision): Promise<Outcome> {
  const { entry, executor, slot, trustKey, cookie, job, trace, log, control } = opened;
  trace.line(`Running with jobpass-runner ${runnerVersion} on ${entry.name}, ${executor.name} executor`);
  trace.line(`jobpass: exposure: ${exposure.exposure}`);
  for (const why of exposure.why) trace.line(`jobpass: ${why.replaceAll(/[\u0000-\u001f\u007f]/g, ' ')}`);
  let context: JobContext | undefined;
  try {
    const projectPath = job.job_info.project_full_path === '' ? `project-${job.job_info.project_id}` : job.job_info.project_full_path;
    const needs = needsOf(opened, entry.environment);
    const clonePath = (buildsDir: string): string | undefined => clonePathOf(job, buildsDir);
    const workspace = await section(opened, 'prepare_executor', `Preparing the "${executor.name}" executor`, () =>
      executor.prepare({ entry, slot, projectPath, clonePath, trustKey, cookie, needs }),
    );
    await rememberJob(entry.buildsDir, { job: job.id, cookie, place: workspace.place });
    const own = await ownVariables(entry, slot, executor.features.images ? (needs.image?.name ?? entry.docker?.image) : undefined);
    const variables = variablesOf(job, workspace.place, exposure.exposure, entry.environment, own);
    context = { ...opened, workspace, variables };
    return await runStages(context);
  } catch (error) {
    return failureOf(error, control, log);
  } finally {
    if (context !== undefined) await cleanUp(context);
  }
}

async function runStages(context: JobContext): Promise<Outcome> {
  const { control } = context;
  const { job, workspace } = context;
  await writeFileVariables(context);
  await workspace.deliver?.();
  await section(context, 'get_sources', 'Getting source from Git repository', async () => {
    await fetchSources(context);
    await returnFetchPass(context);
    await workspace.deliver?.();
    await runHook(context, 'post_get_sources_script');
  });
  if (job.cache.some(({ policy }) => policy !== 'push'))
    await section(context, 'restore_cache', 'Restoring cache', () => restoreCaches(context));
  if (job.dependencies.some(({ artifacts_file: file }) => file !== undefined))
    await section(context, 'download_artifacts', 'Downloading artifacts', () => restoreArtifacts(context));
  if (job.cache.length > 0 || job.dependencies.length > 0) await workspace.deliver?.();
  const outcome = await runSteps(context);
  // Whatever the script left running could still change what is kept.
  await workspace.endProcesses();
  if (!control.all.aborted) await keepFiles(context, outcome);
  return outcome;
}

/** Caches and artifacts, where their `when` fits. Sections are named as gitlab-runner names them. */
async function keepFiles(context: JobContext, outcome: Outcome): Promise<void> {
  const { job, workspace } = context;
  const [caches, artifacts] = [job.cache.some((one) => isSaved(one, outcome)), job.artifacts.some((one) => isUploaded(one, outcome))];
  if (!caches && !artifacts) return;
  await workspace.collect?.();
  const success = outcome.state === 'success';
  if (caches) {
    const [name, title] = success
      ? ['archive_cache', 'Saving cache for successful job']
      : ['archive_cache_on_failure', 'Saving cache for failed job'];
    await section(context, name, title, () => saveCaches(context, outcome));
  }
  if (!artifacts) return;
  const [name, title] = success
    ? ['upload_artifacts_on_success', 'Uploading artifacts for successful job']
    : ['upload_artifacts_on_failure', 'Uploading artifacts for failed job'];
  await section(context, name, title, () => collectArtifacts(context, outcome));
}

function watchedSecrets(job: Job, found: (name: string, pass: Secret) => void): readonly WatchedSecret[] {
  const { token, fetch_token: fetch } = job.extended_job_token ?? {};
  const watch = (name: string, value: string | undefined): readonly WatchedSecret[] =>
    value === undefined ? [] : [{ value, onFound: () => found(name, new Secret(value)) }];
  return [{ value: job.token }, ...watch('full pass', token), ...watch('fetch pass', fetch)];
}

/** A leaked pass is a dead pass (R12). */
async function onLeak(deps: JobDeps, trace: Trace, name: string, pass: Secret): Promise<void> {
  deps.log.warn('pass.leaked', { pass: name });
  trace.line(`jobpass: the ${name} was printed. It is masked here, and revoked.`);
  const dead = await deps.client.revoke(pass).catch(() => false);
  if (!dead) deps.log.error('pass.leaked_not_revoked', { pass: name });
}

function failureOf(error: unknown, control: JobControl, log: Log): Outcome {
  const stopped = stopOutcome(control);
  if (stopped !== undefined) return stopped;
  const known = error instanceof JobpassError;
  if (!known || error.code === 'internal') log.error('job.stage_failed', {}, error);
  const image = known && error.detail.what === 'Image';
  const configuration = known && (error.code === 'invalid_input' || error.code === 'unsupported');
  return {
    state: 'failed',
    reason: image ? 'image_pull_failure' : configuration ? 'runner_configuration_error' : 'runner_system_failure',
    message: known ? error.message : 'the runner failed; its log says more',
  };
}

async function cleanUp(context: JobContext): Promise<void> {
  try {
    await context.workspace.cleanup();
  } catch (error) {
    // The next job of the slot makes its folder anew.
    context.log.error('job.cleanup_failed', {}, error);
  } finally {
    await forgetJob(context.entry.buildsDir, context.job.id, context.cookie);
  }
}

function sayOutcome(trace: Trace, outcome: Outcome, timeoutSeconds: number): void {
  if (outcome.state === 'success') return trace.line('\u001b[32;1mJob succeeded\u001b[0;m');
  const stopped = {
    job_canceled: 'it was canceled',
    job_execution_timeout: `it took longer than its timeout of ${timeoutSeconds} seconds`,
    runner_interrupted: 'the runner was stopped',
  };
  const reason = Object.entries(stopped).find(([name]) => name === outcome.reason)?.[1] ?? outcome.reason;
  const why = outcome.message ?? (outcome.exitCode === undefined ? reason : `exit code ${outcome.exitCode}`);
  trace.line(`\u001b[31;1mERROR: Job failed: ${why}\u001b[0;m`);
}

function finalUpdate(outcome: Outcome, trace: Trace): JobUpdate {
  const output = { checksum: trace.checksum, bytesize: trace.sizeBytes };
  if (outcome.state === 'success') return { state: 'success', checksum: trace.checksum, output };
  const { reason, exitCode } = outcome;
  return {
    state: 'failed',
    failure_reason: reason,
    checksum: trace.checksum,
    output,
    ...(exitCode === undefined || exitCode === 0 ? {} : { exit_code: exitCode }),
  };
}
