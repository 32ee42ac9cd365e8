import { JobpassError } from '../../base/errors.ts';
import type { PipelineVariable } from '../../ports/jobs.ts';

/** A variable that a caller gives to a pipeline; its size is for the jobs to judge. @throws invalid_input */
export function namedVariable(key: string, value: string): PipelineVariable {
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,254}$/.test(key))
    throw new JobpassError('invalid_input', `The variable name ${key.slice(0, 50)} is invalid.`);
  return { key, value };
}
