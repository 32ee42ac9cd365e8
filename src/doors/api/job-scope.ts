import type { JobStatus } from '../../ports/jobs.ts';
import { ParamError } from './errors.ts';
import type { Params } from './params.ts';

/** Words of `scope` and `status`. */
export const statuses = [
  'created',
  'pending',
  'running',
  'canceling',
  'success',
  'failed',
  'canceled',
  'skipped',
  'manual',
  'scheduled',
  'waiting_for_resource',
] as const satisfies readonly JobStatus[];

/** The states that `scope` asks for; empty = all. */
export function scopeOf(params: Params): readonly JobStatus[] {
  const words = params.words('scope') ?? [];
  return words.map((word) => {
    const status = statuses.find((one) => one === word);
    if (status === undefined) throw new ParamError('scope does not have a valid value');
    return status;
  });
}
