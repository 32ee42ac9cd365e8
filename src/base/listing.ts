import type { EpochMillis } from './ids.ts';

/** What a list is narrowed by; the bounds themselves are outside. */
export interface TimeRanges {
  readonly createdAfter?: EpochMillis;
  readonly createdBefore?: EpochMillis;
  readonly updatedAfter?: EpochMillis;
  readonly updatedBefore?: EpochMillis;
}

export interface Descending {
  readonly descending?: boolean;
}
