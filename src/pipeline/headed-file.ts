import { partHeader } from './header.ts';
import type { FunctionContext } from './input-functions.ts';
import { hasInputs, type InputArguments, resolveInputs } from './inputs.ts';
import { interpolate, withStandIns } from './interpolate.ts';
import type { CiError } from './plan.ts';
import { readSpec } from './read-spec.ts';
import { readYaml, severalDocuments, type YamlFile } from './yaml.ts';

/**
 * Reads a file with its header, and puts in what the header asks for. Never throws.
 * @param file its name, for people
 */
export function readHeaded(text: string, given: InputArguments, context: FunctionContext, file: { readonly file?: string }): YamlFile {
  const parts = partHeader(text);
  const failure = (messages: readonly string[], line?: number): YamlFile => ({
    ok: false,
    errors: messages.map((message): CiError => ({ ...(line === undefined ? {} : { line }), ...file, message })),
  });
  const named = (yaml: YamlFile): YamlFile => (yaml.ok ? yaml : { ok: false, errors: yaml.errors.map((error) => ({ ...error, ...file })) });
  if (parts === undefined) return failure([severalDocuments]);
  if (parts.header === undefined)
    return hasInputs(given)
      ? failure(['Given inputs not defined in the `spec` section of the included configuration file'])
      : named(readYaml(text));
  const spec = readSpec(parts.header, file);
  if (!spec.ok) return spec;
  const inputs = resolveInputs(spec.inputs, given);
  if ('errors' in inputs) return failure(inputs.errors);
  const blocked = withStandIns(parts.body);
  if (blocked === undefined) return failure(['a file with inputs holds no characters U+E000 and U+E001']);
  const yaml = named(readYaml(blocked.text));
  if (!yaml.ok) return yaml;
  const done = interpolate(yaml.value, yaml.locate, blocked, { ...context, inputs: inputs.values });
  return done.ok ? done : failure([done.message], yaml.locate(done.path).line);
}
