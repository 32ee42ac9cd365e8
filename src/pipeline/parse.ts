import { limits } from '../base/limits.ts';
import { parseDuration } from './duration.ts';
import { type Expression, type ParsedExpression, parseExpression } from './expression.ts';
import { type Inherit, readInherit } from './defaults.ts';
import { type Fields, flatten, isFields, isTexts, scalarText } from './fields.ts';
import { checkGraph } from './graph.ts';
import { resolveInheritance } from './inherit.ts';
import { type PartReader, readImage, readServices } from './image.ts';
import { type KeywordPlace, keywords } from './keywords.ts';
import type { CiError, PlanArtifacts, PlanImage, PlanJob, PlanService } from './plan.ts';
import { expandParallel, type Instance, readParallel } from './parallel.ts';
import { readReports } from './reports.ts';
import { readRetry } from './retry.ts';
import { type LineOf, readYaml } from './yaml.ts';

export interface CiRule {
  readonly if?: Expression;
  readonly when?: 'on_success' | 'on_failure' | 'always' | 'manual' | 'never';
  readonly allowFailure?: boolean;
  readonly variables: Readonly<Record<string, string>>;
}
export interface CiDefaults {
  readonly image?: PlanImage;
  readonly services?: readonly PlanService[];
  readonly beforeScript?: readonly string[];
  readonly afterScript?: readonly string[];
  readonly tags?: readonly string[];
  readonly timeoutSeconds?: number;
  readonly artifacts?: PlanArtifacts;
  readonly retry?: NonNullable<PlanJob['retry']>;
}
export interface CiJob extends CiDefaults {
  readonly name: string;
  readonly line: number;
  readonly stage: string;
  readonly script: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
  /** `instances`: those of a parallel job; gone once they are put in. */
  readonly needs?: readonly {
    readonly job: string;
    readonly artifacts: boolean;
    readonly optional: boolean;
    readonly instances?: readonly Instance[];
  }[];
  readonly dependencies?: readonly string[];
  readonly rules?: readonly CiRule[];
  readonly when?: CiRule['when'];
  readonly allowFailure?: boolean;
  readonly allowFailureExitCodes: readonly number[];
  readonly inherit?: Inherit;
  /** Gone once each has its own job. */
  readonly parallel?: readonly Instance[];
}
/** A `.gitlab-ci.yml`, checked keyword by keyword. */
export interface CiFile {
  readonly stages: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
  readonly defaults: CiDefaults;
  /** The first that matches says whether there is a pipeline; undefined = there is. */
  readonly workflow?: readonly CiRule[];
  readonly jobs: readonly CiJob[];
}
export type ParsedCiFile = { readonly ok: true; readonly file: CiFile } | { readonly ok: false; readonly errors: readonly CiError[] };

const maxErrors = 20;
/** Each is compiled, and a pattern costs about 15 microseconds a character. */
const maxExpressionCharacters = 64 * 1024;

/**
 * Reads a `.gitlab-ci.yml` keyword by keyword. Never throws.
 * @returns the file, or its first mistakes (at most 20), in words that name the keyword and its line
 */
export function parseCiFile(text: string): ParsedCiFile {
  const yaml = readYaml(text);
  if (!yaml.ok) return yaml;
  if (!isFields(yaml.value)) return { ok: false, errors: [{ message: 'the file must be a map of keywords and jobs' }] };
  const resolved = resolveInheritance(yaml.value, yaml.lineOf);
  return resolved.ok ? new Reader(resolved.root, yaml.lineOf).read() : resolved;
}

/** Walks the parsed value, collects mistakes, and builds the file. */
class Reader {
  readonly #root: Fields;
  readonly #lineOf: LineOf;
  readonly #errors: CiError[] = [];
  readonly #expressions = new Map<string, ParsedExpression>();
  #expressionCharacters = 0;

  constructor(root: Fields, lineOf: LineOf) {
    this.#root = root;
    this.#lineOf = lineOf;
  }

  read(): ParsedCiFile {
    const global = (name: string): unknown => (Object.hasOwn(this.#root, name) ? this.#root[name] : undefined);
    const stages = this.#stages(global('stages'));
    const defaults = { ...this.#common(this.#root, 'top', []), ...this.#defaults(global('default')) };
    const variables = this.#variables(global('variables'), ['variables'], 'variables');
    const workflow = this.#workflow(global('workflow'));
    const jobs: CiJob[] = [];
    for (const [name, body] of Object.entries(this.#root)) {
      const keyword = keywords.top.get(name);
      if (name.startsWith('.') || keyword?.status === 'supported') continue;
      if (keyword !== undefined) this.#error([name], `keyword \`${name}\` ${keyword.reason}`);
      else if (!isFields(body)) this.#error([name], `\`${shorten(name)}\` is neither a keyword nor a job: a job is a map with \`script\``);
      else if (jobs.length >= limits.jobsPerPipeline) {
        this.#error([name], `the file has more than ${limits.jobsPerPipeline} jobs`);
        break;
      } else jobs.push(this.#job(name, body, stages));
    }
    if (jobs.length === 0 && this.#errors.length === 0) this.#error([], 'the file has no visible job');
    // The graph of jobs that were not understood would only repeat their mistakes.
    const mistakes = this.#errors.length > 0 ? this.#errors : checkGraph(stages, jobs);
    const expanded = mistakes.length > 0 ? { jobs, errors: mistakes } : expandParallel(jobs);
    if (expanded.errors.length > 0) return { ok: false, errors: expanded.errors.slice(0, maxErrors) };
    return { ok: true, file: { stages, variables, defaults, ...workflow, jobs: expanded.jobs } };
  }

  #error(path: readonly string[], message: string): void {
    // Looking up a line takes as long as the map is.
    if (this.#errors.length >= maxErrors) return;
    const line = this.#lineOf(path);
    this.#errors.push(line === undefined ? { message } : { line, message });
  }

  #stages(value: unknown): readonly string[] {
    if (value === undefined) return ['.pre', 'build', 'test', 'deploy', '.post'];
    const names = isTexts(value) ? value.map(String) : undefined;
    if (names === undefined || names.length === 0 || new Set(names).size !== names.length || !names.every(isName)) {
      this.#error(['stages'], '`stages` must be a list of different names of at most 255 characters');
      return [];
    }
    return ['.pre', ...names.filter((name) => name !== '.pre' && name !== '.post'), '.post'];
  }

  #defaults(value: unknown): CiDefaults {
    if (value === undefined) return {};
    if (!isFields(value)) {
      this.#error(['default'], '`default` must be a map');
      return {};
    }
    this.#checkKeys(value, 'default', ['default'], 'default');
    return this.#common(value, 'default', ['default']);
  }

  #workflow(value: unknown): Pick<CiFile, 'workflow'> {
    if (value === undefined) return {};
    if (!isFields(value)) {
      this.#error(['workflow'], '`workflow` must be a map with `rules`');
      return {};
    }
    this.#checkKeys(value, 'workflow', ['workflow'], 'workflow');
    if (value['rules'] === undefined) return {};
    const rules = this.#rules(value['rules'], ['workflow', 'rules'], 'workflow', 'workflow_rule');
    if (rules.some(({ when }) => when !== undefined && when !== 'always' && when !== 'never'))
      this.#error(['workflow', 'rules'], 'workflow: rules: `when` must be always or never');
    return { workflow: rules };
  }

  #checkKeys(fields: Fields, place: KeywordPlace, path: readonly string[], where: string): void {
    for (const key of Object.keys(fields)) {
      const keyword = keywords[place].get(key);
      if (keyword?.status === 'supported') continue;
      const why = keyword === undefined ? `unknown keyword \`${shorten(key)}\`` : `keyword \`${key}\` ${keyword.reason}`;
      this.#error([...path, key], `${where}: ${why}`);
    }
  }

  /** Keywords that stand the same at the top, in `default` and in a job. */
  #common(fields: Fields, place: 'top' | 'default' | 'job', path: readonly string[]): CiDefaults {
    const has = (key: string): boolean =>
      keywords[place].get(key)?.status === 'supported' && Object.hasOwn(fields, key) && fields[key] !== null;
    const at = (key: string): readonly string[] => [...path, key];
    return {
      ...(has('image') ? { image: readImage(fields['image'], at('image'), this.#reader) } : {}),
      ...(has('services') ? { services: readServices(fields['services'], at('services'), this.#reader) } : {}),
      ...(has('before_script') ? { beforeScript: this.#script(fields['before_script'], at('before_script')) } : {}),
      ...(has('after_script') ? { afterScript: this.#script(fields['after_script'], at('after_script')) } : {}),
      ...(has('tags') ? { tags: this.#texts(fields['tags'], at('tags')) } : {}),
      ...(has('timeout') ? { timeoutSeconds: this.#timeout(fields['timeout'], at('timeout')) } : {}),
      ...(has('retry') ? { retry: readRetry(fields['retry'], at('retry'), this.#reader) } : {}),
      ...(has('artifacts') ? this.#artifacts(fields['artifacts'], at('artifacts')) : {}),
    };
  }

  #job(name: string, fields: Fields, stages: readonly string[]): CiJob {
    const where = `job \`${shorten(name)}\``;
    if (!isName(name)) this.#error([name], `${where}: a name has 1 to 255 characters`);
    this.#checkKeys(fields, 'job', [name], where);
    if (!Object.hasOwn(fields, 'script')) this.#error([name], `${where}: \`script\` is missing`);
    const stage = fields['stage'] ?? 'test';
    if (typeof stage !== 'string' || !stages.includes(stage))
      this.#error(
        [name, 'stage'],
        `${where}: chosen stage \`${shorten(scalarText(stage))}\` does not exist; available stages are ${shorten(stages.join(', '), 500)}`,
      );
    return {
      name,
      line: this.#lineOf([name]) ?? 1,
      stage: scalarText(stage),
      ...this.#common(fields, 'job', [name]),
      script: Object.hasOwn(fields, 'script') ? this.#script(fields['script'], [name, 'script'], true) : [],
      variables: this.#variables(fields['variables'], [name, 'variables'], where),
      ...(fields['needs'] === undefined ? {} : { needs: this.#needs(fields['needs'], [name, 'needs'], where) }),
      ...(fields['dependencies'] === undefined ? {} : { dependencies: this.#texts(fields['dependencies'], [name, 'dependencies']) }),
      ...(fields['rules'] === undefined ? {} : { rules: this.#rules(fields['rules'], [name, 'rules'], where) }),
      ...(fields['inherit'] === undefined ? {} : { inherit: readInherit(fields['inherit'], [name, 'inherit'], this.#reader) }),
      ...(fields['parallel'] === undefined ? {} : { parallel: readParallel(fields['parallel'], [name, 'parallel'], this.#reader) }),
      ...this.#when(fields, [name], where),
      ...this.#allowFailure(fields['allow_failure'], [name, 'allow_failure'], where),
    };
  }

  #script(value: unknown, path: readonly string[], needed = false): readonly string[] {
    const lines = flatten(value, 0);
    if (lines === undefined || (needed && lines.length === 0)) {
      this.#error(
        path,
        `\`${path.at(-1) ?? ''}\` must be a text or a list of texts${needed ? ', and not empty' : ''} (quote a line that holds \`: \`)`,
      );
      return [];
    }
    return lines;
  }

  #texts(value: unknown, path: readonly string[]): readonly string[] {
    if (isTexts(value)) return value.map(String);
    this.#error(path, `\`${path.at(-1) ?? ''}\` must be a list of texts`);
    return [];
  }

  #timeout(value: unknown, path: readonly string[]): number {
    const seconds = typeof value === 'string' || typeof value === 'number' ? parseDuration(String(value)) : undefined;
    if (seconds === undefined || seconds < 10 || seconds > 2_592_000) {
      this.#error(path, '`timeout` must be a duration from 10 seconds to one month, such as `1h 30m`');
      return 3600;
    }
    return seconds;
  }

  /** What reads parts of the file elsewhere. */
  get #reader(): PartReader {
    return {
      error: (path, message) => this.#error(path, message),
      checkKeys: (fields, place, path, where) => this.#checkKeys(fields, place, path, where),
      texts: (value, path) => this.#texts(value, path),
    };
  }

  #artifacts(value: unknown, path: readonly string[]): { artifacts?: PlanArtifacts } {
    if (!isFields(value)) {
      this.#error(path, '`artifacts` must be a map');
      return {};
    }
    this.#checkKeys(value, 'artifacts', path, 'artifacts');
    const when = value['when'] ?? 'on_success';
    if (when !== 'on_success' && when !== 'on_failure' && when !== 'always')
      this.#error([...path, 'when'], '`artifacts:when` must be on_success, on_failure or always');
    const expireIn = value['expire_in'];
    if (expireIn !== undefined && expireIn !== 'never' && parseDuration(scalarText(expireIn)) === undefined)
      this.#error([...path, 'expire_in'], '`expire_in` must be a duration such as `1 week`, or `never`');
    return {
      artifacts: {
        paths: value['paths'] === undefined ? [] : this.#texts(value['paths'], [...path, 'paths']),
        exclude: value['exclude'] === undefined ? [] : this.#texts(value['exclude'], [...path, 'exclude']),
        ...(typeof value['name'] === 'string' ? { name: value['name'] } : {}),
        ...(expireIn === undefined || expireIn === 'never' ? {} : { expireIn: scalarText(expireIn) }),
        when: when === 'on_failure' || when === 'always' ? when : 'on_success',
        untracked: value['untracked'] === true,
        ...(value['reports'] === undefined ? {} : { reports: readReports(value['reports'], [...path, 'reports'], this.#reader) }),
      },
    };
  }

  #variables(value: unknown, path: readonly string[], where: string): Readonly<Record<string, string>> {
    if (value === undefined || value === null) return {};
    if (!isFields(value)) {
      this.#error(path, `${where}: \`variables\` must be a map`);
      return {};
    }
    const entries: [string, string][] = [];
    for (const [key, given] of Object.entries(value)) {
      const inner = isFields(given) ? given['value'] : given;
      if (isFields(given)) this.#checkKeys(given, 'variable', [...path, key], `${where}: variable \`${shorten(key)}\``);
      if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) this.#error([...path, key], `${where}: \`${shorten(key)}\` is not a variable name`);
      else if (typeof inner === 'string' || typeof inner === 'number') {
        const text = String(inner);
        if (Buffer.byteLength(text) > limits.variableBytes)
          this.#error([...path, key], `${where}: variable \`${shorten(key)}\` is larger than ${limits.variableBytes} bytes`);
        entries.push([key, text]);
      } else if (inner === undefined && isFields(given)) entries.push([key, '']);
      else
        this.#error(
          [...path, key],
          `${where}: variable \`${shorten(key)}\` must be a text or a number (quote a date, \`yes\` or \`true\`)`,
        );
    }
    if (entries.length > limits.variablesPerPipeline) this.#error(path, `${where}: more than ${limits.variablesPerPipeline} variables`);
    return Object.fromEntries(entries);
  }

  #needs(value: unknown, path: readonly string[], where: string): NonNullable<CiJob['needs']> {
    if (!Array.isArray(value)) {
      this.#error(path, `${where}: \`needs\` must be a list`);
      return [];
    }
    return value.flatMap((need: unknown) => {
      if (typeof need === 'string') return [{ job: need, artifacts: true, optional: false }];
      if (isFields(need) && typeof need['job'] === 'string') {
        this.#checkKeys(need, 'need', path, `${where}: needs`);
        const instances = need['parallel'] === undefined ? {} : { instances: readParallel(need['parallel'], path, this.#reader) };
        return [{ job: need['job'], artifacts: need['artifacts'] !== false, optional: need['optional'] === true, ...instances }];
      }
      this.#error(path, `${where}: each entry of \`needs\` must be a job's name, or a map with \`job\``);
      return [];
    });
  }

  #rules(value: unknown, path: readonly string[], where: string, place: 'rule' | 'workflow_rule' = 'rule'): readonly CiRule[] {
    if (!Array.isArray(value)) {
      this.#error(path, `${where}: \`rules\` must be a list`);
      return [];
    }
    return value.flatMap((rule: unknown) => {
      if (!isFields(rule)) {
        this.#error(path, `${where}: each rule must be a map`);
        return [];
      }
      this.#checkKeys(rule, place, path, `${where}: rules`);
      const parsed = rule['if'] === undefined ? undefined : this.#expression(scalarText(rule['if']));
      if (parsed?.ok === false) this.#error(path, `${where}: rules:if: ${parsed.message}`);
      const allowFailure = rule['allow_failure'];
      if (allowFailure !== undefined && typeof allowFailure !== 'boolean')
        this.#error(path, `${where}: rules: \`allow_failure\` must be true or false`);
      return [
        {
          ...(parsed?.ok === true ? { if: parsed.expression } : {}),
          ...this.#when(rule, path, `${where}: rules`),
          ...(typeof allowFailure === 'boolean' ? { allowFailure } : {}),
          variables: this.#variables(rule['variables'], path, `${where}: rules`),
        },
      ];
    });
  }

  /** Rules repeat themselves from job to job; each text is compiled once. */
  #expression(text: string): ParsedExpression {
    const known = this.#expressions.get(text);
    if (known !== undefined) return known;
    this.#expressionCharacters += text.length;
    const parsed: ParsedExpression =
      this.#expressionCharacters > maxExpressionCharacters
        ? { ok: false, message: `the file's expressions are longer than ${maxExpressionCharacters} characters together` }
        : parseExpression(text);
    this.#expressions.set(text, parsed);
    return parsed;
  }

  #when(fields: Fields, path: readonly string[], where: string): { when?: NonNullable<CiRule['when']> } {
    const value = fields['when'];
    if (value === undefined) return {};
    const when = (['on_success', 'on_failure', 'always', 'manual', 'never'] as const).find((word) => word === value);
    if (when !== undefined) return { when };
    this.#error(
      [...path, 'when'],
      `${where}: \`when\` must be on_success, on_failure, always, manual or never${value === 'delayed' ? ' (delayed is not supported yet)' : ''}`,
    );
    return {};
  }

  #allowFailure(value: unknown, path: readonly string[], where: string): Pick<CiJob, 'allowFailure' | 'allowFailureExitCodes'> {
    if (value === undefined) return { allowFailureExitCodes: [] };
    if (typeof value === 'boolean') return { allowFailure: value, allowFailureExitCodes: [] };
    if (isFields(value)) this.#checkKeys(value, 'allow_failure', path, `${where}: allow_failure`);
    const codes = isFields(value) ? [value['exit_codes']].flat() : [];
    const numbers = codes.filter((code): code is number => Number.isInteger(code));
    if (numbers.length === 0 || numbers.length !== codes.length)
      this.#error(path, `${where}: \`allow_failure\` must be true, false, or a map with \`exit_codes\``);
    return { allowFailureExitCodes: numbers };
  }
}

function isName(text: string): boolean {
  return text !== '' && text.length <= 255;
}

function shorten(text: string, length = 100): string {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}
