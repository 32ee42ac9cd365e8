import { isFields } from './fields.ts';
import type { CiDefaults } from './ci-file.ts';
import { keywords } from './keywords.ts';
import { commonKeywords } from './read-common.ts';
import type { PartReader } from './reader.ts';

/** What a job takes of the file's defaults and variables: all, nothing, or what it names. */
export interface Inherit {
  readonly default: boolean | readonly string[];
  readonly variables: boolean | readonly string[];
}

/** @see GitLab, CI/CD YAML syntax reference: `inherit` */
export function readInherit(value: unknown, path: readonly string[], reader: PartReader): Inherit {
  if (!isFields(value)) {
    reader.error(path, '`inherit` must be a map with `default` or `variables`');
    return { default: true, variables: true };
  }
  reader.within('inherit').checkKeys(value, 'inherit', path);
  const part = (name: 'default' | 'variables'): boolean | readonly string[] => {
    const given = value[name] ?? true;
    return typeof given === 'boolean' ? given : reader.texts(given, [...path, name]);
  };
  const inherit = { default: part('default'), variables: part('variables') };
  for (const name of Array.isArray(inherit.default) ? inherit.default : [])
    if (keywords.default.get(name)?.status !== 'supported')
      reader.error([...path, 'default'], `\`inherit:default\`: \`${name.slice(0, 100)}\` is no supported keyword of \`default\``);
  return inherit;
}

/** The defaults that a job takes. */
export function inheritedDefaults(defaults: CiDefaults, inherit: Inherit | undefined): CiDefaults {
  const taken = inherit?.default ?? true;
  if (typeof taken === 'boolean') return taken ? defaults : {};
  const fields: readonly string[] = taken.map((name) => commonKeywords.get(name)?.field ?? '');
  return Object.fromEntries(Object.entries(defaults).filter(([field]) => fields.includes(field)));
}

/** The file's variables that a job takes. */
export function inheritedVariables(
  variables: Readonly<Record<string, string>>,
  inherited: boolean | readonly string[] = true,
): Readonly<Record<string, string>> {
  if (typeof inherited === 'boolean') return inherited ? variables : {};
  return Object.fromEntries(Object.entries(variables).filter(([name]) => inherited.includes(name)));
}
