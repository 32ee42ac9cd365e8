import type { JobId } from '../base/ids.ts';
import type { PassPrincipal } from './passes.ts';
import type { MaybeTx, Tx } from './tx.ts';

/** Whose rights a job intersected when it was taken (R3); written for every job, also where its runner got no pass. */
export interface RecordedRights {
  /** Ordered; the first started the job. */
  readonly principals: readonly PassPrincipal[];
  /** False: there may be others whose hands were in it. */
  readonly provable: boolean;
  /** Jobs whose artifacts it was given: the hands in these were counted, in others they were not. */
  readonly sources: readonly JobId[];
}

/** What is asked when another job consumes what this one made. */
export interface JobRights {
  /** In the transaction that starts the job; a job that came back and is taken again is written anew. */
  record(tx: Tx, job: JobId, rights: RecordedRights): Promise<void>;
  /** @returns undefined for a job that was never taken */
  of(tx: MaybeTx, job: JobId): Promise<RecordedRights | undefined>;
}
