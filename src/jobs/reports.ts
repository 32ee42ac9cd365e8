import { JobpassError } from '../base/errors.ts';
import type { JobId } from '../base/ids.ts';
import { limits } from '../base/limits.ts';
import type { PlanJob } from '../pipeline/plan.ts';
import type { JobRecord, JobStatus } from '../ports/jobs.ts';
import { type FailureReason, failureReasons, type JobUpdate } from '../wire/runner.ts';
import { advance } from './advance.ts';
import { makeArtifacts } from './artifacts.ts';
import { keepCoverage } from './coverage.ts';
import { deployed } from './deployment.ts';
import type { JobsDeps } from './deps.ts';
import { readTail } from './held-back.ts';
import type { Reports } from './jobs.ts';
import { deployedUrl, noAddress } from './job-values.ts';
import { traceKey } from './keys.ts';
import { LeakScanner } from './leaks.ts';
import { retryFailed } from './retry.ts';
import { hasEnded } from './state.ts';
import type { Watched } from './watched.ts';

/** What runners say of their jobs: state, trace, artifacts. */
export function makeReports(deps: JobsDeps, watched: Watched): Reports {
  const { jobs, transactor, clock } = deps;
  const leaks = new LeakScanner(deps.leaks);
  /** Traces that were asked for a second time: whatever comes then is kept. */
  const resent = new Set<JobId>();
  const forget = (id: JobId): void => {
    leaks.forget(id);
    resent.delete(id);
    watched.forget(id);
  };

  const known = async (id: JobId): Promise<JobRecord> => {
    const job = await jobs.job(null, id);
    if (job === undefined) throw new JobpassError('not_found', {});
    return job;
  };
  const touch = (id: JobId): Promise<unknown> =>
    transactor.write((tx) => jobs.changeJob(tx, id, ['running', 'canceling'], { contactAt: clock.now() }));

  /** The end of a job and the death of its passes are one commit (R2, A45). */
  async function finish(job: JobRecord, update: JobUpdate): Promise<JobStatus> {
    const plan: { job: PlanJob } = JSON.parse(job.plan);
    const now = clock.now();
    // Reads git where the job names an address: before the transaction, and no reason to let the job, and its passes, live on.
    const url = update.state === 'success' ? await deployedUrl(deps, job, [...(job.dotenv ?? [])]).catch(noAddress(deps, job)) : null;
    const status = await transactor.write(async (tx) => {
      await jobs.lockPipeline(tx, job.pipelineId);
      const current = await jobs.job(tx, job.id);
      if (current === undefined || hasEnded(current.status)) return current?.status ?? 'canceled';
      const to: JobStatus = current.status === 'canceling' ? 'canceled' : update.state === 'success' ? 'success' : 'failed';
      const forgiven = to === 'failed' && update.exit_code !== undefined && plan.job.allowFailureExitCodes.includes(update.exit_code);
      const done = await jobs.changeJob(tx, job.id, [current.status], {
        status: to,
        finishedAt: now,
        contactAt: now,
        exitCode: update.exit_code === undefined ? (to === 'success' ? 0 : null) : kept(update.exit_code),
        failureReason: to === 'failed' ? reasonOf(update.failure_reason) : null,
      });
      if (!done) return current.status;
      if (to === 'success') await deployed(deps, tx, job, url, now);
      if (forgiven) await jobs.forgive(tx, job.id);
      if (to === 'failed')
        await retryFailed(deps, tx, current, { reason: reasonOf(update.failure_reason), exitCode: update.exit_code ?? null });
      await deps.revoker.revokeForJob(tx, job.id, `the job ended (${to})`);
      await advance(deps, tx, job.pipelineId);
      return to;
    });
    if (hasEnded(status)) {
      deps.revoker.jobEnded(job.id);
      forget(job.id);
      deps.log.info('job.ended', { job: job.id, status });
      deps.wakeup.changed();
    }
    return status;
  }

  /** The runner's last word is the death of the passes, also while its trace is still on the way (A45). */
  async function endPasses(id: JobId): Promise<void> {
    await transactor.write((tx) => deps.revoker.revokeForJob(tx, id, 'the job reported its end'));
    deps.revoker.jobEnded(id);
  }

  /** Whether the trace is what the runner says it sent. */
  async function traceState(id: JobId, update: JobUpdate): Promise<'whole' | 'short' | 'damaged'> {
    const bytes = update.output?.bytesize;
    if (bytes === undefined || leaks.altered(id) || resent.has(id)) return 'whole';
    const size = await deps.traces.sizeBytes(traceKey(id));
    if (size < bytes) return 'short';
    const checksum = update.output?.checksum ?? update.checksum;
    if (checksum === undefined || size === 0) return 'whole';
    return checksum === `crc32:${(await deps.traces.crc32(traceKey(id))).toString(16).padStart(8, '0')}` ? 'whole' : 'damaged';
  }

  return {
    async update(id, update) {
      const job = await known(id);
      if (hasEnded(job.status)) return { answer: 'gone', status: job.status };
      if (update.state === 'pending' || update.state === 'running') {
        await touch(id);
        return { answer: 'ok', status: job.status };
      }
      const trace = await traceState(id, update);
      if (trace === 'whole') {
        const status = await finish(job, update);
        // After the end, which it must not hold up: the passes are dead by now.
        await keepCoverage(deps, job).catch((error: unknown) => deps.log.error('job.coverage_failed', { job: id }, error));
        return { answer: 'ok', status };
      }
      await endPasses(id);
      if (trace === 'short') return { answer: 'accepted', status: job.status };
      resent.add(id);
      await deps.traces.truncate(traceKey(id));
      return { answer: 'resend_trace', status: job.status };
    },
    async appendTrace(id, offset, bytes) {
      const job = await known(id);
      const stored = await deps.traces.sizeBytes(traceKey(id));
      if (hasEnded(job.status)) return { sizeBytes: stored, status: job.status, over: true };
      if (offset !== stored) throw new JobpassError('range_mismatch', { offsetBytes: stored });
      // Told by its state, a runner stops; told "too large", it would try again for ever.
      if (stored + bytes.length > limits.traceBytes)
        return { sizeBytes: stored, status: await finish(job, { state: 'failed', failure_reason: 'trace_size_exceeded' }), over: true };
      const before = new Set<number>();
      const masked = await leaks.scan(id, bytes, {
        offset,
        before: () => readTail(deps.traces, traceKey(id), offset),
        found: (back) => before.add(offset - back),
      });
      if (before.size > 0) await deps.traces.mask(traceKey(id), [...before]);
      const sizeBytes = await deps.traces.append(traceKey(id), offset, masked).catch((error: unknown) => {
        leaks.lost(id);
        throw error;
      });
      await touch(id);
      return { sizeBytes, status: (await known(id)).status, over: false };
    },
    ...makeArtifacts(deps),
    intervalSeconds: (id) => watched.intervalSeconds(id),
    async status(id) {
      const { status } = await known(id);
      if (hasEnded(status)) forget(id);
      return status;
    },
  };
}

/** Windows has codes of 32 bits without a sign, such as 3221225477; they are kept as they read with one. */
function kept(exitCode: number): number {
  return exitCode | 0;
}

function reasonOf(text: string | undefined): FailureReason {
  return failureReasons.find((reason) => reason === text) ?? 'unknown_failure';
}
