import type { EnvironmentId, EpochMillis, JobId, ProjectId } from '../base/ids.ts';
import type { Page, Paged } from '../base/page.ts';
import type { JobRecord } from './jobs.ts';
import type { MaybeTx, Tx } from './tx.ts';

/** @see GitLab, "Environments": deployment tiers */
export type Tier = 'production' | 'staging' | 'testing' | 'development' | 'other';
export type EnvironmentAction = 'start' | 'prepare' | 'stop' | 'verify' | 'access';
/** Those of its actions that are a deployment (`start`), or end what was deployed (`stop`), change it. */
export interface EnvironmentRecord {
  readonly id: EnvironmentId;
  readonly projectId: ProjectId;
  readonly name: string;
  /** Fit for a host name; of the name. */
  readonly slug: string;
  readonly externalUrl: string | null;
  readonly tier: Tier;
  /** `stopping`: jobs that end what was deployed run. */
  readonly state: 'available' | 'stopping' | 'stopped';
  /** When it is stopped by itself; null = never. */
  readonly autoStopAt: EpochMillis | null;
  readonly createdAt: EpochMillis;
  readonly updatedAt: EpochMillis;
}
export type NewEnvironment = Pick<EnvironmentRecord, 'projectId' | 'name' | 'slug' | 'tier' | 'createdAt'>;

export interface Environments {
  /** The one of that name, made where there is none. A tier that the file names replaces the old one. @param tierGiven whether it does */
  ensure(tx: Tx, environment: NewEnvironment, tierGiven: boolean): Promise<EnvironmentId>;
  byId(tx: MaybeTx, project: ProjectId, id: EnvironmentId): Promise<EnvironmentRecord | undefined>;
  list(
    tx: MaybeTx,
    project: ProjectId,
    filter: { readonly name?: string; readonly search?: string; readonly state?: EnvironmentRecord['state'] },
    page: Page,
  ): Promise<Paged<EnvironmentRecord>>;
  change(
    tx: Tx,
    id: EnvironmentId,
    change: Partial<Pick<EnvironmentRecord, 'externalUrl' | 'state' | 'autoStopAt' | 'updatedAt'>>,
  ): Promise<void>;
  /** What jobs did there stays with the jobs. */
  remove(tx: Tx, id: EnvironmentId): Promise<void>;
  /** The newest job that deployed there and ended, however; replaced ones count. */
  lastDeployment(tx: MaybeTx, id: EnvironmentId): Promise<JobRecord | undefined>;
  /** Those whose time is over, the longest first. */
  overdue(tx: MaybeTx, now: EpochMillis, limit: number): Promise<readonly EnvironmentRecord[]>;
  /** Those that are `stopping` while no job that would end what is deployed there is under way. */
  stuckStopping(tx: MaybeTx, limit: number): Promise<readonly EnvironmentId[]>;
  /** Jobs that deploy (`start`), oldest first. */
  deployments(tx: MaybeTx, project: ProjectId, filter: { readonly environment?: string }, page: Page): Promise<Paged<JobRecord>>;
  deployment(tx: MaybeTx, project: ProjectId, job: JobId): Promise<JobRecord | undefined>;
}
