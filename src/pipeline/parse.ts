import { limits } from '../base/limits.ts';
import type { CiDefaults, CiFile, CiJob, ParsedCiFile } from './ci-file.ts';
import { type Fields, flatten, isFields } from './fields.ts';
import { checkOnStop } from './check-on-stop.ts';
import { checkGraph } from './graph.ts';
import { resolveInheritance } from './inherit.ts';
import { keywords } from './keywords.ts';
import { expandParallel } from './parallel.ts';
import { readCommon } from './read-common.ts';
import { readAutoCancel } from './read-flow.ts';
import { isName, readJob } from './read-job.ts';
import { readRules } from './read-rules.ts';
import { readRawVariables, readVariables } from './read-variables.ts';
import { FileReader, type PartReader, type PlaceOf, shorten } from './reader.ts';
import { mergeFiles, type SourceFile } from './source-file.ts';
import { readYaml } from './yaml.ts';

const maxErrors = 20;
export const notMap = 'the file must be a map of keywords and jobs';

/** Reads a `.gitlab-ci.yml` that includes nothing; see `parseFiles`. */
export function parseCiFile(text: string): ParsedCiFile {
  const yaml = readYaml(text);
  if (!yaml.ok) return yaml;
  if (!isFields(yaml.value)) return { ok: false, errors: [{ message: notMap }] };
  return parseFiles({ root: yaml.value, locate: yaml.locate, includes: [] });
}

/**
 * Reads a `.gitlab-ci.yml`, with what it includes, keyword by keyword. Never throws.
 * @returns the file, or its first mistakes (at most 20), in words that name the keyword, its line, and the file where it is an included one
 */
export function parseFiles(source: SourceFile): ParsedCiFile {
  const merged = mergeFiles(source);
  if (merged === undefined) return { ok: false, errors: [{ message: `the files have more than ${limits.ciNodes} values together` }] };
  const resolved = resolveInheritance(merged.root, merged.placeOf);
  return resolved.ok ? { root: resolved.root, ...readFile(resolved.root, merged.placeOf) } : resolved;
}

/** Reads the file's map, with what it extends and refers to put in. */
function readFile(root: Fields, placeOf: PlaceOf): ParsedCiFile {
  const reader = new FileReader(placeOf);
  const global = (name: string): unknown => (Object.hasOwn(root, name) ? root[name] : undefined);
  const stages = readStages(global('stages'), reader);
  const defaults = { ...readCommon(root, 'top', [], reader), ...readDefaults(global('default'), reader) };
  const variables = readVariables(global('variables'), ['variables'], reader.within('variables'));
  const workflow = readWorkflow(global('workflow'), reader);
  const jobs: CiJob[] = [];
  for (const [name, body] of Object.entries(root)) {
    const keyword = keywords.top.get(name);
    if (name.startsWith('.') || keyword?.status === 'supported') continue;
    if (keyword !== undefined) reader.error([name], `keyword \`${name}\` ${keyword.reason}`);
    else if (!isFields(body)) reader.error([name], `\`${shorten(name)}\` is neither a keyword nor a job: a job is a map with \`script\``);
    else if (jobs.length >= limits.jobsPerPipeline) {
      reader.error([name], `the file has more than ${limits.jobsPerPipeline} jobs`);
      break;
    } else jobs.push(readJob(name, body, stages, reader));
  }
  if (jobs.length === 0 && reader.errors.length === 0) reader.error([], 'the file has no visible job');
  // The graph of jobs that were not understood would only repeat their mistakes.
  const mistakes = reader.errors.length > 0 ? reader.errors : [...checkGraph(stages, jobs), ...checkOnStop(jobs)];
  const expanded = mistakes.length > 0 ? { jobs, errors: mistakes } : expandParallel(jobs);
  if (expanded.errors.length > 0) return { ok: false, errors: expanded.errors.slice(0, maxErrors) };
  return {
    ok: true,
    root,
    file: { stages, variables, ...readRawVariables(global('variables')), defaults, ...workflow, jobs: expanded.jobs },
  };
}

function readStages(value: unknown, reader: PartReader): readonly string[] {
  if (value === undefined) return ['.pre', 'build', 'test', 'deploy', '.post'];
  // Lists may nest, as those of `!reference` do.
  const names = Array.isArray(value) ? flatten(value, 0) : undefined;
  if (names === undefined || names.length === 0 || new Set(names).size !== names.length || !names.every(isName)) {
    reader.error(['stages'], '`stages` must be a list of different names of at most 255 characters');
    return [];
  }
  return ['.pre', ...names.filter((name) => name !== '.pre' && name !== '.post'), '.post'];
}

function readDefaults(value: unknown, file: PartReader): CiDefaults {
  if (value === undefined) return {};
  if (!isFields(value)) {
    file.error(['default'], '`default` must be a map');
    return {};
  }
  const reader = file.within('default');
  reader.checkKeys(value, 'default', ['default']);
  return readCommon(value, 'default', ['default'], reader);
}

function readWorkflow(value: unknown, file: PartReader): Pick<CiFile, 'workflow' | 'autoCancel'> {
  if (value === undefined) return {};
  if (!isFields(value)) {
    file.error(['workflow'], '`workflow` must be a map with `rules`');
    return {};
  }
  const reader = file.within('workflow');
  reader.checkKeys(value, 'workflow', ['workflow']);
  const given = value['auto_cancel'];
  const autoCancel = given === undefined ? {} : { autoCancel: readAutoCancel(given, ['workflow', 'auto_cancel'], reader) };
  const name = value['name'];
  if (name !== undefined && (typeof name !== 'string' || name.trim() === ''))
    reader.error(['workflow', 'name'], '`name` must be a text, and not empty');
  const rules = value['rules'] === undefined ? undefined : readRules(value['rules'], ['workflow', 'rules'], reader, 'workflow_rule');
  if (rules?.some(({ when }) => when !== undefined && when !== 'always' && when !== 'never'))
    reader.error(['workflow', 'rules'], 'rules: `when` must be always or never');
  return { ...autoCancel, workflow: { ...(typeof name === 'string' ? { name } : {}), ...(rules === undefined ? {} : { rules }) } };
}
