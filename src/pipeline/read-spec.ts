import { RE2JS } from 're2js';
import { type Fields, isFields, scalarText } from './fields.ts';
import type { InputRule } from './input-rules.ts';
import { type InputSpec, inputTypes } from './inputs.ts';
import type { CiError } from './plan.ts';
import { type CiInclude, readSpecIncludes } from './read-include.ts';
import { FileReader, type PartReader, shorten } from './reader.ts';
import { readYaml } from './yaml.ts';

const mostInputs = 200;
const mostRules = 50;
const longestRegex = 1000;

export type ReadSpec =
  | {
      readonly ok: true;
      readonly inputs: ReadonlyMap<string, InputSpec>;
      /** Files with more of them. */ readonly includes: readonly CiInclude[];
    }
  | { readonly ok: false; readonly errors: readonly CiError[] };

/** The header of a file: what may be put in below it. @param file its name, for people @see GitLab, CI/CD YAML syntax reference: `spec` */
export function readSpec(header: string, file: { readonly file?: string }): ReadSpec {
  return read(header, file, 'above a line of `---` stands a header with `spec`, or nothing', (value, reader) => {
    if (!Object.hasOwn(value, 'spec')) return undefined;
    reader.checkKeys(value, 'header', []);
    const spec = value['spec'] ?? {};
    const within = reader.within('spec');
    if (isFields(spec)) within.checkKeys(spec, 'spec', ['spec']);
    else reader.error(['spec'], '`spec` must be a map with `inputs`');
    const { include, inputs }: Fields = isFields(spec) ? spec : {};
    return {
      inputs: readInputs(inputs ?? {}, ['spec', 'inputs'], within),
      includes: include === undefined ? [] : readSpecIncludes(include, ['spec', 'include'], within),
    };
  });
}

/** A file that `spec:include` names: inputs, and nothing else. @see GitLab, "Use inputs from external files" */
export function readInputsFile(text: string, file: { readonly file?: string }): ReadSpec {
  return read(text, file, 'a file that `spec:include` names must be a map with `inputs` alone', (value, reader) => {
    reader.checkKeys(value, 'inputs_file', []);
    return { inputs: readInputs(value['inputs'] ?? {}, ['inputs'], reader), includes: [] };
  });
}

type Spec = Omit<ReadSpec & { readonly ok: true }, 'ok'>;

function read(
  text: string,
  file: { readonly file?: string },
  otherwise: string,
  of: (value: Fields, reader: FileReader) => Spec | undefined,
): ReadSpec {
  const yaml = readYaml(text);
  if (!yaml.ok) return { ok: false, errors: yaml.errors.map((error) => ({ ...error, ...file })) };
  const { value } = yaml;
  const reader = new FileReader((at) => {
    const { line } = yaml.locate(at);
    return { ...(line === undefined ? {} : { line }), ...file };
  });
  const spec = isFields(value) ? of(value, reader) : undefined;
  if (spec === undefined) reader.error([], otherwise);
  return spec === undefined || reader.errors.length > 0 ? { ok: false, errors: reader.errors } : { ok: true, ...spec };
}

function readInputs(inputs: unknown, path: readonly string[], reader: PartReader): ReadonlyMap<string, InputSpec> {
  const found = new Map<string, InputSpec>();
  if (!isFields(inputs) || Object.keys(inputs).length > mostInputs) {
    reader.error(path, `\`inputs\` must be a map of at most ${mostInputs} names`);
    return found;
  }
  for (const [name, input] of Object.entries(inputs)) {
    const at = [...path, name];
    if (!/^[\w-]{1,255}$/.test(name)) reader.error(at, `\`${shorten(name)}\` is no name for an input: letters, digits, \`_\` and \`-\``);
    else found.set(name, readInput(input ?? {}, at, reader.within(name)));
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
  const { description, options, regex, rules } = value;
  if (description !== undefined && typeof description !== 'string') reader.error([...at, 'description'], '`description` must be a text');
  if (value['default'] === null) reader.error([...at, 'default'], '`default` must have a value');
  return {
    type: type ?? 'string',
    ...(Object.hasOwn(value, 'default') ? { default: value['default'] } : {}),
    ...(options === undefined ? {} : { options: readOptions(options, type, [...at, 'options'], reader) }),
    ...(regex === undefined ? {} : readRegex(regex, type, [...at, 'regex'], reader)),
    ...(rules === undefined ? {} : { rules: readRules(rules, type, at, value, reader) }),
  };
}

function readRules(
  value: unknown,
  type: string | undefined,
  at: readonly string[],
  input: Fields,
  outer: PartReader,
): readonly InputRule[] {
  for (const key of ['options', 'default'])
    if (Object.hasOwn(input, key)) outer.error([...at, key], `\`${key}\` stands in the rules where there are \`rules\``);
  if (!Array.isArray(value) || value.length === 0 || value.length > mostRules) {
    outer.error([...at, 'rules'], `\`rules\` must be a list of 1 to ${mostRules} maps`);
    return [];
  }
  const reader = outer.within('rules');
  return value.flatMap((rule: unknown, index) => {
    const place = [...at, 'rules', String(index)];
    if (!isFields(rule)) {
      reader.error(place, 'each rule must be a map');
      return [];
    }
    reader.checkKeys(rule, 'input_rule', place);
    const { options } = rule;
    const parsed = rule['if'] === undefined ? undefined : reader.expression(scalarText(rule['if']), 'inputs');
    if (parsed?.ok === false) reader.error([...place, 'if'], `if: ${parsed.message}`);
    if (parsed === undefined && index < value.length - 1) reader.error(place, 'only the last rule may have no `if`');
    if (parsed === undefined ? options === undefined : options === undefined && !Object.hasOwn(rule, 'default'))
      reader.error(place, parsed === undefined ? 'a rule without `if` needs `options`' : 'a rule needs `options` or `default`');
    return [
      {
        ...(parsed?.ok === true ? { if: parsed.expression } : {}),
        ...(options === undefined ? {} : { options: readOptions(options, type, [...place, 'options'], reader) }),
        ...(Object.hasOwn(rule, 'default') ? { default: rule['default'] } : {}),
      },
    ];
  });
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
