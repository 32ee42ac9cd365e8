import type { Addresses } from '../base/addresses.ts';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Seal } from '../base/seal.ts';
import type { Forge } from '../forge/forge.ts';
import type { Revoker } from '../pass/revoke.ts';
import type { Gatekeeper } from '../pass/subject.ts';
import type { Credentials } from '../ports/credentials.ts';
import type { Settings } from '../ports/settings.ts';
import type { Blobs, TraceFiles } from '../ports/blobs.ts';
import type { Ceilings } from '../ports/ceilings.ts';
import type { CommitStatusStore } from '../ports/commit-statuses.ts';
import type { Directory } from '../ports/directory.ts';
import type { Environments } from '../ports/environments.ts';
import type { ExposureBounds } from '../ports/exposure.ts';
import type { FlowStore, ResourceGroups } from '../ports/flow.ts';
import type { PipelineIncludes } from '../ports/includes.ts';
import type { JobRights } from '../ports/job-rights.ts';
import type { Leaks } from '../ports/leaks.ts';
import type { IdTokenSigner } from '../ports/id-tokens.ts';
import type { JobStore } from '../ports/jobs.ts';
import type { RunnerRecord, RunnerStore } from '../ports/runners.ts';
import type { MergeRequestStore } from '../ports/merge-requests.ts';
import type { PassStore } from '../ports/passes.ts';
import type { ScheduleStore } from '../ports/schedules.ts';
import type { TriggerStore } from '../ports/triggers.ts';
import type { TrustedProjects } from '../ports/trust.ts';
import type { Transactor } from '../ports/tx.ts';
import type { VariableStore } from '../ports/variables.ts';
import type { Exposure } from '../wire/runner.ts';
import type { Wakeup } from './wakeup.ts';
import type { Oid, ProjectId, UserId } from '../base/ids.ts';

/** What the instance allows and where it can be reached. */
export interface InstanceSettings {
  readonly addresses: Addresses;
  /** The widest exposure that any job may have. */
  readonly maxExposure: Exposure;
  /** `starter` looks at nobody but who started the job (R3). */
  readonly principals: 'intersect' | 'starter';
  /** Whether passes may be issued at all over the transport in use (R16). */
  readonly version: string;
}

export interface JobsDeps {
  readonly transactor: Transactor;
  readonly jobs: JobStore;
  readonly commitStatuses: CommitStatusStore;
  readonly jobRights: JobRights;
  readonly mergeRequests: MergeRequestStore;
  readonly schedules: ScheduleStore;
  readonly triggers: TriggerStore;
  readonly runners: RunnerStore;
  readonly flow: FlowStore;
  readonly resourceGroups: ResourceGroups;
  readonly environments: Environments;
  readonly passes: PassStore;
  readonly credentials: Pick<Credentials, 'registrationToken'>;
  readonly settings: Settings;
  readonly directory: Directory;
  readonly forge: Pick<Forge, 'repository'>;
  readonly gatekeeper: Gatekeeper;
  readonly revoker: Revoker;
  readonly leaks: Leaks;
  readonly blobs: Blobs;
  readonly traces: TraceFiles;
  readonly clock: Clock;
  readonly log: Log;
  readonly exposureBounds: ExposureBounds;
  readonly ceilings: Ceilings;
  readonly trustedProjects: TrustedProjects;
  readonly variables: VariableStore;
  /** Opens values of variables. */
  readonly seal: Seal;
  readonly pipelineIncludes: PipelineIncludes;
  readonly idTokens: IdTokenSigner;
  readonly instance: InstanceSettings;
  readonly wakeup: Wakeup<RunnerRecord>;
  /** Who pushed which commit (R3). */
  readonly pushersOf: (project: ProjectId, commits: readonly Oid[]) => Promise<ReadonlyMap<Oid, readonly UserId[]>>;
  readonly lastPushers: (project: ProjectId, ref: string) => Promise<readonly UserId[] | undefined>;
}
