import { isFields } from '../../src/pipeline/fields.ts';
import type { FileSource, Origin } from '../../src/pipeline/include-files.ts';
import { elsewhereKey, type RuleFacts } from '../../src/pipeline/rule-facts.ts';

export interface CasePlace extends Origin {
  readonly files: ReadonlyMap<string, string>;
}

const texts = (value: unknown): ReadonlyMap<string, string> =>
  new Map(isFields(value) ? Object.entries(value).map(([path, text]) => [path, String(text)]) : []);

/**
 * What a case gives to include from: `files` (path → text) of the repository, `projects` (path or path@ref → files), `paths` that are there,
 * and `changed` (what is compared to, `push` for the push itself → paths, or always).
 */
export function caseSource(settings: unknown): FileSource<CasePlace> & { readonly here: CasePlace; readonly known: RuleFacts } {
  const given = isFields(settings) ? settings : {};
  const projects = isFields(given['projects']) ? given['projects'] : {};
  const changed = isFields(given['changed']) ? given['changed'] : {};
  const here: CasePlace = { label: '', key: 'here', files: texts(given['files']) };
  const known: RuleFacts = {
    paths: new Set(Array.isArray(given['paths']) ? given['paths'].map(String) : []),
    changed: new Map(
      Object.entries(changed).map(([name, paths]) => [name === 'push' ? '' : name, Array.isArray(paths) ? paths.map(String) : 'always']),
    ),
    elsewhere: new Map(
      Object.entries(projects).map(([name, files]) => {
        const [project = '', ref] = name.split('@');
        return [elsewhereKey({ project, ...(ref === undefined ? {} : { ref }) }), new Set(texts(files).keys())];
      }),
    ),
  };
  return {
    here,
    project: (path, ref) => {
      const name = ref === undefined ? path : `${path}@${ref}`;
      const known = Object.keys(projects).some((one) => one === path || one.startsWith(`${path}@`));
      if (!known) return Promise.resolve(undefined);
      return Promise.resolve(Object.hasOwn(projects, name) ? { label: path, key: name, files: texts(projects[name]) } : 'no_ref');
    },
    paths: (place) => Promise.resolve([...place.files.keys()].toSorted()),
    read: (place, path) => {
      const text = place.files.get(path);
      return Promise.resolve(text === undefined ? undefined : { text });
    },
    known,
    // In an included file of another project `exists` looks there.
    facts: (_wanted, place) => Promise.resolve(place === here ? known : { ...known, paths: new Set(place.files.keys()) }),
  };
}
