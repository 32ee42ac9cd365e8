import type { CiRule } from './ci-file.ts';
import { type Fields, isFields } from './fields.ts';
import { type InputArguments, notArguments, readArguments } from './inputs.ts';
import type { CiPlace } from './plan.ts';
import { readRules } from './read-rules.ts';
import { type PartReader, shorten } from './reader.ts';

/** One entry of `include`: files of the repository at hand (a wildcard is several), or of another project. */
export interface CiInclude {
  readonly place: CiPlace;
  /** Of what `files` are; undefined = of where the including file is. */
  readonly project?: { readonly path: string; readonly ref?: string };
  readonly files: readonly string[];
  readonly rules?: readonly CiRule[];
  /** For the `spec:inputs` of each of the files. */
  readonly inputs: InputArguments;
}

/** Entries of one `include`. */
const mostEntries = 200;

/** A path, a map, or a list of them. @see GitLab, CI/CD YAML syntax reference: `include` */
export function readIncludes(value: unknown, file: PartReader): readonly CiInclude[] {
  return readEntries(value, ['include'], 'include', file);
}

/** Files of inputs: `local`, or `project` with `file`. @see GitLab, CI/CD YAML syntax reference: `spec:include` */
export function readSpecIncludes(value: unknown, path: readonly string[], file: PartReader): readonly CiInclude[] {
  return readEntries(value, path, 'spec_include', file);
}

type IncludePlace = 'include' | 'spec_include';

function readEntries(value: unknown, path: readonly string[], kind: IncludePlace, file: PartReader): readonly CiInclude[] {
  const list = Array.isArray(value);
  const entries: readonly unknown[] = list ? value : [value];
  const reader = file.within('include');
  if (entries.length > mostEntries) reader.error(path, `there are more than ${mostEntries} entries`);
  return entries.slice(0, mostEntries).flatMap((entry, index) => readEntry(entry, list ? [...path, String(index)] : path, kind, reader));
}

function readEntry(entry: unknown, path: readonly string[], kind: IncludePlace, reader: PartReader): readonly CiInclude[] {
  const place = reader.placeOf(path);
  if (typeof entry === 'string' && entry !== '') {
    if (!/^https?:\/\//i.test(entry)) return [{ place, files: [entry], inputs: {} }];
    reader.error(path, `\`${shorten(entry)}\` is not supported: the server asks no other address; put the file into a project`);
    return [];
  }
  if (!isFields(entry)) {
    reader.error(path, 'each entry must be a path, or a map with `local` or `project`');
    return [];
  }
  reader.checkKeys(entry, kind, path);
  const rules =
    kind !== 'include' || entry['rules'] === undefined ? {} : { rules: readIncludeRules(entry['rules'], [...path, 'rules'], reader) };
  const inputs = readArguments(entry['inputs'] ?? {});
  if (inputs === undefined) reader.error([...path, 'inputs'], notArguments);
  const where = readWhere(entry, path, reader);
  return where === undefined ? [] : [{ place, ...where, ...rules, inputs: inputs ?? {} }];
}

function readWhere(entry: Fields, path: readonly string[], reader: PartReader): Pick<CiInclude, 'project' | 'files'> | undefined {
  const { local, project, file, ref } = entry;
  if (project === undefined) {
    if (typeof local === 'string' && local !== '' && file === undefined && ref === undefined) return { files: [local] };
    if (!['remote', 'template', 'component', 'artifact'].some((kind) => Object.hasOwn(entry, kind)))
      reader.error(path, 'an entry must have `local` with a path, or `project` with `file`');
    return undefined;
  }
  const files: readonly unknown[] = Array.isArray(file) ? file : [file];
  const paths = files.flatMap((one) => (typeof one === 'string' && one !== '' ? [one] : []));
  if (typeof project !== 'string' || project === '' || local !== undefined || paths.length === 0 || paths.length < files.length) {
    reader.error(path, "`project` must be another project's full path, with `file`: a path or a list of them");
    return undefined;
  }
  if (ref === undefined) return { project: { path: project }, files: paths };
  if (typeof ref === 'string' && ref !== '') return { project: { path: project, ref }, files: paths };
  reader.error([...path, 'ref'], '`ref` must be the name of a branch or tag, or a sha (quote one of digits alone)');
  return undefined;
}

function readIncludeRules(value: unknown, path: readonly string[], reader: PartReader): readonly CiRule[] {
  const rules = readRules(value, path, reader, 'include_rule');
  if (rules.some(({ when }) => when !== undefined && when !== 'always' && when !== 'never'))
    reader.error(path, 'rules: `when` must be always or never');
  return rules;
}
