import { isAlias, isMap, isScalar, LineCounter, parseDocument, visit } from 'yaml';
import { limits } from '../base/limits.ts';
import { parseDuration } from './duration.ts';
import { type Expression, parseExpression } from './expression.ts';
import { defaultKeywords, globalKeywords, jobKeywords, unsupportedKeywords } from './keywords.ts';
import type { CiError, PlanArtifacts, PlanImage } from './plan.ts';

export interface CiRule {
  readonly if?: Expression;
  readonly when?: 'on_success' | 'on_failure' | 'always' | 'manual' | 'never';
  readonly allowFailure?: boolean;
  readonly variables: Readonly<Record<string, string>>;
}
export interface CiDefaults {
  readonly image?: PlanImage;
  readonly beforeScript?: readonly string[];
  readonly afterScript?: readonly string[];
  readonly tags?: readonly string[];
  readonly timeoutSeconds?: number;
  readonly artifacts?: PlanArtifacts;
}
export interface CiJob extends CiDefaults {
  readonly name: string;
  readonly line: number;
  readonly stage: string;
  readonly script: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
  readonly needs?: readonly { readonly job: string; readonly artifacts: boolean; readonly optional: boolean }[];
  readonly dependencies?: readonly string[];
  readonly rules?: readonly CiRule[];
  readonly when?: CiRule['when'];
  readonly allowFailure?: boolean;
  readonly allowFailureExitCodes: readonly number[];
}
/** A `.gitlab-ci.yml`, checked keyword by keyword. */
export interface CiFile {
  readonly stages: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
  readonly defaults: CiDefaults;
  readonly jobs: readonly CiJob[];
}
export type ParsedCiFile = { readonly ok: true; readonly file: CiFile } | { readonly ok: false; readonly errors: readonly CiError[] };

const maxErrors = 20;

/** Parses as YAML 1.1, as GitLab does. Never throws; an alias bomb, a duplicate key and an unknown keyword are errors with their line. */
export function parseCiFile(text: string): ParsedCiFile {
  if (Buffer.byteLength(text) > limits.ciFileBytes)
    return { ok: false, errors: [{ message: `the file is larger than ${limits.ciFileBytes} bytes` }] };
  const lines = new LineCounter();
  const document = parseDocument(text, { version: '1.1', merge: true, lineCounter: lines, uniqueKeys: true, prettyErrors: false });
  const syntax = [...document.errors].map((error) => ({
    line: lines.linePos(error.pos[0]).line,
    message: `invalid YAML: ${error.message}`,
  }));
  if (syntax.length > 0) return { ok: false, errors: syntax.slice(0, maxErrors) };
  let nodes = 0;
  visit(document, { Node: () => (++nodes > limits.ciNodes ? visit.BREAK : undefined) });
  if (nodes > limits.ciNodes) return { ok: false, errors: [{ message: `the file has more than ${limits.ciNodes} values` }] };
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 1000 });
  } catch {
    return { ok: false, errors: [{ message: 'the file expands to too many values (aliases)' }] };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { ok: false, errors: [{ message: 'the file must be a map of keywords and jobs' }] };
  const lineOf = (...path: readonly string[]): number | undefined => {
    let node: unknown = document.contents;
    let line: number | undefined;
    for (const key of path) {
      if (isAlias(node)) node = node.resolve(document);
      if (!isMap(node)) break;
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === key);
      if (pair === undefined || !isScalar(pair.key)) break;
      const offset = pair.key.range?.[0];
      if (offset !== undefined) line = lines.linePos(offset).line;
      node = pair.value;
    }
    return line;
  };
  return new Reader(value, lineOf).read();
}

type Fields = Readonly<Record<string, unknown>>;

/** Walks the parsed value, collects mistakes, and builds the file. */
class Reader {
  readonly #root: Fields;
  readonly #lineOf: (...path: readonly string[]) => number | undefined;
  readonly #errors: CiError[] = [];

  constructor(root: object, lineOf: (...path: readonly string[]) => number | undefined) {
    this.#root = root as Fields;
    this.#lineOf = lineOf;
  }

  read(): ParsedCiFile {
    const global = (name: string): unknown => (Object.hasOwn(this.#root, name) ? this.#root[name] : undefined);
    const stages = this.#stages(global('stages'));
    const defaults = { ...this.#common(this.#root, globalKeywords, []), ...this.#defaults(global('default')) };
    const variables = this.#variables(global('variables'), ['variables'], 'variables');
    const jobs: CiJob[] = [];
    for (const [name, body] of Object.entries(this.#root)) {
      if (name.startsWith('.') || (globalKeywords as readonly string[]).includes(name)) continue;
      const reason = unsupportedKeywords.get(name);
      if (reason !== undefined) this.#error([name], `keyword \`${name}\` ${reason}`);
      else if (!isFields(body)) this.#error([name], `\`${name}\` is neither a keyword nor a job: a job is a map with \`script\``);
      else jobs.push(this.#job(name, body, stages));
    }
    if (jobs.length === 0 && this.#errors.length === 0) this.#error([], 'the file has no visible job');
    if (jobs.length > limits.jobsPerPipeline) this.#error([], `the file has more than ${limits.jobsPerPipeline} jobs`);
    if (this.#errors.length > 0) return { ok: false, errors: this.#errors.slice(0, maxErrors) };
    return { ok: true, file: { stages, variables, defaults, jobs } };
  }

  #error(path: readonly string[], message: string): void {
    const line = this.#lineOf(...path);
    this.#errors.push(line === undefined ? { message } : { line, message });
  }

  #stages(value: unknown): readonly string[] {
    if (value === undefined) return ['.pre', 'build', 'test', 'deploy', '.post'];
    const names = isTexts(value) ? value.map(String) : undefined;
    if (names === undefined || names.length === 0 || new Set(names).size !== names.length) {
      this.#error(['stages'], '`stages` must be a list of different names');
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
    this.#checkKeys(value, defaultKeywords, ['default'], 'default');
    return this.#common(value, defaultKeywords, ['default']);
  }

  #checkKeys(fields: Fields, known: readonly string[], path: readonly string[], where: string): void {
    for (const key of Object.keys(fields)) {
      if (known.includes(key)) continue;
      const reason = unsupportedKeywords.get(key);
      this.#error([...path, key], `${where}: ${reason === undefined ? `unknown keyword \`${key}\`` : `keyword \`${key}\` ${reason}`}`);
    }
  }

  /** Keywords that stand the same at the top, in `default` and in a job. */
  #common(fields: Fields, allowed: readonly string[], path: readonly string[]): CiDefaults {
    const has = (key: string): boolean => allowed.includes(key) && Object.hasOwn(fields, key) && fields[key] !== null;
    const at = (key: string): readonly string[] => [...path, key];
    return {
      ...(has('image') ? this.#image(fields['image'], at('image')) : {}),
      ...(has('before_script') ? { beforeScript: this.#script(fields['before_script'], at('before_script')) } : {}),
      ...(has('after_script') ? { afterScript: this.#script(fields['after_script'], at('after_script')) } : {}),
      ...(has('tags') ? { tags: this.#texts(fields['tags'], at('tags')) } : {}),
      ...(has('timeout') ? { timeoutSeconds: this.#timeout(fields['timeout'], at('timeout')) } : {}),
      ...(has('artifacts') ? this.#artifacts(fields['artifacts'], at('artifacts')) : {}),
    };
  }

  #job(name: string, fields: Fields, stages: readonly string[]): CiJob {
    const where = `job \`${name}\``;
    if (name.length > 255) this.#error([name], `${where}: the name is longer than 255 characters`);
    this.#checkKeys(fields, jobKeywords, [name], where);
    if (!Object.hasOwn(fields, 'script')) this.#error([name], `${where}: \`script\` is missing`);
    const stage = fields['stage'] ?? 'test';
    if (typeof stage !== 'string' || !stages.includes(stage))
      this.#error(
        [name, 'stage'],
        `${where}: chosen stage \`${scalarText(stage)}\` does not exist; available stages are ${stages.join(', ')}`,
      );
    return {
      name,
      line: this.#lineOf(name) ?? 0,
      stage: scalarText(stage),
      ...this.#common(fields, jobKeywords, [name]),
      script: Object.hasOwn(fields, 'script') ? this.#script(fields['script'], [name, 'script'], true) : [],
      variables: this.#variables(fields['variables'], [name, 'variables'], where),
      ...(fields['needs'] === undefined ? {} : { needs: this.#needs(fields['needs'], [name, 'needs'], where) }),
      ...(fields['dependencies'] === undefined ? {} : { dependencies: this.#texts(fields['dependencies'], [name, 'dependencies']) }),
      ...(fields['rules'] === undefined ? {} : { rules: this.#rules(fields['rules'], [name, 'rules'], where) }),
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

  #image(value: unknown, path: readonly string[]): { image: PlanImage } {
    if (typeof value === 'string' && value !== '') return { image: { name: value } };
    if (isFields(value) && typeof value['name'] === 'string') {
      this.#checkKeys(value, ['name', 'entrypoint', 'pull_policy'], path, 'image');
      const entrypoint = value['entrypoint'] === undefined ? {} : { entrypoint: this.#texts(value['entrypoint'], [...path, 'entrypoint']) };
      const policy =
        value['pull_policy'] === undefined
          ? {}
          : {
              pullPolicy:
                typeof value['pull_policy'] === 'string'
                  ? [value['pull_policy']]
                  : this.#texts(value['pull_policy'], [...path, 'pull_policy']),
            };
      return { image: { name: value['name'], ...entrypoint, ...policy } };
    }
    this.#error(path, '`image` must be a name, or a map with `name`');
    return { image: { name: '' } };
  }

  #artifacts(value: unknown, path: readonly string[]): { artifacts?: PlanArtifacts } {
    if (!isFields(value)) {
      this.#error(path, '`artifacts` must be a map');
      return {};
    }
    this.#checkKeys(value, ['paths', 'exclude', 'name', 'expire_in', 'when', 'untracked'], path, 'artifacts');
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
      if (isFields(given))
        this.#checkKeys(given, ['value', 'description', 'options', 'expand'], [...path, key], `${where}: variable ${key}`);
      if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) this.#error([...path, key], `${where}: \`${key.slice(0, 50)}\` is not a variable name`);
      else if (typeof inner === 'string' || typeof inner === 'number' || typeof inner === 'boolean') entries.push([key, String(inner)]);
      else if (inner === undefined && isFields(given)) entries.push([key, '']);
      else this.#error([...path, key], `${where}: variable \`${key}\` must be a text or a number`);
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
        this.#checkKeys(need, ['job', 'artifacts', 'optional'], path, `${where}: needs`);
        return [{ job: need['job'], artifacts: need['artifacts'] !== false, optional: need['optional'] === true }];
      }
      this.#error(path, `${where}: each entry of \`needs\` must be a job's name, or a map with \`job\``);
      return [];
    });
  }

  #rules(value: unknown, path: readonly string[], where: string): readonly CiRule[] {
    if (!Array.isArray(value)) {
      this.#error(path, `${where}: \`rules\` must be a list`);
      return [];
    }
    return value.flatMap((rule: unknown) => {
      if (!isFields(rule)) {
        this.#error(path, `${where}: each rule must be a map`);
        return [];
      }
      this.#checkKeys(rule, ['if', 'when', 'allow_failure', 'variables'], path, `${where}: rules`);
      const parsed = rule['if'] === undefined ? undefined : parseExpression(scalarText(rule['if']));
      if (parsed?.ok === false) this.#error(path, `${where}: rules:if: ${parsed.message}`);
      const allowFailure = rule['allow_failure'];
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
    const codes = isFields(value) ? [value['exit_codes']].flat() : [];
    const numbers = codes.filter((code): code is number => Number.isInteger(code));
    if (numbers.length === 0 || numbers.length !== codes.length)
      this.#error(path, `${where}: \`allow_failure\` must be true, false, or a map with \`exit_codes\``);
    return { allowFailureExitCodes: numbers };
  }
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTexts(value: unknown): value is readonly (string | number)[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string' || typeof item === 'number');
}

function scalarText(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}

/** Lists may nest (from anchors), as GitLab allows. */
function flatten(value: unknown, depth: number): string[] | undefined {
  if (typeof value === 'string') return [value];
  if (typeof value === 'number' || typeof value === 'boolean') return [String(value)];
  if (!Array.isArray(value) || depth > 10) return undefined;
  const parts = value.map((item: unknown) => flatten(item, depth + 1));
  return parts.some((part) => part === undefined) ? undefined : parts.flatMap((part) => part ?? []);
}
