import { limits } from '../base/limits.ts';
import { type Fields, isFields, isTexts, quoteHint, scalarText, variableText } from './fields.ts';
import { type PartReader, shorten } from './reader.ts';

/** @see GitLab, CI/CD YAML syntax reference: `variables` */
export function readVariables(value: unknown, path: readonly string[], reader: PartReader): Readonly<Record<string, string>> {
  if (value === undefined || value === null) return {};
  if (!isFields(value)) {
    reader.error(path, '`variables` must be a map');
    return {};
  }
  const entries: [string, string][] = [];
  for (const [key, given] of Object.entries(value)) {
    const at = [...path, key];
    const inner = variableText(isFields(given) ? (given['value'] ?? null) : given);
    if (isFields(given)) checkLong(given, at, reader.within(`variable \`${shorten(key)}\``));
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) reader.error(at, `\`${shorten(key)}\` is not a variable name`);
    else if (inner === undefined) reader.error(at, `variable \`${shorten(key)}\` must be a text or a whole number ${quoteHint}`);
    else {
      if (Buffer.byteLength(inner) > limits.variableBytes)
        reader.error(at, `variable \`${shorten(key)}\` is larger than ${limits.variableBytes} bytes`);
      entries.push([key, inner]);
    }
  }
  if (entries.length > limits.variablesPerPipeline) reader.error(path, `more than ${limits.variablesPerPipeline} variables`);
  return Object.fromEntries(entries);
}

/** Names of those that are not expanded; none = the field is left out. @see GitLab, CI/CD YAML syntax reference: `variables:expand` */
export function readRawVariables(value: unknown): { readonly rawVariables?: readonly string[] } {
  const names = isFields(value)
    ? Object.entries(value).flatMap(([key, given]) => (isFields(given) && given['expand'] === false ? [key] : []))
    : [];
  return names.length === 0 ? {} : { rawVariables: names };
}

/** `{value, description, options, expand}`. */
function checkLong(given: Fields, path: readonly string[], reader: PartReader): void {
  reader.checkKeys(given, 'variable', path);
  const { value, description, options, expand } = given;
  if (expand !== undefined && typeof expand !== 'boolean') reader.error([...path, 'expand'], '`expand` must be true or false');
  if (description !== undefined && typeof description !== 'string') reader.error([...path, 'description'], '`description` must be a text');
  if (options !== undefined && (!isTexts(options) || value === undefined || !options.map(String).includes(scalarText(value))))
    reader.error([...path, 'options'], '`options` must be a list of texts with `value` in it');
}
