import { JobpassError } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import type { InputArguments } from '../pipeline/inputs.ts';
import type { PipelineVariable } from '../ports/jobs.ts';

/** What somebody gives with a pipeline or a job, within bounds. @throws too_large */
export function checkVariables(given: readonly PipelineVariable[]): void {
  if (given.length > limits.variablesPerPipeline) throw new JobpassError('too_large', `At most ${limits.variablesPerPipeline} variables.`);
  const large = given.find(({ value }) => Buffer.byteLength(value) > limits.variableBytes);
  if (large !== undefined) throw new JobpassError('too_large', `The variable ${large.key} is larger than ${limits.variableBytes} bytes.`);
}

/** @throws too_large */
export function checkInputs(given: InputArguments): void {
  if (Buffer.byteLength(JSON.stringify(given)) > limits.variableBytes)
    throw new JobpassError('too_large', `The inputs are larger than ${limits.variableBytes} bytes together.`);
}
