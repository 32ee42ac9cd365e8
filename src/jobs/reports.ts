import { millis } from '../base/ids.ts';
import { JobpassError } from '../base/errors.ts';
import type { JobId } from '../base/ids.ts';
import { limits } from '../base/limits.ts';
import type { PlanJob } from '../pipeline/plan.ts';
import type { JobRecord, JobStatus } from '../ports/jobs.ts';
import { type FailureReason, failureReasons, type JobUpdate } from '../wire/runner.ts';
import { advance } from './advance.ts';
import type { JobsDeps } from './deps.ts';
import type { Reports } from './jobs.ts';
import { artifactKey, traceKey } from './keys.ts';
import { LeakScanner } from './leaks.ts';
import { hasEnded } from './state.ts';

/** What runners say of their jobs: state, trace, artifacts. */
export function makeReports(deps: JobsDeps): Reports {
  const { jobs, transactor, clock } = deps;
  const leaks = new LeakScanner(deps.revoker, (job, pass) => deps.log.warn('pass.leaked', { job, pass }));

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
    const status = await transactor.write(async (tx) => {
      const current = await jobs.job(tx, job.id);
      if (current === undefined || hasEnded(current.status)) return current?.status ?? 'canceled';
      const to: JobStatus = current.status === 'canceling' ? 'canceled' : update.state === 'success' ? 'success' : 'failed';
      const forgiven = to === 'failed' && update.exit_code !== undefined && plan.job.allowFailureExitCodes.includes(update.exit_code);
      const done = await jobs.changeJob(tx, job.id, [current.status], {
        status: to,
        finishedAt: now,
        contactAt: now,
        exitCode: update.exit_code ?? (to === 'success' ? 0 : null),
        failureReason: to === 'failed' ? reasonOf(update.failure_reason) : null,
      });
      if (!done) return current.status;
      if (forgiven) await jobs.forgive(tx, job.id);
      await deps.revoker.revokeForJob(tx, job.id, `the job ended (${to})`);
      await advance(deps, tx, job.pipelineId);
      return to;
    });
    if (hasEnded(status)) {
      deps.revoker.jobEnded(job.id);
      leaks.forget(job.id);
      deps.log.info('job.ended', { job: job.id, status });
      deps.wakeup.changed();
    }
    return status;
  }

  return {
    async update(id, update) {
      const job = await known(id);
      if (hasEnded(job.status)) return { answer: 'gone', status: job.status };
      if (update.state === 'pending' || update.state === 'running') {
        await touch(id);
        return { answer: 'ok', status: job.status };
      }
      const wanted = update.output?.bytesize;
      if (wanted !== undefined && !leaks.altered(id)) {
        const size = await deps.traces.sizeBytes(traceKey(id));
        if (size < wanted) return { answer: 'accepted', status: job.status };
        const checksum = update.output?.checksum ?? update.checksum;
        const sum = `crc32:${(await deps.traces.crc32(traceKey(id))).toString(16).padStart(8, '0')}`;
        if (checksum !== undefined && size !== 0 && checksum !== sum) {
          await deps.traces.truncate(traceKey(id));
          return { answer: 'resend_trace', status: job.status };
        }
      }
      return { answer: 'ok', status: await finish(job, update) };
    },
    async appendTrace(id, offset, bytes) {
      const job = await known(id);
      if (hasEnded(job.status)) return { sizeBytes: await deps.traces.sizeBytes(traceKey(id)), status: job.status };
      const stored = await deps.traces.sizeBytes(traceKey(id));
      if (offset !== stored) throw new JobpassError('range_mismatch', { offsetBytes: stored });
      const sizeBytes = await deps.traces.append(traceKey(id), offset, await leaks.scan(id, bytes));
      await touch(id);
      return { sizeBytes, status: (await known(id)).status };
    },
    async storeArtifacts(id, filename, body, expireInSeconds) {
      const job = await known(id);
      if (hasEnded(job.status)) throw new JobpassError('access_denied', 'The job has ended.');
      const stored = await deps.blobs.write(artifactKey(id), body, limits.artifactBytes);
      const now = clock.now();
      await transactor.write((tx) =>
        jobs.changeJob(tx, id, ['running', 'canceling'], {
          artifactsFile: filename,
          artifactsSizeBytes: stored.sizeBytes,
          artifactsExpireAt: expireInSeconds === null ? null : millis(now + expireInSeconds * 1000),
          contactAt: now,
        }),
      );
      return { sizeBytes: stored.sizeBytes };
    },
    async dependencyArtifacts(asking, wanted) {
      const [job, source] = [await known(asking), await jobs.job(null, wanted)];
      if (source === undefined || source.pipelineId !== job.pipelineId || source.artifactsFile === null) return undefined;
      return { filename: source.artifactsFile, ...(await deps.blobs.open(artifactKey(wanted))) };
    },
    status: async (id) => (await known(id)).status,
  };
}

function reasonOf(text: string | undefined): FailureReason {
  return failureReasons.find((reason) => reason === text) ?? 'unknown_failure';
}
