import { limits } from '../base/limits.ts';
import { isFields } from './fields.ts';
import { applyFunctions, type FunctionContext } from './input-functions.ts';
import type { InputValue } from './inputs.ts';
import { shorten } from './reader.ts';
import { type Locate, Reference } from './yaml.ts';

const block = /\$\[\[[ \t]*(\S(?:[^\n]*?\S)?)[ \t]*\]\]/g;
/** Stands for a block while YAML is read: a plain text wherever it is put, also in a list in brackets. */
const standIn = /\uE000(\d+)\uE001/g;
const mostBlocks = 10_000;
const mostFunctions = 3;
const longestBlock = 1024;

/** A file's text with something in place of each block that YAML can read anywhere. */
export interface Blocked {
  readonly text: string;
  /** What stood in each. */
  readonly blocks: readonly string[];
}

/** @returns undefined where the file holds what blocks are replaced by */
export function withStandIns(text: string): Blocked | undefined {
  if (/[\uE000\uE001]/.test(text)) return undefined;
  const blocks: string[] = [];
  return { text: text.replaceAll(block, (_, data: string) => `\uE000${blocks.push(data) - 1}\uE001`), blocks };
}

export interface InterpolationContext extends FunctionContext {
  readonly inputs: ReadonlyMap<string, InputValue>;
}
export type Interpolated =
  | { readonly ok: true; readonly value: unknown; readonly locate: Locate }
  | { readonly ok: false; readonly message: string; /** Of the file as it was written. */ readonly path: readonly string[] };

/**
 * Puts inputs into a file that was read. A value stays what it is: a text in it becomes no YAML, and one that fills its place keeps its type. Pure.
 * @param value of a file whose text came from `withStandIns`
 * @see GitLab, "CI/CD inputs"
 */
export function interpolate(value: unknown, locate: Locate, { blocks }: Blocked, context: InterpolationContext): Interpolated {
  if (blocks.length > mostBlocks) return { ok: false, message: 'too many interpolation blocks', path: [] };
  const work = new Work(blocks, context);
  const result = work.walk(value, []);
  if (work.failed !== undefined) return { ok: false, ...work.failed };
  return {
    ok: true,
    value: result,
    locate: (path) => locate(path.map((name, at) => work.keys.get(JSON.stringify(path.slice(0, at + 1))) ?? name)),
  };
}

class Work {
  /** Path with inputs put in → the last name as it was written. */
  readonly keys = new Map<string, string>();
  failed: { readonly message: string; readonly path: readonly string[] } | undefined;
  readonly #blocks: readonly string[];
  readonly #context: InterpolationContext;
  readonly #done = new Map<string, InputValue>();
  #room = limits.ciFilesBytes;

  constructor(blocks: readonly string[], context: InterpolationContext) {
    this.#blocks = blocks;
    this.#context = context;
  }

  /** @param path as it was written */
  walk(value: unknown, path: readonly string[], shown: readonly string[] = path): unknown {
    if (this.failed !== undefined) return undefined;
    if (typeof value === 'string') return this.#put(value, path);
    if (Array.isArray(value)) return value.map((item: unknown, at) => this.walk(item, [...path, String(at)], [...shown, String(at)]));
    if (value instanceof Reference) return new Reference(value.path.map((name) => String(this.#put(name, path))));
    if (!isFields(value)) return value;
    const result = new Map<string, unknown>();
    for (const [written, inner] of Object.entries(value)) {
      const key = String(this.#put(written, [...path, written]));
      const place = [...shown, key];
      if (result.has(key)) this.#fail(`duplicate key \`${shorten(key, 50)}\``, [...path, written]);
      if (key !== written) this.keys.set(JSON.stringify(place), written);
      result.set(key, this.walk(inner, [...path, written], place));
    }
    return Object.fromEntries(result);
  }

  #put(text: string, path: readonly string[]): InputValue {
    if (!text.includes('\uE000')) return text;
    const whole = /^\uE000(\d+)\uE001$/.exec(text);
    if (whole !== null) return this.#valueOf(Number(whole[1]), path);
    return text.replaceAll(standIn, (_, at: string) => textOf(this.#valueOf(Number(at), path)));
  }

  #valueOf(at: number, path: readonly string[]): InputValue {
    const data = this.#blocks[at] ?? '';
    const value = this.#done.get(data) ?? this.#evaluate(data, path);
    this.#done.set(data, value);
    this.#room -= textOf(value).length;
    if (this.#room < 0) this.#fail('the file is too large with its inputs put in', path);
    return this.failed === undefined ? value : '';
  }

  /** `inputs.name | function | function`. */
  #evaluate(data: string, path: readonly string[]): InputValue {
    if (Buffer.byteLength(data) > longestBlock) return this.#fail('maximum interpolation expression size exceeded', path);
    const [access = '', ...functions] = data.split('|').map((part) => part.trim());
    const [from, name, ...others] = access.split('.');
    if (name === undefined) return this.#fail('invalid interpolation access pattern', path);
    const value = this.#context.inputs.get(name);
    if (from !== 'inputs' || value === undefined || others.length > 0)
      return this.#fail(`unknown interpolation key: \`${shorten(from === 'inputs' ? [name, ...others].join('.') : (from ?? ''))}\``, path);
    if (functions.length > mostFunctions) return this.#fail('too many functions in interpolation block', path);
    const result = applyFunctions(functions, value, this.#context);
    return 'error' in result ? this.#fail(result.error, path) : result.value;
  }

  #fail(message: string, path: readonly string[]): string {
    this.failed ??= { message, path };
    return '';
  }
}

function textOf(value: InputValue): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
