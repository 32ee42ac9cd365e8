import type { Oid, PipelineId, ProjectId, RefName, UserId } from '../base/ids.ts';
import type { MaybeTx, Tx } from './tx.ts';

/** A commit of which a pipeline's configuration includes files; never the pipeline's own. */
export interface IncludedCommit {
  readonly projectId: ProjectId;
  readonly sha: Oid;
  /** The branch or tag that was named; null = the sha itself. */
  readonly ref: RefName | null;
  /** When it was included: who last moved the ref where that is protected, and who pushed the commit; null = nobody knows (R3, A57). */
  readonly movers: readonly UserId[] | null;
}

/** What each pipeline's configuration was made of, beside the commit that it runs on. */
export interface PipelineIncludes {
  of(tx: MaybeTx, pipeline: PipelineId): Promise<readonly IncludedCommit[]>;
  put(tx: Tx, pipeline: PipelineId, included: readonly IncludedCommit[]): Promise<void>;
}
