import type { EpochMillis, JobId, Oid, PipelineId, ProjectId, RunnerId, SecretDigest, UserId } from '../base/ids.ts';
import type { AccessLevel } from '../base/levels.ts';
import type { Secret } from '../base/secret.ts';
import type { MaybeTx, Tx } from './tx.ts';

/** A job of the forge behind the gateway, as its own token shows it. @see GitLab API, `GET /job` */
export interface UpstreamJob {
  readonly id: JobId;
  /** As in the configuration; a retry has the same. */
  readonly name: string;
  /** GitLab's word: `running`, `canceling`, `success` … */
  readonly status: string;
  readonly projectId: ProjectId;
  readonly pipelineId: PipelineId;
  /** GitLab's word: `push`, `web`, `schedule`, `parent_pipeline` …; empty = not told. */
  readonly pipelineSource: string;
  /** Who started the job; never taken from its variables (A1). */
  readonly userId: UserId;
  readonly sha: string;
  readonly ref: string;
  readonly tag: boolean;
  /** null = not told. */
  readonly createdAt: EpochMillis | null;
  /** Who has it; null = not told. */
  readonly runnerId: RunnerId | null;
}

/** The one truth about a job behind the gateway. */
export interface UpstreamJobs {
  /** @returns refused = the token is no longer any job's @throws upstream_failed where there is no clear answer */
  jobOf(jobToken: Secret): Promise<UpstreamJob | 'refused'>;
}

/** Beside their roles: `unknown` where the forge does not tell. Never counted for a pass (R1). */
export type UpstreamPower = 'admin' | 'auditor' | 'none' | 'unknown';

export interface UpstreamUsers {
  /** @throws upstream_failed */
  powerOf(user: UserId): Promise<UpstreamPower>;
  /** Whether administrators have their power only where they ask for it; false where it is not told. @throws upstream_failed */
  adminModeOn(): Promise<boolean>;
  /** By membership alone, 0 = none. @throws upstream_failed */
  roleOf(user: UserId, project: ProjectId): Promise<AccessLevel>;
  /** Whether a protection there names administrators. @throws upstream_failed, also where it is not told */
  hasAdminRules(project: ProjectId): Promise<boolean>;
}

/** One for each thing that a token may be good for, each with the narrowest scope. */
export type Channel = 'api' | 'read_api' | 'git_read' | 'git_write' | 'registry_read' | 'registry_write';

/**
 * Upstream tokens by which the gateway acts as a user: one for each job, user and channel, made when first needed, revoked at the job's end,
 * swept after a crash, never shown to anybody.
 */
export interface ActingCredentials {
  /** @throws upstream_failed, pass_dead (the job has ended meanwhile) */
  obtain(job: JobId, user: UserId, channel: Channel): Promise<Secret>;
  /** Revokes all of the job's; what cannot be revoked now is tried again by `sweep`. */
  endJob(job: JobId): Promise<void>;
  /** Revokes what no running job needs, also what an earlier process left. */
  sweep(): Promise<void>;
}

/** What is unprotected of a history. */
export interface Unprotected {
  readonly commits: readonly Oid[];
  /** Full names of the protected branches that have the rest: the default branch alone where it has all of it. */
  readonly bases: readonly string[];
}

/** Who moved what upstream, over every way in (R3). */
export interface UpstreamHistory {
  /** Commits reachable from `sha` but from no protected branch or tag, and what they stand on; null = more than `limit`, or it cannot be told. */
  unprotectedCommits(project: ProjectId, sha: Oid, limit: number): Promise<Unprotected | null>;
  /** Who pushed which commit; what is missing was not found. */
  pushersOf(project: ProjectId, commits: readonly Oid[]): Promise<ReadonlyMap<Oid, readonly UserId[]>>;
  /** Whether the forge has this commit already. @throws upstream_failed */
  hasCommit(project: ProjectId, sha: Oid): Promise<boolean>;
  /** The pipelines that deployed to an environment lately; one of them has the jobs that stop it. @throws upstream_failed, also where it is not told */
  deployersOf(project: ProjectId, environment: string): Promise<readonly PipelineId[]>;
  /** The newest commits on a branch that touch a path. @throws upstream_failed */
  commitsTouching(project: ProjectId, branch: string, path: string): Promise<readonly Oid[]>;
  /**
   * What the pipeline of a merge request is made of, in the words of what passes wrote: the commits that were merged, and its source branch there.
   * @returns none for any other ref; undefined where it cannot be told @throws upstream_failed
   */
  requestSources(place: {
    readonly projectId: ProjectId;
    readonly sha: string;
    readonly ref: string;
  }): Promise<readonly RequestSource[] | undefined>;
  /** Who last moved a ref, `refs/heads/main`; undefined = it cannot be told. */
  lastPushers(project: ProjectId, ref: string): Promise<readonly UserId[] | undefined>;
  /** Who moved it since then, and who last did before; `moved` = somebody has. undefined = it cannot be told. */
  moversSince(
    project: ProjectId,
    ref: string,
    since: EpochMillis,
  ): Promise<{ readonly movers: readonly UserId[]; readonly moved: boolean } | undefined>;
}

export interface RequestSource {
  readonly projectId: ProjectId;
  /** As in `PassWrites`. */
  readonly whats: readonly string[];
}

/** A job that was handed out through the gateway. */
export interface GatewayJob {
  readonly id: JobId;
  readonly projectId: ProjectId;
  readonly pipelineId: PipelineId;
  readonly userId: UserId;
  readonly sha: string;
  readonly ref: string;
  readonly tag: boolean;
  /** Of its ordinary token; the token itself is kept sealed, so that a restart can ask again. */
  readonly tokenDigest: SecretDigest;
  readonly sealedToken: string;
  readonly state: 'running' | 'canceling' | 'ended';
  readonly startedAt: EpochMillis;
  /** Last word from its runner. */
  readonly contactAt: EpochMillis;
  readonly cancelingSince: EpochMillis | null;
  readonly runnerId: RunnerId;
}

export interface GatewayJobs {
  insert(tx: Tx, job: GatewayJob): Promise<void>;
  byId(tx: MaybeTx, id: JobId): Promise<GatewayJob | undefined>;
  byToken(tx: MaybeTx, digest: SecretDigest): Promise<GatewayJob | undefined>;
  contact(tx: Tx, id: JobId, at: EpochMillis): Promise<void>;
  /** Never back from `ended`. */
  moveTo(tx: Tx, id: JobId, state: GatewayJob['state'], at: EpochMillis): Promise<void>;
  /** Those that have not ended, oldest first. */
  unended(tx: MaybeTx): Promise<readonly GatewayJob[]>;
}

/** What passes wrote upstream, so that the jobs which it starts are known as children (R5). */
export interface PassWrites {
  /**
   * @param what a sha, `pipeline:7`, `job:9`, `refs/tags/v1`, `refs/heads/main@SHA` or `refs/merge-requests/7@SHA`; `ends:` before a ref without a sha: it
   * was removed, merged or closed, which starts the jobs that stop what was deployed from it
   */
  record(tx: Tx, project: ProjectId, what: string, by: JobId, at: EpochMillis): Promise<void>;
  /** The jobs whose passes wrote any of these. */
  writersOf(tx: MaybeTx, project: ProjectId, whats: readonly string[]): Promise<readonly PassWrite[]>;
  startingWith(tx: MaybeTx, project: ProjectId, prefix: string): Promise<readonly PassWrite[]>;
  forget(tx: Tx, project: ProjectId, what: string): Promise<void>;
}

export interface PassWrite {
  readonly what: string;
  readonly by: JobId;
  readonly at: EpochMillis;
}

/** A runner of the forge behind the gateway. */
export interface UpstreamRunner {
  readonly id: RunnerId;
  readonly scope: 'instance' | 'group' | 'project';
}

export interface UpstreamRunners {
  /** @returns undefined = the token is no runner's @throws upstream_failed */
  runnerOf(token: Secret): Promise<UpstreamRunner | undefined>;
}

export interface UpstreamPipeline {
  readonly id: PipelineId;
  readonly projectId: ProjectId;
  readonly creator: UserId;
  /** What it was given when it was made; the last value of a name counts. */
  readonly variables: ReadonlyMap<string, string>;
  /** GitLab's word; empty = not told. */
  readonly source: string;
  readonly sha: string;
  readonly ref: string;
  readonly tag: boolean;
  readonly createdAt: EpochMillis | null;
}

export interface UpstreamPipelines {
  /** @returns undefined where it cannot be told who made it, and with which variables @throws upstream_failed */
  pipeline(project: ProjectId, id: PipelineId): Promise<UpstreamPipeline | undefined>;
  /** The pipeline that started this one; undefined where it cannot be told. @throws upstream_failed */
  parentOf(pipeline: UpstreamPipeline): Promise<UpstreamPipeline | undefined>;
  /** Who started this job before, as it is retried with the variables that were given to it then; undefined where it cannot be told. @throws upstream_failed */
  earlierStarters(job: Pick<UpstreamJob, 'id' | 'name' | 'projectId' | 'pipelineId'>): Promise<readonly UserId[] | undefined>;
  /** Whether somebody gave variables to the job itself; undefined where it cannot be told. @throws upstream_failed */
  hasOwnVariables(project: ProjectId, job: JobId): Promise<boolean | undefined>;
  /** Its jobs that left artifacts, retried ones too; undefined where it cannot be told. @throws upstream_failed */
  artifactJobs(project: ProjectId, id: PipelineId): Promise<readonly JobId[] | undefined>;
}

/** A commit that files of a configuration come from, beside its own. */
export interface IncludedPlace {
  /** For people: `libs/ci@main`. */
  readonly name: string;
  readonly projectId: ProjectId;
  readonly sha: string;
  /** As it was asked for. */
  readonly ref: string;
  /** What that is; `commit`: a sha, or a name of something else. */
  readonly kind: 'branch' | 'tag' | 'commit';
}

export interface UpstreamIncludes {
  readonly places: readonly IncludedPlace[];
  /** What else it may take in, of which nobody knows who wrote it; for people. */
  readonly unknown: readonly string[];
}

export interface UpstreamConfigurations {
  /** What the configuration of a commit may take in as things are now, whatever its rules say; for child pipelines, too (A57). @throws upstream_failed */
  includesOf(project: ProjectId, sha: string): Promise<UpstreamIncludes>;
}

/** Keys of the forge's runners that sign their requests (R7). */
export interface GatewayRunners {
  /** Raw public key, base64url. */
  keyOf(tx: MaybeTx, runner: RunnerId): Promise<string | undefined>;
  /** The first key stays (A60). @returns the key that is pinned now */
  pin(tx: Tx, runner: RunnerId, key: string, at: EpochMillis): Promise<string>;
}

export interface ActingTokenRecord {
  readonly id: number;
  readonly jobId: JobId;
  readonly userId: UserId;
  readonly channel: Channel;
  /** null = it was asked for, and no answer came. */
  readonly upstreamId: number | null;
}

/** Which tokens were made upstream; never the tokens themselves. */
export interface ActingTokens {
  insert(
    tx: Tx,
    token: { readonly jobId: JobId; readonly userId: UserId; readonly channel: Channel; readonly createdAt: EpochMillis },
  ): Promise<number>;
  made(tx: Tx, id: number, upstreamId: number): Promise<void>;
  revoked(tx: Tx, id: number, at: EpochMillis): Promise<void>;
  /** Those of a job that were not revoked. */
  ofJob(tx: MaybeTx, job: JobId): Promise<readonly ActingTokenRecord[]>;
  unrevoked(tx: MaybeTx): Promise<readonly ActingTokenRecord[]>;
}
