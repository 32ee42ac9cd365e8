import type { CiRule } from './ci-file.ts';
import { isFields } from './fields.ts';
import type { PartReader } from './reader.ts';

/** GitLab's. */
const mostPatterns = 50;

/** A list of patterns, or a map with `paths` and `compare_to`. @see GitLab, CI/CD YAML syntax reference: `rules:changes` */
export function readChanges(value: unknown, path: readonly string[], reader: PartReader): NonNullable<CiRule['changes']> {
  if (!isFields(value)) return { paths: patterns(value, path, reader) };
  reader.within('changes').checkKeys(value, 'changes', path);
  const compareTo = value['compare_to'];
  if (compareTo !== undefined && (typeof compareTo !== 'string' || compareTo === ''))
    reader.error([...path, 'compare_to'], '`changes:compare_to` must be the name of a branch or tag, or a sha');
  return {
    paths: patterns(value['paths'], [...path, 'paths'], reader),
    ...(typeof compareTo === 'string' ? { compareTo } : {}),
  };
}

/** A list of patterns, or a map with `paths`, `project` and `ref`. @see GitLab, CI/CD YAML syntax reference: `rules:exists` */
export function readExists(value: unknown, path: readonly string[], reader: PartReader): NonNullable<CiRule['exists']> {
  if (!isFields(value)) return { paths: patterns(value, path, reader) };
  reader.within('exists').checkKeys(value, 'exists', path);
  const { project, ref } = value;
  for (const [name, text] of Object.entries({ project, ref }))
    if (text !== undefined && (typeof text !== 'string' || text === '')) reader.error([...path, name], `\`exists:${name}\` must be a text`);
  if (ref !== undefined && project === undefined) reader.error([...path, 'ref'], '`exists:ref` goes with `project`');
  return {
    paths: patterns(value['paths'], [...path, 'paths'], reader),
    ...(typeof project === 'string' ? { project } : {}),
    ...(typeof ref === 'string' ? { ref } : {}),
  };
}

function patterns(value: unknown, path: readonly string[], reader: PartReader): readonly string[] {
  const given: readonly unknown[] = Array.isArray(value) ? value : typeof value === 'string' ? [value] : [];
  const texts = given.flatMap((one) => (typeof one === 'string' && one !== '' ? [one] : []));
  if (texts.length === given.length && texts.length > 0 && texts.length <= mostPatterns) return texts;
  reader.error(path, `\`${path.at(-1) ?? ''}\` must be a list of 1 to ${mostPatterns} paths`);
  return [];
}
