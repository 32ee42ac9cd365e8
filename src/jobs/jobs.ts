import type { Readable } from 'node:stream';
import type { EpochMillis, JobId, PipelineId, ProjectId, RunnerId, UserId } from '../base/ids.ts';
import type { Secret } from '../base/secret.ts';
import type { RefsUpdated } from '../forge/forge.ts';
import type { Grant } from '../pass/grant.ts';
import type {
  JobRecord,
  JobStatus,
  Page,
  Paged,
  PinnedGate,
  PipelineRecord,
  PipelineStatus,
  PipelineVariable,
  RunnerRecord,
  RunnerTrust,
} from '../ports/jobs.ts';
import type { PassRecord } from '../ports/passes.ts';
import type { JobPayload, JobUpdate } from '../wire/runner.ts';
import type { Bounds } from './bounds.ts';
import type { TrustList } from './trust.ts';

/**
 * Pipelines, jobs and runners as the doors see them. Methods that take a grant verify it; the runner's own calls take ids that
 * the door has authenticated through `admit` (runner:self, job:report).
 */
export interface Jobs {
  readonly pipelines: Pipelines;
  readonly queue: Queue;
  readonly reports: Reports;
  readonly runners: Runners;
  readonly bounds: Bounds;
  readonly trust: TrustList;
  /** Reaper, push recovery: `start` begins their timers, `stop` ends them and waits. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface Pipelines {
  /** From a push, web edit or API write; follows R5 (a pass's write starts something only within the chain depth). Never throws for a bad file: a failed pipeline says why. */
  pushed(event: RefsUpdated): Promise<void>;
  /** `POST /projects/:id/pipeline`. pipeline:create. @throws invalid_input (unknown ref, no jobs, YAML errors, chain not allowed) */
  create(
    grant: Grant,
    project: ProjectId,
    request: { readonly ref: string; readonly variables: readonly PipelineVariable[] },
  ): Promise<PipelineRecord>;
  one(grant: Grant, project: ProjectId, id: PipelineId): Promise<PipelineRecord | undefined>;
  list(
    grant: Grant,
    project: ProjectId,
    filter: { readonly ref?: string; readonly sha?: string; readonly status?: PipelineStatus },
    page: Page,
  ): Promise<Paged<PipelineRecord>>;
  jobsOf(grant: Grant, project: ProjectId, id: PipelineId): Promise<readonly JobRecord[]>;
  listJobs(grant: Grant, project: ProjectId, statuses: readonly JobStatus[], page: Page): Promise<Paged<JobRecord>>;
  job(grant: Grant, project: ProjectId, id: JobId): Promise<JobRecord | undefined>;
  /** Every pass that the job ever had, dead ones too; job:read. */
  passes(grant: Grant, project: ProjectId, id: JobId): Promise<readonly PassRecord[]>;
  /** job:self: the job behind a job token or pass. */
  ownJob(grant: Grant): Promise<JobRecord>;
  trace(grant: Grant, project: ProjectId, id: JobId): Promise<Readable>;
  artifacts(
    grant: Grant,
    project: ProjectId,
    id: JobId,
  ): Promise<{ readonly filename: string; readonly sizeBytes: number; readonly body: Readable } | undefined>;
  /** @param force kills at once instead of going through canceling. @throws unprocessable when it has ended */
  cancelJob(grant: Grant, project: ProjectId, id: JobId, force: boolean): Promise<JobRecord>;
  /** Makes a new job in place of an ended one; the actor becomes its starting user. */
  retryJob(grant: Grant, project: ProjectId, id: JobId): Promise<JobRecord>;
  playJob(grant: Grant, project: ProjectId, id: JobId): Promise<JobRecord>;
  cancel(grant: Grant, project: ProjectId, id: PipelineId): Promise<PipelineRecord>;
  retry(grant: Grant, project: ProjectId, id: PipelineId): Promise<PipelineRecord>;
}

/** What a jobpass runner proved in its request: signature verified against its pinned key, and its gate's verdict. */
export interface SignedReport {
  readonly verdict: 'withhold' | 'expose';
  readonly unsafe: boolean;
}

export interface Queue {
  /** Opaque version of the queue for this runner; changes whenever a job may have become runnable. */
  version(runner: RunnerId): string;
  /** Resolves true as soon as the version differs from `seen`, false after `timeoutMs` or abort. */
  wait(runner: RunnerId, seen: string, timeoutMs: number, signal: AbortSignal): Promise<boolean>;
  /**
   * Takes one job for the runner, in one transaction: pending → running, job token, passes (R2, R7).
   * @param secure false where the answer travels in clear: then no pass is made (R16)
   * `withdraw` puts an undelivered job back (the connection broke before the payload was sent) and revokes its passes.
   */
  claim(
    runner: RunnerRecord,
    signed: SignedReport | null,
    secure: boolean,
  ): Promise<{ readonly payload: JobPayload; withdraw(): Promise<void> } | undefined>;
}

export interface Reports {
  /** `PUT /jobs/:id`. @returns what to answer: 200, 202 (trace not complete yet), 412 (trace damaged: send it again), or `gone` (403 with Job-Status) */
  update(
    job: JobId,
    update: JobUpdate,
  ): Promise<{ readonly answer: 'ok' | 'accepted' | 'resend_trace' | 'gone'; readonly status: JobStatus }>;
  /** `PATCH /jobs/:id/trace`; scans for passes (R12). @throws range_mismatch with the stored size */
  appendTrace(job: JobId, offset: number, bytes: Buffer): Promise<{ readonly sizeBytes: number; readonly status: JobStatus }>;
  storeArtifacts(job: JobId, filename: string, body: Readable, expireInSeconds: number | null): Promise<{ readonly sizeBytes: number }>;
  /** For a running job: artifacts of a job of the same pipeline that it depends on. */
  dependencyArtifacts(
    asking: JobId,
    wanted: JobId,
  ): Promise<{ readonly filename: string; readonly sizeBytes: number; readonly body: Readable } | undefined>;
  /** Whether the job may still be reported on; `gone` carries the state for the Job-Status header. */
  status(job: JobId): Promise<JobStatus>;
}

export interface Runners {
  /** The secret (`glrt-…`) is shown this once. runner:write, project_runner:write or group_runner:write. */
  create(
    grant: Grant,
    request: {
      readonly scope: 'instance' | 'group' | 'project';
      readonly scopeId: number | null;
      readonly description: string;
      readonly tags: readonly string[];
      readonly runUntagged: boolean;
      readonly protectedOnly: boolean;
      readonly paused: boolean;
      readonly creatorId: UserId;
    },
  ): Promise<{ readonly runner: RunnerRecord; readonly secret: Secret }>;
  one(grant: Grant, id: RunnerId): Promise<RunnerRecord | undefined>;
  list(grant: Grant, page: Page): Promise<Paged<RunnerRecord>>;
  change(
    grant: Grant,
    id: RunnerId,
    change: {
      readonly description?: string;
      readonly paused?: boolean;
      readonly tags?: readonly string[];
      readonly runUntagged?: boolean;
      readonly trust?: RunnerTrust;
      readonly unsafeAccepted?: boolean;
      /** Pins what the gate said of its configuration, in place of an earlier pin; null clears it (R7). */
      readonly pinned?: Omit<PinnedGate, 'at'> | null;
    },
  ): Promise<RunnerRecord | undefined>;
  remove(grant: Grant, id: RunnerId): Promise<boolean>;
  /** runner:self. */
  self(grant: Grant): Promise<RunnerRecord>;
  removeSelf(grant: Grant): Promise<void>;
  /** Pins the key of a jobpass runner at its first signed verify; another key later is refused. @throws access_denied */
  pinKey(runner: RunnerId, publicKey: string): Promise<void>;
  /** @returns false for a nonce that was used before (A60). */
  useNonce(runner: RunnerId, nonce: string, at: EpochMillis): Promise<boolean>;
  touch(runner: RunnerId, version: string | null): Promise<void>;
}
