import type { Descending, TimeRanges } from '../../base/listing.ts';
import type { Params } from './params.ts';

/** `created_after`, `created_before`, `updated_after`, `updated_before`: a day or a time, none of them itself. */
export function rangesOf(params: Params): TimeRanges {
  const [createdAfter, createdBefore] = [params.time('created_after'), params.time('created_before')];
  const [updatedAfter, updatedBefore] = [params.time('updated_after'), params.time('updated_before')];
  return {
    ...(createdAfter === undefined ? {} : { createdAfter }),
    ...(createdBefore === undefined ? {} : { createdBefore }),
    ...(updatedAfter === undefined ? {} : { updatedAfter }),
    ...(updatedBefore === undefined ? {} : { updatedBefore }),
  };
}

/** `sort`; the newest or greatest first where nothing is said. */
export function descendingOf(params: Params): Descending {
  return { descending: params.oneOf('sort', ['asc', 'desc']) !== 'asc' };
}
