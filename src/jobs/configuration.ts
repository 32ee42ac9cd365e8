import { JobpassError } from '../base/errors.ts';
import { isProtected } from '../base/refs.ts';
import type { Grant } from '../pass/grant.ts';
import type { CiFile } from '../pipeline/ci-file.ts';
import { planPipeline } from '../pipeline/evaluate.ts';
import type { Fields } from '../pipeline/fields.ts';
import { type Given, givenInRules, shownGiven } from '../pipeline/given.ts';
import { type Included, loadFiles } from '../pipeline/include-files.ts';
import type { InputArguments } from '../pipeline/inputs.ts';
import { parseFiles } from '../pipeline/parse.ts';
import { errorText, type Plan } from '../pipeline/plan.ts';
import { allRules, hiddenComparison, wantedFacts } from '../pipeline/rule-facts.ts';
import type { IncludedCommit } from '../ports/includes.ts';
import type { PipelineVariable } from '../ports/jobs.ts';
import type { JobsDeps } from './deps.ts';
import { type ConfigurationRequest, IncludeSource, type Place } from './include-source.ts';
import { givenKept, keptByEnvironment, type KeptVariable, unopened } from './kept-variables.ts';
import { pipelineVariables } from './predefined.ts';

/** What a configuration comes to for one pipeline. */
export interface Configuration {
  /** Undefined where there is to be no pipeline; `errors` says why. */
  readonly plan?: Plan;
  /** Lines for people. */
  readonly errors: readonly string[];
  /** The file's own will (`workflow:rules`), not a mistake in it. */
  readonly filtered: boolean;
  /** Whose rights its jobs intersect, beside those of its own commit (A57). */
  readonly commits: readonly IncludedCommit[];
  readonly included: readonly Included<Place>[];
  /** As far as it could be read. */
  readonly file?: CiFile;
  readonly root?: Fields;
}

/**
 * Reads a configuration with everything that it includes, and plans a pipeline from it. Makes nothing.
 * @param grant for reading the pipeline's own project
 * @param text of the file at `path`
 */
export async function configure(
  deps: JobsDeps,
  grant: Grant,
  request: ConfigurationRequest & { readonly variables: readonly PipelineVariable[]; readonly inputs?: InputArguments },
  path: string,
  text: string,
): Promise<Configuration> {
  const source = new IncludeSource(deps, request, grant);
  try {
    return await read(deps, source, request, path, text);
  } finally {
    await source.close();
  }
}

async function read(
  deps: JobsDeps,
  source: IncludeSource,
  request: Parameters<typeof configure>[2],
  path: string,
  text: string,
): Promise<Configuration> {
  const { project, ref, tag, sha, creators } = request;
  const none: Configuration = { errors: [], filtered: false, commits: [], included: [] };
  const [userId] = creators;
  const user = userId === undefined ? undefined : (await deps.directory.users(null, [userId])).get(userId);
  if (user === undefined) return { ...none, errors: ['The user of this pipeline is gone.'] };
  const rules = await deps.directory.protectedRefs(null, project.id);
  const commit = await deps.forge.repository.commit(source.here.grant, project.id, sha);
  const guarded = isProtected(rules, tag ? 'tag' : 'branch', ref);
  const predefined = pipelineVariables(deps.instance, { ...request, user, commit, protected: guarded });
  const given = await givenWith(deps, request, predefined, guarded).catch(unopened);
  if (given instanceof JobpassError) return { ...none, errors: [given.message] };
  const [shown, inRules] = [shownGiven(given), givenInRules(given)];
  const loaded = await loadFiles(text, path, source.here, source, shown, inRules, request.inputs);
  if (!loaded.ok) return { ...none, errors: loaded.errors.map(errorText) };
  const { included } = loaded;
  const parsed = parseFiles(loaded.file);
  if (!parsed.ok)
    return { ...none, included, ...(parsed.root === undefined ? {} : { root: parsed.root }), errors: parsed.errors.map(errorText) };
  const { file, root } = parsed;
  const hidden = hiddenComparison(allRules(file), shown, inRules);
  const facts = hidden ?? (await source.facts(wantedFacts(allRules(file), shown), source.here));
  if (typeof facts === 'string') return { ...none, included, file, root, errors: [facts] };
  const planned = planOrWhyNot(file, given, facts);
  if (planned instanceof JobpassError) return { ...none, included, file, root, errors: [planned.message] };
  if (!planned.ok) return { ...none, included, file, root, errors: planned.errors.map(errorText), filtered: planned.filtered === true };
  return { ...none, plan: planned.plan, commits: await source.commits(included.map(({ place }) => place)), included, file, root };
}

/** A variable of one environment is opened when a job of it is planned. */
function planOrWhyNot(...parts: Parameters<typeof planPipeline>): ReturnType<typeof planPipeline> | JobpassError {
  try {
    return planPipeline(...parts);
  } catch (error) {
    return unopened(error);
  }
}

/** What is over the file's variables: what is kept for the project, then what came with the pipeline. @throws unprocessable where a kept one cannot be opened */
async function givenWith(
  deps: JobsDeps,
  request: Parameters<typeof configure>[2],
  predefined: ReadonlyMap<string, string>,
  guarded: boolean,
): Promise<Given> {
  const keptIn = request.kept ? await keptByEnvironment(deps, request.project.id, guarded) : (): readonly KeptVariable[] => [];
  const overIn = (environment: string | undefined): Given['over'] => [
    ...keptIn(environment).map(givenKept),
    ...request.variables.map(({ key, value }) => ({ key, value, raw: false, secret: false })),
  ];
  return { predefined, over: overIn(undefined), overIn };
}
