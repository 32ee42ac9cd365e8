import { type ExpressionBuilder, type ExpressionWrapper, type SqlBool } from 'kysely';
import type { TimeRanges } from '../../base/listing.ts';
import type { Schema } from '../schema.ts';

type Timed = 'pipelines' | 'mergeRequests';

/** For `where`: true for rows within the ranges. */
export function within(ranges: TimeRanges) {
  return (eb: ExpressionBuilder<Schema, Timed>): ExpressionWrapper<Schema, Timed, SqlBool> =>
    eb.and([
      ...(ranges.createdAfter === undefined ? [] : [eb('createdAt', '>', ranges.createdAfter)]),
      ...(ranges.createdBefore === undefined ? [] : [eb('createdAt', '<', ranges.createdBefore)]),
      ...(ranges.updatedAfter === undefined ? [] : [eb('updatedAt', '>', ranges.updatedAfter)]),
      ...(ranges.updatedBefore === undefined ? [] : [eb('updatedAt', '<', ranges.updatedBefore)]),
    ]);
}
