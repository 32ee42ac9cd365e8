import { partHeader } from '../../pipeline/header.ts';
import { withStandIns } from '../../pipeline/interpolate.ts';
import { readYaml } from '../../pipeline/yaml.ts';
import { fieldsOf } from './json.ts';

/** What a configuration file may take in, whatever its rules say. `ref` undefined = of the default branch. */
export type IncludeEntry =
  | { readonly kind: 'local'; readonly path: string }
  | { readonly kind: 'project'; readonly project: string; readonly ref: string | undefined; readonly paths: readonly [string, ...string[]] }
  | { readonly kind: 'unknown'; readonly why: string };

/**
 * Every file that one file includes, those of child pipelines, too. Who wrote it could have written in it what is included: what it hides is nobody's loss, so whatever
 * does not look like an entry is none. Pure.
 * @see GitLab, CI/CD YAML syntax reference: `include`, `trigger:include`, `spec:include`
 */
export function includesIn(text: string): readonly IncludeEntry[] {
  if (!text.includes('include')) return [];
  const parts = partHeader(text);
  const blocked = parts === undefined ? undefined : withStandIns(parts.body);
  const body = blocked === undefined ? undefined : readYaml(blocked.text);
  const header = parts?.header === undefined ? undefined : readYaml(parts.header);
  if (body?.ok !== true || header?.ok === false) return [{ kind: 'unknown', why: 'a file that cannot be read here' }];
  const root = fieldsOf(body.value);
  const triggers = Object.values(root).map((job) => fieldsOf(fieldsOf(job)['trigger'])['include']);
  const spec = fieldsOf(fieldsOf(header?.value)['spec'])['include'];
  return [root['include'], spec, ...triggers].flatMap((given) => (Array.isArray(given) ? given : [given]).flatMap(entryOf));
}

/** `file.yml@group/project:ref`, as the path of a project's configuration may be. */
export function entryOfPath(path: string): IncludeEntry {
  if (/^https?:\/\//i.test(path)) return remote(path);
  const [, file, project, ref] = /^([^@]+)@([^@:]+)(?::(.+))?$/.exec(path) ?? [];
  if (file === undefined || project === undefined) return { kind: 'local', path };
  return { kind: 'project', project, ref, paths: [file] };
}

function entryOf(given: unknown): readonly IncludeEntry[] {
  if (given === undefined || given === null) return [];
  if (typeof given === 'string') return [/^https?:\/\//i.test(given) ? remote(given) : local(given)];
  const { remote: url, template, artifact, component, project, local: path, file, ref } = fieldsOf(given);
  if (url !== undefined) return [remote(textOf(url))];
  // The forge's own; and what a job made, whose principals answer for it.
  if (template !== undefined || artifact !== undefined) return [];
  if (component !== undefined) return [componentOf(textOf(component))];
  if (project !== undefined) {
    const name = textOf(Array.isArray(project) ? project[0] : project);
    const files = (Array.isArray(file) ? file : [file]).map(textOf);
    if (![name, textOf(ref ?? ''), ...files].every(isPlain) || name === '' || files.includes('')) return [variable(name)];
    return files.map((one) => ({ kind: 'project', project: name, ref: ref === undefined ? undefined : textOf(ref), paths: [one] }));
  }
  return [path === undefined ? { kind: 'unknown', why: 'something of an unknown kind' } : local(textOf(path))];
}

function local(path: string): IncludeEntry {
  return isPlain(path) && path !== '' ? { kind: 'local', path } : variable(path);
}

/** `host/group/project/name@version`; the host is the forge's own. @see GitLab, "CI/CD components" */
function componentOf(address: string): IncludeEntry {
  const [, path = '', name = '', version = ''] = /^[^/]+\/(.+)\/([^/@]+)@(.+)$/.exec(address) ?? [];
  if (path === '' || !isPlain(path) || !isPlain(name) || !isPlain(version)) return variable(address);
  // Which release that is by now, nobody tells.
  if (/^(?:~latest|\d+|\d+\.\d+)$/.test(version))
    return { kind: 'unknown', why: `component ${path}/${name} at no version of its own (${version})` };
  return { kind: 'project', project: path, ref: version, paths: [`templates/${name}.yml`, `templates/${name}/template.yml`] };
}

function remote(url: string): IncludeEntry {
  return {
    kind: 'unknown',
    why: `a file of ${/^https?:\/\/([^/?#@]{1,100})/i.exec(url)?.[1] ?? 'another server'}, which nobody answers for`,
  };
}

function variable(text: string): IncludeEntry {
  return { kind: 'unknown', why: `what a variable or input names (${text.replaceAll(/\uE000\d+\uE001/g, '…').slice(0, 100)})` };
}

/** Free of variables and inputs. */
function isPlain(text: string): boolean {
  return !/[$\uE000]/.test(text);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
}
