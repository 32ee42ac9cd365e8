import { limits } from '../../base/limits.ts';
import { type InputArguments, readArguments } from '../../pipeline/inputs.ts';
import { ParamError } from './errors.ts';
import type { Params } from './params.ts';

/** `inputs` of a pipeline that is asked for: name → text, number, boolean or list. */
export function inputsOf(params: Params): InputArguments {
  const given = readArguments(params.map('inputs') ?? {});
  return checked(given);
}

/** `inputs` of a schedule: `[{name, value}]`, and `destroy` for one that goes. */
export function namedInputs(params: Params): { readonly inputs: InputArguments; readonly removedInputs: readonly string[] } {
  const given = params
    .list('inputs')
    .map((one) => ({ name: one.text('name'), value: one.value('value'), gone: one.flag('destroy') === true }));
  const kept = given.filter(({ gone }) => !gone);
  const inputs = readArguments(Object.fromEntries(kept.map(({ name, value }) => [name, value])));
  return { inputs: checked(inputs), removedInputs: given.flatMap(({ name, gone }) => (gone ? [name] : [])) };
}

function checked(given: InputArguments | undefined): InputArguments {
  if (given === undefined) throw new ParamError('inputs is invalid');
  // GitLab's bound.
  if (Object.keys(given).length > limits.inputsPerPipeline) throw new ParamError(`there are more than ${limits.inputsPerPipeline} inputs`);
  return given;
}
