import { RE2JS } from 're2js';
import { type Fields, isFields } from './fields.ts';
import { type InputSpec, inputTypes } from './inputs.ts';
import type { CiError } from './plan.ts';
import { FileReader, type PartReader, shorten } from './reader.ts';
import { readYaml } from './yaml.ts';

const mostInputs = 200;
const longestRegex = 1000;

export type ReadSpec =
  | { readonly ok: true; readonly inputs: ReadonlyMap<string, InputSpec> }
  | { readonly ok: false; readonly errors: readonly CiError[] };

/** The header of a file: what may be put in below it. @param file its name, for people @see GitLab, CI/CD YAML syntax reference: `spec` */
export function readSpec(header: string, file: { readonly file?: string }): ReadSpec {
  const yaml = readYaml(header);
  if (!yaml.ok) return { ok: false, errors: yaml.errors.map((error) => ({ ...error, ...file })) };
  const { value } = yaml;
  const reader = new FileReader((at) => {
    const { line } = yaml.locate(at);
    return { ...(line === undefined ? {} : { line }), ...file };
  });
  const inputs = isFields(value) ? readHeader(value, reader) : undefined;
  if (inputs === undefined) reader.error([], 'above a line of `---` stands a header with `spec`, or nothing');
  return inputs === undefined || reader.errors.length > 0 ? { ok: false, errors: reader.errors } : { ok: true, inputs };
}

function readHeader(header: Fields, reader: FileReader): ReadonlyMap<string, InputSpec> | undefined {
  if (!Object.hasOwn(header, 'spec')) return undefined;
  reader.checkKeys(header, 'header', []);
  const spec = header['spec'] ?? {};
  const found = new Map<string, InputSpec>();
  if (!isFields(spec)) {
    reader.error(['spec'], '`spec` must be a map with `inputs`');
    return found;
  }
  const within = reader.within('spec');
  within.checkKeys(spec, 'spec', ['spec']);
  const inputs = spec['inputs'] ?? {};
  if (!isFields(inputs) || Object.keys(inputs).length > mostInputs) {
    within.error(['spec', 'inputs'], `\`inputs\` must be a map of at most ${mostInputs} names`);
    return found;
  }
  for (const [name, input] of Object.entries(inputs)) {
    const at = ['spec', 'inputs', name];
    if (!/^[\w-]{1,255}$/.test(name)) within.error(at, `\`${shorten(name)}\` is no name for an input: letters, digits, \`_\` and \`-\``);
    else found.set(name, readInput(input ?? {}, at, within.within(name)));
  }
  return found;
}

function readInput(value: unknown, at: readonly string[], reader: PartReader): InputSpec {
  if (!isFields(value)) {
    reader.error(at, 'an input must be a map, or nothing');
    return { type: 'string' };
  }
  reader.checkKeys(value, 'input', at);
  const type = inputTypes.find((one) => one === (value['type'] ?? 'string'));
  if (type === undefined) reader.error([...at, 'type'], `\`type\` must be one of ${inputTypes.join(', ')}`);
  const { description, options, regex } = value;
  if (description !== undefined && typeof description !== 'string') reader.error([...at, 'description'], '`description` must be a text');
  if (value['default'] === null) reader.error([...at, 'default'], '`default` must have a value');
  return {
    type: type ?? 'string',
    ...(Object.hasOwn(value, 'default') ? { default: value['default'] } : {}),
    ...(options === undefined ? {} : { options: readOptions(options, type, [...at, 'options'], reader) }),
    ...(regex === undefined ? {} : readRegex(regex, type, [...at, 'regex'], reader)),
  };
}

function readOptions(value: unknown, type: string | undefined, at: readonly string[], reader: PartReader): readonly unknown[] {
  if (type !== 'string' && type !== 'number') reader.error(at, '`options` are for texts and numbers');
  if (Array.isArray(value) && value.length > 0 && value.length <= 50) {
    const options: readonly unknown[] = value;
    if (options.every((option) => typeof option === type)) return options;
  }
  reader.error(at, '`options` must be a list of 1 to 50 values of its type (quote a text that looks like a number)');
  return [];
}

function readRegex(value: unknown, type: string | undefined, at: readonly string[], reader: PartReader): Pick<InputSpec, 'regex'> {
  if (type !== 'string') reader.error(at, '`regex` is for texts');
  if (typeof value === 'string' && value.length <= longestRegex && compiles(value)) return { regex: value };
  reader.error(at, `\`regex\` must be a regular expression (RE2) of at most ${longestRegex} characters`);
  return {};
}

function compiles(text: string): boolean {
  try {
    RE2JS.compile(text);
    return true;
  } catch {
    return false;
  }
}
