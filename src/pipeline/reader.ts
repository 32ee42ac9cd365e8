import { type ExpressionShape, parseExpression, type ParsedExpression } from './expression.ts';
import { type Fields, flatten, isTexts } from './fields.ts';
import { type KeywordPlace, keywords } from './keywords.ts';
import type { CiError, CiPlace } from './plan.ts';

/** Where what a path names stands; the nearest that is there above it. */
export type PlaceOf = (path: readonly string[]) => CiPlace;

/** What whoever reads a part of the file works with. A path is that of the whole file. */
export interface PartReader {
  /** Collects a mistake: its place, and what `within` said in front of the message. */
  error(path: readonly string[], message: string): void;
  /** A reader whose messages begin with these words, behind those of this one: `job build: rules: …`. */
  within(where: string): PartReader;
  placeOf(path: readonly string[]): CiPlace;
  /** Keys that the keyword table does not have as supported are mistakes. */
  checkKeys(fields: Fields, place: KeywordPlace, path: readonly string[]): void;
  texts(value: unknown, path: readonly string[]): readonly string[];
  /** A text or a list of them, which may nest. */
  script(value: unknown, path: readonly string[], needed?: boolean): readonly string[];
  /** @param shape of `rules:if`, or of the rules of inputs */
  expression(text: string, shape?: ExpressionShape): ParsedExpression;
}

const maxErrors = 20;
/** Each is compiled, and a pattern costs about 15 microseconds a character. */
const maxExpressionCharacters = 64 * 1024;

/** Collects the mistakes of one file, at most 20. */
export class FileReader implements PartReader {
  readonly #placeOf: PlaceOf;
  readonly #errors: CiError[] = [];
  readonly #expressions = new Map<string, ParsedExpression>();
  #expressionCharacters = 0;

  constructor(placeOf: PlaceOf) {
    this.#placeOf = placeOf;
  }

  get errors(): readonly CiError[] {
    return this.#errors;
  }

  error(path: readonly string[], message: string): void {
    // Looking up a line takes as long as the map is.
    if (this.#errors.length < maxErrors) this.#errors.push({ ...this.#placeOf(path), message });
  }

  within(where: string): PartReader {
    return new Within(this, where);
  }

  placeOf(path: readonly string[]): CiPlace {
    return this.#placeOf(path);
  }

  checkKeys(fields: Fields, place: KeywordPlace, path: readonly string[]): void {
    checkKeys(this, fields, place, path);
  }

  texts(value: unknown, path: readonly string[]): readonly string[] {
    return texts(this, value, path);
  }

  script(value: unknown, path: readonly string[], needed = false): readonly string[] {
    return script(this, value, path, needed);
  }

  /** Rules repeat themselves from job to job; each text is compiled once. */
  expression(text: string, shape: ExpressionShape = 'rule'): ParsedExpression {
    const key = `${shape}:${text}`;
    const known = this.#expressions.get(key);
    if (known !== undefined) return known;
    this.#expressionCharacters += text.length;
    const parsed: ParsedExpression =
      this.#expressionCharacters > maxExpressionCharacters
        ? { ok: false, message: `the file's expressions are longer than ${maxExpressionCharacters} characters together` }
        : parseExpression(text, shape);
    this.#expressions.set(key, parsed);
    return parsed;
  }
}

class Within implements PartReader {
  readonly #reader: PartReader;
  readonly #where: string;

  constructor(reader: PartReader, where: string) {
    this.#reader = reader;
    this.#where = where;
  }

  error(path: readonly string[], message: string): void {
    this.#reader.error(path, `${this.#where}: ${message}`);
  }

  within(where: string): PartReader {
    return new Within(this, where);
  }

  placeOf(path: readonly string[]): CiPlace {
    return this.#reader.placeOf(path);
  }

  checkKeys(fields: Fields, place: KeywordPlace, path: readonly string[]): void {
    checkKeys(this, fields, place, path);
  }

  texts(value: unknown, path: readonly string[]): readonly string[] {
    return texts(this, value, path);
  }

  script(value: unknown, path: readonly string[], needed = false): readonly string[] {
    return script(this, value, path, needed);
  }

  expression(text: string, shape?: ExpressionShape): ParsedExpression {
    return this.#reader.expression(text, shape);
  }
}

function checkKeys(reader: PartReader, fields: Fields, place: KeywordPlace, path: readonly string[]): void {
  for (const key of Object.keys(fields)) {
    const keyword = keywords[place].get(key);
    if (keyword?.status === 'supported') continue;
    const why = keyword === undefined ? `unknown keyword \`${shorten(key)}\`` : `keyword \`${key}\` ${keyword.reason}`;
    reader.error([...path, key], why);
  }
}

function texts(reader: PartReader, value: unknown, path: readonly string[]): readonly string[] {
  if (isTexts(value)) return value.map(String);
  reader.error(path, `\`${path.at(-1) ?? ''}\` must be a list of texts`);
  return [];
}

function script(reader: PartReader, value: unknown, path: readonly string[], needed: boolean): readonly string[] {
  const lines = flatten(value, 0);
  if (lines !== undefined && (!needed || lines.length > 0)) return lines;
  const what = `must be a text or a list of texts${needed ? ', and not empty' : ''} (quote a line that holds \`: \`)`;
  reader.error(path, `\`${path.at(-1) ?? ''}\` ${what}`);
  return [];
}

/** A name of the file, in an error. */
export function shorten(text: string, length = 100): string {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}
