import { Readable } from 'node:stream';
import { gunzipSync } from 'node:zlib';
import { JobpassError } from '../base/errors.ts';
import { type EpochMillis, type JobId, millis } from '../base/ids.ts';
import { limits } from '../base/limits.ts';
import { randomBase62 } from '../base/secret.ts';
import type { PlanJob } from '../pipeline/plan.ts';
import type { StoredBlob } from '../ports/blobs.ts';
import type { JobRecord, PipelineVariable } from '../ports/jobs.ts';
import type { Tx } from '../ports/tx.ts';
import { dependenciesOf } from './dependencies.ts';
import type { JobsDeps } from './deps.ts';
import { parseDotenv } from './dotenv.ts';
import type { Reports } from './jobs.ts';
import { remoteSource } from './remote-needs.ts';
import { artifactKey, reportKey } from './keys.ts';
import { hasEnded } from './state.ts';
import { UploadSearch } from '../base/upload-search.ts';

/** What jobs upload, and fetch of each other. */
export function makeArtifacts(deps: JobsDeps): Pick<Reports, 'storeArtifacts' | 'storeReport' | 'dependencyArtifacts'> {
  const { jobs, transactor, clock } = deps;
  const uploading = new Set<string>();

  const running = async (id: JobId): Promise<JobRecord> => {
    const job = await jobs.job(null, id);
    if (job === undefined) throw new JobpassError('not_found', {});
    if (hasEnded(job.status)) throw ended();
    return job;
  };
  /** One at a time for each key: a second upload need not be sent whole to be refused. */
  async function once<Result>(key: string, stored: boolean, work: () => Promise<Result>): Promise<Result> {
    if (stored || uploading.has(key)) throw already();
    uploading.add(key);
    try {
      return await work();
    } finally {
      uploading.delete(key);
    }
  }
  /**
   * Stores what has no pass in it; one that has is dead before anybody could read it (R12, A27). It stands apart until the transaction that makes its row,
   * so that nothing replaces what was stored: not a second upload, on whichever node, and not one that outlives the job (R2).
   * @param row false where the job has ended
   */
  async function keep(
    id: JobId,
    key: string,
    filename: string,
    body: Readable,
    maxBytes: number,
    row: (tx: Tx, sizeBytes: number) => Promise<boolean>,
  ): Promise<StoredBlob> {
    const apart = `${key}.${randomBase62(16)}`;
    const search = new UploadSearch();
    search.named(filename);
    const stored = await deps.blobs.write(apart, search.through(body), maxBytes);
    try {
      const place = { door: 'runner', what: `an upload of job ${id}`, requestId: `job ${id}` };
      if ((await deps.leaks.revokeAll(search.found, place)) > 0)
        throw new JobpassError(
          'invalid_input',
          'A pass (jpt_…) stands in what was uploaded: it is revoked now, and nothing is kept (R12).',
        );
      await transactor.write(async (tx) => {
        if (!(await row(tx, stored.sizeBytes))) throw ended();
        await deps.blobs.move(apart, key);
      });
      return stored;
    } catch (error) {
      await deps.blobs.remove(apart);
      throw error;
    }
  }
  const alive = ['running', 'canceling'] as const;
  const endOf = (seconds: number | null): EpochMillis | null => (seconds === null ? null : millis(clock.now() + seconds * 1000));

  return {
    async storeArtifacts(id, filename, body, expireInSeconds) {
      const job = await running(id);
      const key = artifactKey(id);
      return once(key, job.artifactsFile !== null, async () => {
        const { sizeBytes } = await keep(id, key, filename, body, limits.artifactBytes, async (tx, artifactsSizeBytes) => {
          // The row is this transaction's from here on.
          if (!(await jobs.changeJob(tx, id, alive, { contactAt: clock.now() }))) return false;
          if ((await jobs.job(tx, id))?.artifactsFile !== null) throw already();
          const artifactsExpireAt = endOf(expireInSeconds);
          return jobs.changeJob(tx, id, alive, { artifactsFile: filename, artifactsSizeBytes, artifactsExpireAt });
        });
        return { sizeBytes };
      });
    },
    async storeReport(id, { type, format, filename }, body, expireInSeconds) {
      await running(id);
      const key = reportKey(id, type);
      const stored = (await jobs.reportsOf(null, id)).some((report) => report.type === type);
      return once(key, stored, async () => {
        const { dotenv, content } = type === 'dotenv' ? await readDotenv(body) : { dotenv: undefined, content: body };
        const { sizeBytes } = await keep(id, key, filename, content, limits.reportBytes, async (tx, bytes) => {
          const change = { contactAt: clock.now(), ...(dotenv === undefined ? {} : { dotenv }) };
          if (!(await jobs.changeJob(tx, id, alive, change))) return false;
          const report = { jobId: id, type, format, filename, sizeBytes: bytes, expireAt: endOf(expireInSeconds) };
          if (!(await jobs.insertReport(tx, report))) throw already();
          return true;
        });
        return { sizeBytes };
      });
    },
    async dependencyArtifacts(asking, wanted) {
      const job = await running(asking);
      const plan: { job: PlanJob } = JSON.parse(job.plan);
      const own = (await dependenciesOf(deps, job, plan.job)).find((one) => one.id === wanted);
      const source = own ?? (await remoteSource(deps, job, wanted));
      if (source === undefined || source.artifactsFile === null) return undefined;
      // What it was given when it was taken, and nothing else: those behind it are principals of this job's passes (R3).
      if ((await deps.jobRights.of(null, asking))?.sources.includes(wanted) !== true) return undefined;
      return { filename: source.artifactsFile, ...(await deps.blobs.open(artifactKey(wanted))) };
    },
  };
}

function already(): JobpassError {
  return new JobpassError('invalid_input', 'The job has uploaded this already.');
}

function ended(): JobpassError {
  return new JobpassError('access_denied', 'The job has ended.');
}

/** Small by its own limit, so it is read whole; gzip as runners send it, or plain. @throws invalid_input, too_large */
async function readDotenv(body: Readable): Promise<{ readonly dotenv: readonly PipelineVariable[]; readonly content: Readable }> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of body as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > 2 * limits.dotenvBytes) throw new JobpassError('too_large', `A dotenv report has at most ${limits.dotenvBytes} bytes.`);
    parts.push(part);
  }
  const content = Buffer.concat(parts);
  const parsed = parseDotenv(inflated(content));
  if (typeof parsed === 'string') throw new JobpassError('invalid_input', parsed);
  return { dotenv: parsed, content: Readable.from([content]) };
}

function inflated(content: Buffer): Buffer {
  if (content[0] !== 0x1f || content[1] !== 0x8b) return content;
  try {
    return gunzipSync(content, { maxOutputLength: limits.dotenvBytes + 1 });
  } catch {
    throw new JobpassError('invalid_input', `The dotenv report is not gzip, or larger than ${limits.dotenvBytes} bytes.`);
  }
}
