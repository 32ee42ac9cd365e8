import { limits } from '../base/limits.ts';
import { newBudget } from '../base/budget.ts';
import { isFields } from './fields.ts';
import { hiddenIn, secretText } from './given.ts';
import { matchesWildcard } from '../base/glob.ts';
import { openHeaded, readHeaded } from './headed-file.ts';
import type { InputArguments, InputSpec } from './inputs.ts';
import { notMap } from './parse.ts';
import type { CiError } from './plan.ts';
import { type CiInclude, readIncludes } from './read-include.ts';
import { readInputsFile } from './read-spec.ts';
import { FileReader, shorten } from './reader.ts';
import { hiddenComparison, matchingRule, type RuleFacts, wantedFacts, type WantedFacts } from './rule-facts.ts';
import type { SourceFile } from './source-file.ts';
import { expander } from './variables.ts';

/** A commit of a project. */
export interface Origin {
  /** Stands in front of a file's path, for people; empty for the pipeline's own project. */
  readonly label: string;
  /** The same for the same commit of the same project, and for no other. */
  readonly key: string;
}

/** Where files come from. Answers are ordinary; what fails for another reason throws. */
export interface FileSource<Place extends Origin> {
  /** @returns undefined where there is no such project for everybody whose pipeline this is; `no_ref` where it has no such commit */
  project(path: string, ref: string | undefined): Promise<Place | 'no_ref' | undefined>;
  /** Every file of the commit, sorted; undefined = more than `limits.rulePaths`. */
  paths(place: Place): Promise<readonly string[] | undefined>;
  /** @returns undefined where there is no such file; `too_large` beyond `limits.ciFileBytes` */
  read(place: Place, path: string): Promise<{ readonly text: string } | 'too_large' | undefined>;
  /** What changed is of the pipeline's own commit, what is there of the place. A message says why they cannot be known. */
  facts(wanted: WantedFacts, place: Place): Promise<RuleFacts | string>;
}

/** One file that was included, in the order of reading. */
export interface Included<Place extends Origin> {
  readonly path: string;
  readonly place: Place;
  readonly project: CiInclude['project'];
  /** Where the including file is. */
  readonly by: Place;
}

export type LoadedFiles<Place extends Origin> =
  | { readonly ok: true; readonly file: SourceFile; readonly included: readonly Included<Place>[] }
  | { readonly ok: false; readonly errors: readonly CiError[] };

/**
 * Follows every `include` of a configuration. Pure but for its source, and bounded: `limits.ciFiles`, `ciFilesBytes`, `ciIncludeDepth`.
 * @param text of the file that the pipeline begins with, at `place`
 * @param given variables that paths may name; those of the files themselves are not known yet
 * @param inRules as `given`, with what rules may look at and nothing may show
 * @param inputs for the `spec:inputs` of that file
 */
export async function loadFiles<Place extends Origin>(
  text: string,
  path: string,
  place: Place,
  source: FileSource<Place>,
  given: ReadonlyMap<string, string>,
  inRules: ReadonlyMap<string, string> = given,
  inputs: InputArguments = {},
): Promise<LoadedFiles<Place>> {
  const walk = new Walk(source, given, inRules);
  const file = await walk.read({ text, path, place, inputs });
  if (file === undefined || walk.errors.length > 0) return { ok: false, errors: walk.errors };
  return { ok: true, file, included: walk.included };
}

interface Found<Place> {
  readonly text: string;
  readonly path: string;
  readonly place: Place;
  readonly inputs: InputArguments;
}

class Walk<Place extends Origin> {
  readonly errors: CiError[] = [];
  readonly included: Included<Place>[] = [];
  readonly #source: FileSource<Place>;
  readonly #given: ReadonlyMap<string, string>;
  readonly #inRules: ReadonlyMap<string, string>;
  readonly #budget = newBudget();
  #files = 0;
  #bytes = 0;

  constructor(source: FileSource<Place>, given: ReadonlyMap<string, string>, inRules: ReadonlyMap<string, string>) {
    this.#source = source;
    this.#given = given;
    this.#inRules = inRules;
  }

  /** @param chain keys of the files that led here */
  async read({ text, path, place, inputs }: Found<Place>, chain: readonly string[] = []): Promise<SourceFile | undefined> {
    const name = chain.length === 0 ? {} : { name: nameOf(place, path) };
    const file = name.name === undefined ? {} : { file: name.name };
    const opened = openHeaded(text, file);
    if (!opened.ok) return this.#fail(opened.errors);
    const shared = await this.#sharedInputs(opened.spec?.includes ?? [], place);
    if (shared === undefined) return undefined;
    const headed = readHeaded(opened, inputs, { shown: this.#given, inRules: this.#inRules }, shared);
    if (!headed.ok) return this.#fail(headed.errors);
    if (!isFields(headed.value)) return this.#fail([{ ...file, message: notMap }]);
    const { value: root, locate } = headed;
    const reader = new FileReader((at) => {
      const { line } = locate(at);
      return { ...(line === undefined ? {} : { line }), ...file };
    });
    const entries = Object.hasOwn(root, 'include') ? readIncludes(root['include'], reader) : [];
    if (reader.errors.length > 0) return this.#fail(reader.errors);
    const includes: SourceFile[] = [];
    for (const entry of entries) {
      for (const found of await this.#filesOf(entry, place)) {
        const read = await this.#follow(found, entry, place, [...chain, keyOf(place, path)]);
        if (read === undefined) return undefined;
        includes.push(read);
      }
      // One mistake is told; what is behind it would only repeat it.
      if (this.errors.length > 0) return undefined;
    }
    return { ...name, root, locate, includes };
  }

  #fail(errors: readonly CiError[]): undefined {
    this.errors.push(...errors);
  }

  async #follow(found: Found<Place>, entry: CiInclude, by: Place, chain: readonly string[]): Promise<SourceFile | undefined> {
    const shown = shorten(nameOf(found.place, found.path), 200);
    const fail = (message: string): undefined => this.#fail([{ ...entry.place, message: `include: ${message}` }]);
    if (chain.includes(keyOf(found.place, found.path))) return fail(`\`${shown}\` includes itself`);
    if (chain.length > limits.ciIncludeDepth) return fail(`\`${shown}\` is more than ${limits.ciIncludeDepth} files deep`);
    const much = this.#count(found, entry, by);
    return much === undefined ? this.read(found, chain) : fail(much);
  }

  /** Takes a file among those that were included: whoever wrote it has a hand in the pipeline (A57). @returns what there is too much of */
  #count(found: Found<Place>, { project }: CiInclude, by: Place): string | undefined {
    this.#files += 1;
    this.#bytes += Buffer.byteLength(found.text);
    if (this.#files >= limits.ciFiles) return `there are more than ${limits.ciFiles} files`;
    if (this.#bytes > limits.ciFilesBytes) return `the files are larger than ${limits.ciFilesBytes} bytes together`;
    this.included.push({ path: found.path, place: found.place, project, by });
    return undefined;
  }

  /** What the files of a header's `include` say of inputs; undefined after a mistake. */
  async #sharedInputs(entries: readonly CiInclude[], by: Place): Promise<readonly ReadonlyMap<string, InputSpec>[] | undefined> {
    const shared: ReadonlyMap<string, InputSpec>[] = [];
    for (const entry of entries) {
      for (const found of await this.#filesOf(entry, by)) {
        const much = this.#count(found, entry, by);
        if (much !== undefined) return this.#fail([{ ...entry.place, message: `spec: include: ${much}` }]);
        const name = nameOf(found.place, found.path);
        const spec = readInputsFile(found.text, { file: name });
        if (!spec.ok) return this.#fail(spec.errors);
        shared.push(spec.inputs);
      }
      if (this.errors.length > 0) return undefined;
    }
    return shared;
  }

  /** The files of an entry whose rules want them; none after a mistake. */
  async #filesOf(entry: CiInclude, here: Place): Promise<readonly Found<Place>[]> {
    const fail = (message: string): [] => {
      this.#fail([{ ...entry.place, message: `include: ${message}` }]);
      return [];
    };
    const wanted = await this.#isWanted(entry, here);
    if (typeof wanted === 'string') return fail(wanted);
    if (!wanted) return [];
    const texts = [entry.project?.path ?? '', entry.project?.ref ?? '', ...entry.files];
    const hidden = texts.flatMap((text) => hiddenIn(text, this.#given, this.#inRules) ?? [])[0];
    if (hidden !== undefined) return fail(secretText(hidden));
    const variables = expander(new Map(), this.#given, this.#budget);
    const project = entry.project === undefined ? undefined : variables.text(entry.project.path);
    const ref = entry.project?.ref === undefined ? undefined : variables.text(entry.project.ref);
    const place = project === undefined ? here : await this.#source.project(project, ref);
    if (place === undefined)
      return fail(`project \`${shorten(project ?? '')}\` does not exist, or not everybody whose pipeline this is may read it`);
    if (place === 'no_ref') return fail(`project \`${shorten(project ?? '')}\` has no \`${shorten(ref ?? 'default branch')}\``);
    const found: Found<Place>[] = [];
    for (const file of entry.files) {
      const path = variables.text(file).replace(/^\/+/, '');
      if (!/\.ya?ml$/.test(path)) return fail(`\`${shorten(path)}\` must end in .yml or .yaml`);
      const paths = entry.project === undefined && path.includes('*') ? await this.#matching(place, path) : [path];
      if (typeof paths === 'string') return fail(paths);
      if (paths.length === 0) return fail(`nothing matches \`${shorten(nameOf(place, path))}\``);
      if (this.#files + paths.length > limits.ciFiles) return fail(`there are more than ${limits.ciFiles} files`);
      for (const one of paths) {
        const read = await this.#source.read(place, one);
        const shown = `\`${shorten(nameOf(place, one), 200)}\``;
        if (read === undefined) return fail(`there is no file ${shown}`);
        if (read === 'too_large') return fail(`${shown} is larger than ${limits.ciFileBytes} bytes`);
        found.push({ text: read.text, path: one, place, inputs: entry.inputs });
      }
    }
    return found;
  }

  async #matching(place: Place, pattern: string): Promise<readonly string[] | string> {
    const paths = await this.#source.paths(place);
    if (paths === undefined) return `\`${shorten(pattern)}\` cannot be looked for: there are more than ${limits.rulePaths} files`;
    const found = paths.filter((path) => matchesWildcard(pattern, path, this.#budget));
    return this.#budget.left < 0 ? `looking for \`${shorten(pattern)}\` takes too long` : found;
  }

  async #isWanted({ rules }: CiInclude, here: Place): Promise<boolean | string> {
    if (rules === undefined) return true;
    const hidden = hiddenComparison(rules, this.#given, this.#inRules);
    if (hidden !== undefined) return hidden;
    const facts = await this.#source.facts(wantedFacts(rules, this.#given), here);
    if (typeof facts === 'string') return facts;
    const rule = matchingRule(rules, expander(new Map(), this.#inRules, this.#budget), this.#given, facts, this.#budget);
    if (this.#budget.left < 0) return 'evaluating the rules takes too long';
    return rule !== undefined && rule.when !== 'never';
  }
}

function nameOf({ label }: Origin, path: string): string {
  return label === '' ? path : `${label}:${path}`;
}

function keyOf({ key }: Origin, path: string): string {
  return `${key}:${path}`;
}
