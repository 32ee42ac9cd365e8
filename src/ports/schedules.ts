import type { Branded, EpochMillis, PipelineId, ProjectId, RefName, UserId } from '../base/ids.ts';
import type { Page, Paged } from '../base/page.ts';
import type { MaybeTx, Tx } from './tx.ts';

export type ScheduleId = Branded<number, 'ScheduleId'>;

export interface ScheduleVariable {
  readonly key: string;
  readonly value: string;
  /** Who answers for the value, whoever owns the schedule (R3). */
  readonly setBy: UserId;
}

export interface ScheduleInput {
  readonly name: string;
  readonly value: unknown;
  /** As of a variable. */
  readonly setBy: UserId;
}
export interface NewSchedule {
  readonly projectId: ProjectId;
  readonly description: string;
  /** A branch or tag, in full. */
  readonly ref: RefName;
  /** As it was written. */
  readonly cron: string;
  readonly timezone: string;
  readonly active: boolean;
  /** null = never. */
  readonly nextRunAt: EpochMillis | null;
  /** In whose name it runs. */
  readonly ownerId: UserId;
  /** Who answers for the description, which jobs read (R3). */
  readonly describedBy: UserId;
  readonly createdAt: EpochMillis;
}
export interface ScheduleRecord extends NewSchedule {
  readonly id: ScheduleId;
  /** Why its last run made no pipeline, or why it is off; null = nothing wrong. */
  readonly problem: string | null;
  readonly lastPipelineId: PipelineId | null;
  readonly updatedAt: EpochMillis;
  /** For the `spec:inputs` of the file. */
  readonly inputs: readonly ScheduleInput[];
  /** By key. */
  readonly variables: readonly ScheduleVariable[];
}
export type ScheduleChange = Partial<
  Pick<
    ScheduleRecord,
    | 'description'
    | 'describedBy'
    | 'inputs'
    | 'ref'
    | 'cron'
    | 'timezone'
    | 'active'
    | 'nextRunAt'
    | 'ownerId'
    | 'problem'
    | 'lastPipelineId'
    | 'updatedAt'
  >
>;

export interface ScheduleStore {
  insert(tx: Tx, schedule: NewSchedule, variables: readonly ScheduleVariable[]): Promise<ScheduleRecord>;
  byId(tx: MaybeTx, id: ScheduleId): Promise<ScheduleRecord | undefined>;
  /** In a transaction: nobody else changes it before the transaction ends, so that one of several nodes starts it. */
  lock(tx: Tx, id: ScheduleId): Promise<ScheduleRecord | undefined>;
  /** Oldest first. */
  list(tx: MaybeTx, project: ProjectId, filter: { readonly active?: boolean }, page: Page): Promise<Paged<ScheduleRecord>>;
  change(tx: Tx, id: ScheduleId, change: ScheduleChange): Promise<void>;
  remove(tx: Tx, id: ScheduleId): Promise<void>;
  /** Adds it or takes the place of the one of that key. */
  putVariable(tx: Tx, id: ScheduleId, variable: ScheduleVariable): Promise<void>;
  /** @returns false where there was none */
  removeVariable(tx: Tx, id: ScheduleId, key: string): Promise<boolean>;
  /** Active ones whose time has come, longest waiting first. */
  due(tx: MaybeTx, now: EpochMillis, limit: number): Promise<readonly ScheduleRecord[]>;
}
