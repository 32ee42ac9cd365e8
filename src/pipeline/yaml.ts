import { stringify, isAlias, isMap, isNode, isScalar, isSeq, Lexer, LineCounter, parseDocument, visit } from 'yaml';
import type { CollectionTag, Document, Node, ScalarTag, Tags, YAMLMap, YAMLSeq } from 'yaml';
import { limits } from '../base/limits.ts';
import type { CiError } from './plan.ts';

/** How much of a path is there, and the line of the last part that is; no line for an empty path. */
export type Locate = (path: readonly string[]) => { readonly depth: number; readonly line?: number };
export type YamlFile =
  | { readonly ok: true; readonly value: unknown; readonly locate: Locate }
  | { readonly ok: false; readonly errors: readonly CiError[] };

const maxErrors = 20;
export const severalDocuments = 'the file holds several documents between lines of `---`: at most a header with `spec` stands above one';
/** Resolving aliases of many anchors takes the library quadratic time. */
const maxAliases = 3000;
/** Room for what aliases repeat. */
const maxCharacters = 4 * limits.ciFileBytes;

/**
 * YAML 1.1 as GitLab's parser (Psych) reads it, aliases and merge keys resolved. Never throws.
 * Duplicate keys, tags other than `!reference`, several documents and alias bombs are errors.
 */
export function readYaml(text: string): YamlFile {
  if (Buffer.byteLength(text) > limits.ciFileBytes) return failure(`the file is larger than ${limits.ciFileBytes} bytes`);
  // Counting tokens is ten times as fast as building nodes, and the library has no limit of its own.
  let tokens = 0;
  let aliases = 0;
  for (const token of new Lexer().lex(text)) {
    tokens += 1;
    if (token.startsWith('*')) aliases += 1;
    if (aliases > maxAliases) return failure(`the file has more than ${maxAliases} aliases`);
    if (tokens > 8 * limits.ciNodes) return failure(`the file has more than ${limits.ciNodes} values`);
  }
  try {
    return parse(text);
  } catch (error) {
    // The library recurses: input that nests deep enough ends its stack. It also throws for aliases and merge keys it cannot resolve.
    const why = error instanceof Error && !(error instanceof RangeError) ? error.message : 'it nests too deep';
    return failure(`invalid YAML: ${why}`);
  }
}

function parse(text: string): YamlFile {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    version: '1.1',
    merge: true,
    customTags: asPsych,
    // The library's own check takes quadratic time.
    uniqueKeys: false,
    lineCounter: lines,
    prettyErrors: false,
    logLevel: 'error',
  });
  const errors = [...document.errors, ...document.warnings].map((error): CiError => ({
    line: lines.linePos(error.pos[0]).line,
    message: error.code === 'MULTIPLE_DOCS' ? severalDocuments : `invalid YAML: ${error.message}`,
  }));
  if (errors.length === 0) errors.push(...mistakes(document, lines));
  if (errors.length > 0) return { ok: false, errors: errors.slice(0, maxErrors) };
  const value: unknown = document.toJS({ maxAliasCount: 1000 });
  if (!fits(value))
    return failure(`the file has more than ${limits.ciNodes} values or ${maxCharacters} characters, with its aliases resolved`);
  if (holdsZero(value)) return failure('a text in the file holds the character U+0000, which no shell and no store can take');
  return { ok: true, value, locate: (path) => locate(document, lines, path) };
}

/** What stands for another place of the file until `resolveInheritance` puts that in. */
export class Reference {
  readonly path: readonly string[];

  constructor(path: readonly string[]) {
    this.path = path;
  }
}

const referenceTag: CollectionTag = {
  tag: '!reference',
  collection: 'seq',
  resolve(node, onError) {
    // The tag is of sequences only.
    const path = (node as YAMLSeq).items.map((item) => (isScalar(item) ? item.value : undefined));
    const names = path.filter((name): name is string => typeof name === 'string');
    if (names.length === 0 || names.length < path.length) onError('`!reference` must be a list of texts');
    return new Reference(names);
  },
};

/**
 * Psych takes `yes`, `no`, `on` and `off` for booleans, but not YAML 1.1's `y` and `n`, and no number with an exponent but no point: `12e5` may be a commit.
 * A fraction of nothing (`3.0`) stays the text that it is: as a number it would be 3.
 */
function asPsych(tags: Tags): Tags {
  return [...tags, referenceTag].map((tag) => {
    if (typeof tag === 'string') return tag;
    const scalar = tag as ScalarTag;
    const but = (not: string) => ({ ...scalar, test: new RegExp(`^(?!${not}$)(?:${scalar.test?.source ?? ''})`) });
    if (tag.tag === 'tag:yaml.org,2002:bool') return but('[YyNn]');
    return tag.tag === 'tag:yaml.org,2002:float' ? but('[-+]?(?:[0-9_]+[eE].*|[0-9_]+\\.0*)') : tag;
  });
}

/** What the library lets pass, or tells without a line. */
function mistakes(document: Document, lines: LineCounter): readonly CiError[] {
  const errors: CiError[] = [];
  const anchors = new Set<string>();
  const report = (node: Node | null, message: string): void => {
    errors.push({ line: lines.linePos(node?.range?.[0] ?? 0).line, message });
  };
  visit(document, {
    Node: (_, node) => {
      if (errors.length >= maxErrors) return visit.BREAK;
      if (isAlias(node)) {
        if (!anchors.has(node.source)) report(node, `alias \`*${node.source.slice(0, 50)}\` stands before its anchor, or has none`);
      } else if (node.anchor !== undefined) anchors.add(node.anchor);
      if (isMap(node)) checkKeys(node, report);
      return undefined;
    },
  });
  return errors.slice(0, maxErrors);
}

function checkKeys(map: YAMLMap, report: (node: Node | null, message: string) => void): void {
  const seen = new Set<string>();
  for (const { key } of map.items) {
    if (!isScalar(key)) report(isNode(key) ? key : map, 'a key must be a text');
    // A merge key's value is a symbol; it may stand several times.
    else if (typeof key.value !== 'symbol') {
      const name = keyName(key.value);
      if (seen.has(name)) report(key, `duplicate key \`${name.slice(0, 50)}\``);
      seen.add(name);
    }
  }
}

/** Aliases share their target in memory; whoever walks the value meets it each time, or forever where it holds itself. */
export function fits(root: unknown): boolean {
  const stack = [root];
  let values = 0;
  let characters = 0;
  while (stack.length > 0) {
    const value = stack.pop();
    values += 1;
    if (typeof value === 'string') characters += value.length;
    if (values + stack.length > limits.ciNodes || characters > maxCharacters) return false;
    if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) stack.push(inner);
  }
  return true;
}

/** @param value that `fits` */
function holdsZero(value: unknown): boolean {
  if (typeof value === 'string') return value.includes('\0');
  return (
    typeof value === 'object' && value !== null && Object.entries(value).some(([key, inner]) => key.includes('\0') || holdsZero(inner))
  );
}

/** A value as one YAML document, with nothing left to look up elsewhere in it. */
export function writeYaml(value: unknown): string {
  return `---\n${stringify(value, { version: '1.1', aliasDuplicateObjects: false, lineWidth: 0 })}`;
}

/** How a key reads once it is an object's. */
function keyName(value: unknown): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function locate(document: Document, lines: LineCounter, path: readonly string[]): ReturnType<Locate> {
  let node: unknown = document.contents;
  let found: ReturnType<Locate> = { depth: 0 };
  for (const name of path) {
    if (isAlias(node)) node = node.resolve(document);
    const next = isSeq(node) ? itemOf(node, name) : isMap(node) ? pairOf(node, name) : undefined;
    if (next === undefined) break;
    found = { depth: found.depth + 1, line: lines.linePos(next.at).line };
    node = next.value;
  }
  return found;
}

function pairOf(map: YAMLMap, name: string): { readonly at: number; readonly value: unknown } | undefined {
  const pair = map.items.find((item) => isScalar(item.key) && keyName(item.key.value) === name);
  return isScalar(pair?.key) ? { at: pair.key.range?.[0] ?? 0, value: pair.value } : undefined;
}

function itemOf(list: YAMLSeq, index: string): { readonly at: number; readonly value: unknown } | undefined {
  const item = list.items[Number(index)];
  return isNode(item) ? { at: item.range?.[0] ?? 0, value: item } : undefined;
}

function failure(message: string): YamlFile {
  return { ok: false, errors: [{ message }] };
}
