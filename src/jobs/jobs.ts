import type { InputArguments } from '../pipeline/inputs.ts';
import type { Readable } from 'node:stream';
import type { EpochMillis, JobId, ManagerId, PipelineId, ProjectId, RunnerId, UserId } from '../base/ids.ts';
import type { Secret } from '../base/secret.ts';
import type { RefsUpdated } from '../forge/forge.ts';
import type { Grant } from '../pass/grant.ts';
import type { JobRecord, JobReport, JobStatus, Page, Paged, PipelineRecord, PipelineFilter, PipelineVariable } from '../ports/jobs.ts';
import type { Assist, ManagerInfo, ManagerRecord, NewRunner, PinnedGate, RunnerRecord, RunnerTrust } from '../ports/runners.ts';
import type { RecordedRights } from '../ports/job-rights.ts';
import type { PassRecord } from '../ports/passes.ts';
import type { JobPayload, JobUpdate } from '../wire/runner.ts';
import type { Bounds } from './bounds.ts';
import type { CeilingSettings } from './ceilings.ts';
import type { CommitStatuses } from './commit-statuses.ts';
import type { EnvironmentSettings } from './environments.ts';
import type { Lint } from './lint.ts';
import type { MergeRequestPipelines } from './merge-request-pipelines.ts';
import type { Registration } from './registration.ts';
import type { Removal } from './removal.ts';
import type { ResourceSettings } from './resource-settings.ts';
import type { Schedules } from './schedules.ts';
import type { Triggers } from './triggers.ts';
import type { TrustList } from './trust.ts';
import type { CiVariables } from './variables.ts';

/**
 * Pipelines, jobs and runners as the doors see them. Methods that take a grant verify it; the runner's own calls take ids that
 * the door has authenticated through `admit` (runner:self, job:report).
 */
export interface Jobs {
  readonly pipelines: Pipelines;
  readonly lint: Lint;
  readonly mergeRequests: MergeRequestPipelines;
  readonly schedules: Schedules;
  readonly triggers: Triggers;
  readonly queue: Queue;
  readonly reports: Reports;
  readonly runners: Runners;
  readonly registration: Registration;
  readonly bounds: Bounds;
  readonly ceilings: CeilingSettings;
  readonly trust: TrustList;
  readonly removal: Removal;
  readonly resources: ResourceSettings;
  readonly environments: EnvironmentSettings;
  readonly commitStatuses: CommitStatuses;
  /** One round of what the clock starts, beside those of the timer. */
  /** What `environment:auto_stop_in` asks for now; the server does it by itself as well. */
  stopOverdue(): Promise<void>;
  runSchedules(): Promise<void>;
  /** Reaper, schedules: `start` begins their timers, `stop` ends them and waits. */
  readonly variables: CiVariables;
  /** Reaper, push recovery: `start` begins their timers, `stop` ends them and waits. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Whose rights a job intersects, and what was made of them. */
export interface JobPasses {
  /** undefined until a runner takes the job */
  readonly rights: RecordedRights | undefined;
  readonly passes: readonly PassRecord[];
}

/** Asks for pipeline:update on another project, where a bridge waits for the pipeline at hand; undefined = who asks has it not. */
export type AskAbove = (project: ProjectId) => Promise<Grant | undefined>;
export interface Pipelines {
  /** From a push, web edit or API write; follows R5 (a pass's write starts something only within the chain depth). Never throws for a bad file: a failed pipeline says why. */
  pushed(event: RefsUpdated): Promise<void>;
  /** `POST /projects/:id/pipeline`, and by trigger. pipeline:create; what a job starts records it, and counts as made by all of its principals (R5). @throws invalid_input (unknown ref, no jobs, YAML errors, chain not allowed) */
  create(
    grant: Grant,
    project: ProjectId,
    request: {
      readonly ref: string;
      readonly variables: readonly PipelineVariable[];
      readonly inputs: InputArguments;
      /** `api` where nothing is said. */
      readonly source?: 'trigger' | 'pipeline';
    },
  ): Promise<PipelineRecord>;
  one(grant: Grant, project: ProjectId, id: PipelineId): Promise<PipelineRecord | undefined>;
  list(grant: Grant, project: ProjectId, filter: PipelineFilter, page: Page): Promise<Paged<PipelineRecord>>;
  jobsOf(grant: Grant, project: ProjectId, id: PipelineId): Promise<readonly JobRecord[]>;
  /** Bridges of the pipeline with what they triggered; job:read. */
  bridgesOf(
    grant: Grant,
    project: ProjectId,
    id: PipelineId,
  ): Promise<readonly { readonly bridge: JobRecord; readonly downstream: PipelineRecord | undefined }[]>;
  listJobs(grant: Grant, project: ProjectId, statuses: readonly JobStatus[], page: Page): Promise<Paged<JobRecord>>;
  job(grant: Grant, project: ProjectId, id: JobId): Promise<JobRecord | undefined>;
  /** The newest successful job of that name on a branch or tag; artifact:read. */
  latest(grant: Grant, project: ProjectId, ref: string, name: string): Promise<JobRecord | undefined>;
  /** The mean of its jobs' coverage, for who has been shown the pipeline. */
  coverage(pipeline: PipelineRecord): Promise<number | null>;
  /** Every pass that the job ever had, dead ones too; job:read. */
  passes(grant: Grant, project: ProjectId, id: JobId): Promise<JobPasses>;
  /** job:self: the job behind a job token or pass. */
  ownJob(grant: Grant): Promise<JobRecord>;
  trace(grant: Grant, project: ProjectId, id: JobId): Promise<Readable>;
  /** Who may fetch the archive over the API (`artifacts:access`). artifact:read. */
  artifactsAccess(grant: Grant, project: ProjectId, id: JobId): Promise<'all' | 'developer' | 'maintainer' | 'none'>;
  artifacts(
    grant: Grant,
    project: ProjectId,
    id: JobId,
  ): Promise<{ readonly filename: string; readonly sizeBytes: number; readonly body: Readable } | undefined>;
  /** One file of that archive. artifact:read. @param path as it stands there @throws invalid_input, too_large for an archive that cannot be looked into */
  artifactFile(
    grant: Grant,
    project: ProjectId,
    id: JobId,
    path: string,
  ): Promise<{ readonly sizeBytes: number; readonly body: Readable } | undefined>;
  /** @param force kills at once instead of going through canceling. @throws unprocessable when it has ended */
  cancelJob(grant: Grant, project: ProjectId, id: JobId, force: boolean): Promise<JobRecord>;
  /** Makes a new job in place of an ended one; the actor becomes its starting user. */
  retryJob(grant: Grant, project: ProjectId, id: JobId, above: AskAbove): Promise<JobRecord>;
  /** Starts a manual or delayed job now. @param given variables for it alone; who gives them answers for them (A56) */
  playJob(grant: Grant, project: ProjectId, id: JobId, given: readonly PipelineVariable[], above: AskAbove): Promise<JobRecord>;
  cancel(grant: Grant, project: ProjectId, id: PipelineId): Promise<PipelineRecord>;
  retry(grant: Grant, project: ProjectId, id: PipelineId, above: AskAbove): Promise<PipelineRecord>;
}

/** What a jobpass runner proved in its request: signature verified against its pinned key, and its gate's verdict. */
export interface SignedReport {
  readonly verdict: 'withhold' | 'expose';
  readonly unsafe: boolean;
}

/** How a runner asks for a job. */
export interface ClaimRequest {
  /** null = the request was not signed with the runner's pinned key. */
  readonly signed: SignedReport | null;
  /** False where the answer travels in clear: then no pass is made (R16). */
  readonly secure: boolean;
  readonly managerId: ManagerId | null;
  /** What this machine can do; a job that needs more is failed (`runner_unsupported`). */
  readonly features: readonly string[];
}

export interface Queue {
  /** Opaque version of the queue; changes whenever a job may have become runnable. */
  version(): string;
  /**
   * Holds a runner that found nothing until there is something for it.
   * @param seen the version before it looked; where that is another one by now, it looks again at once
   * @returns `wake` once it should look; `none` after `timeoutMs`, at the end of the process, or when `leave` was called
   */
  wait(runner: RunnerRecord, seen: string, timeoutMs: number): { readonly told: Promise<'wake' | 'none'>; leave(): void };
  /** Ends all that wait; nobody waits any more. */
  close(): void;
  /**
   * Takes one job for the runner, in one transaction: pending → running, job token, passes (R2, R7).
   * `withdraw` puts an undelivered job back (the connection broke before the payload was sent) and revokes its passes.
   */
  claim(runner: RunnerRecord, request: ClaimRequest): Promise<{ readonly payload: JobPayload; withdraw(): Promise<void> } | undefined>;
}

export interface Reports {
  /** `PUT /jobs/:id`. @returns what to answer: 200, 202 (trace not complete yet), 412 (trace damaged: send it again), or `gone` (403 with Job-Status) */
  update(
    job: JobId,
    update: JobUpdate,
  ): Promise<{ readonly answer: 'ok' | 'accepted' | 'resend_trace' | 'gone'; readonly status: JobStatus }>;
  /** `PATCH /jobs/:id/trace`; scans for passes (R12). @throws range_mismatch with the stored size */
  appendTrace(
    job: JobId,
    offset: number,
    bytes: Buffer,
  ): Promise<{ readonly sizeBytes: number; readonly status: JobStatus; /** The log is full, and the job over. */ readonly over: boolean }>;
  /** Seconds that a runner is to wait between two pieces of the trace. */
  intervalSeconds(job: JobId): number;
  storeArtifacts(job: JobId, filename: string, body: Readable, expireInSeconds: number | null): Promise<{ readonly sizeBytes: number }>;
  /** A file of `artifacts:reports`; a dotenv report is read. @throws invalid_input, too_large */
  storeReport(
    job: JobId,
    report: Pick<JobReport, 'type' | 'format' | 'filename'>,
    body: Readable,
    expireInSeconds: number | null,
  ): Promise<{ readonly sizeBytes: number }>;
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
    request: Omit<NewRunner, 'tokenDigest' | 'tokenExpiresAt' | 'createdAt'>,
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
      readonly protectedOnly?: boolean;
      readonly locked?: boolean;
      readonly maximumTimeoutSeconds?: number | null;
      readonly maintenanceNote?: string;
      readonly responsibleId?: UserId | null;
      readonly vouched?: boolean;
      /** Other than `none` needs a pinned `expose`, or unsafeAccepted. @throws invalid_input */
      readonly assist?: Assist;
      /** Pins what the gate said of its configuration, in place of an earlier pin; null clears it (R7). */
      readonly pinned?: Omit<PinnedGate, 'at'> | null;
    },
  ): Promise<RunnerRecord | undefined>;
  remove(grant: Grant, id: RunnerId): Promise<boolean>;
  /** The machines behind it; runner:read. */
  managers(grant: Grant, id: RunnerId): Promise<readonly ManagerRecord[] | undefined>;
  /** A new token; the old one is dead at once. runner:write. */
  resetToken(grant: Grant, id: RunnerId): Promise<{ readonly runner: RunnerRecord; readonly secret: Secret } | undefined>;
  /** runner:self. */
  self(grant: Grant): Promise<RunnerRecord>;
  removeSelf(grant: Grant): Promise<void>;
  /** One machine leaves, the runner stays. @returns false where it is unknown */
  removeManager(grant: Grant, systemId: string): Promise<boolean>;
  resetOwnToken(grant: Grant): Promise<{ readonly runner: RunnerRecord; readonly secret: Secret }>;
  /** Whether what it serves is gone, so that no job can ever come. */
  orphaned(runner: RunnerRecord): Promise<boolean>;
  /** Pins the key of a jobpass runner at its first signed verify; another key later is refused. @throws access_denied */
  pinKey(runner: RunnerId, publicKey: string): Promise<void>;
  /** @returns false for a nonce that was used before (A60). */
  useNonce(runner: RunnerId, nonce: string, at: EpochMillis): Promise<boolean>;
  /** A word from a machine; written at once where it says something new, else every few minutes. @returns its row's id */
  seen(runner: RunnerRecord, systemId: string, info: ManagerInfo): Promise<ManagerId>;
}
