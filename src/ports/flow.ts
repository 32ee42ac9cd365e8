import type { EpochMillis, JobId, PipelineId, ProjectId, ResourceGroupId } from '../base/ids.ts';
import type { Page, Paged } from '../base/page.ts';
import type { JobRecord, PipelineRecord, ProcessMode, ResourceGroup } from './jobs.ts';
import type { MaybeTx, Tx } from './tx.ts';

/** What the server itself has to move, found in its rows: nothing of it is lost with a process. */
export interface FlowStore {
  /** Delayed jobs whose time has come, the longest overdue first. */
  due(tx: MaybeTx, now: EpochMillis, limit: number): Promise<readonly JobRecord[]>;
  /** Bridges that wait for the server to trigger what they name, oldest first. */
  pendingBridges(tx: MaybeTx, limit: number): Promise<readonly JobRecord[]>;
  /** Running bridges whose downstream pipeline is over, or gone (null). */
  settledBridges(
    tx: MaybeTx,
    limit: number,
  ): Promise<readonly { readonly bridge: JobRecord; readonly downstream: PipelineRecord | null }[]>;
  /**
   * Bridges that mirror their downstream pipeline (`strategy: mirror`) and show `running` where it waits for somebody to play a job, or `manual`
   * where it does not.
   */
  staleMirrors(tx: MaybeTx, limit: number): Promise<readonly JobRecord[]>;
  /** Unfinished pipelines of the ref that are older than this one and run another commit; none that a job triggered, a schedule started or that wants no canceling. */
  redundant(tx: MaybeTx, pipeline: PipelineRecord): Promise<readonly PipelineRecord[]>;
  /** Unfinished pipelines that one failed job cancels (`auto_cancel:on_job_failure`), and have one. */
  failing(tx: MaybeTx, limit: number): Promise<readonly PipelineId[]>;
  /** What the jobs of a pipeline triggered. */
  downstreamOf(tx: MaybeTx, id: PipelineId): Promise<readonly PipelineRecord[]>;
  /** Downstream pipelines below this one, at any depth. */
  treeSize(tx: MaybeTx, root: PipelineId): Promise<number>;
  /** The pipeline with all its rows but the audit trail's and its passes'. */
  removePipeline(tx: Tx, id: PipelineId): Promise<void>;
  /** The newest successful build of this name on a ref of the project. */
  latestSuccess(tx: MaybeTx, project: ProjectId, ref: string, name: string): Promise<JobRecord | undefined>;
}

/** Of each group one job runs at a time. */
export interface ResourceGroups {
  /** There is one afterwards. */
  ensure(tx: Tx, project: ProjectId, key: string, now: EpochMillis): Promise<void>;
  list(tx: MaybeTx, project: ProjectId, page: Page): Promise<Paged<ResourceGroup>>;
  byKey(tx: MaybeTx, project: ProjectId, key: string): Promise<ResourceGroup | undefined>;
  setMode(tx: Tx, id: ResourceGroupId, mode: ProcessMode): Promise<void>;
  /** Groups that nobody holds, and where the turn of one that waits has come. */
  free(tx: MaybeTx, limit: number): Promise<readonly ResourceGroup[]>;
  /** Jobs that wait for it or will, in the order of its mode; replaced ones left out. */
  upcoming(tx: MaybeTx, group: ResourceGroup, limit: number): Promise<readonly JobRecord[]>;
  /** Compare and set. @returns false where another job has it */
  take(tx: Tx, id: ResourceGroupId, job: JobId): Promise<boolean>;
  /** What jobs of the pipeline hold and need no more: those that have ended. */
  release(tx: Tx, pipeline: PipelineId): Promise<void>;
}
