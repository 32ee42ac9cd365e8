import { readFileSync } from 'node:fs';
import { parse as parseToml, TomlError } from 'smol-toml';
import { JobpassError } from '../base/errors.ts';

/** One setting: its flag, its environment variable and its key in the `--config` file are made from its name. */
export interface Setting {
  readonly name: string;
  /** A list is a flag given several times, a text with commas, or an array in the file. */
  readonly kind: 'text' | 'flag' | 'list';
  readonly about: string;
  readonly fallback?: string;
  /** Where a value looks like, for the help: `DIR`. */
  readonly value?: string;
}

type Value = string | boolean | readonly string[];
export type Values = ReadonlyMap<string, Value>;

/** `--external-url` → `JOBPASS_EXTERNAL_URL`. */
export function envName(name: string): string {
  return `JOBPASS_${name.toUpperCase().replaceAll('-', '_')}`;
}

/**
 * A command's settings: flag, then environment, then file, then fallback. Unknown keys in the file fail.
 * @throws invalid_input
 */
export function readSettings(
  settings: readonly Setting[],
  flags: Readonly<Record<string, Value | undefined>>,
  file: string | undefined,
): Values {
  const fromFile = file === undefined ? {} : readFile(file);
  const known = new Map(settings.map((setting) => [setting.name, setting]));
  for (const key of Object.keys(fromFile))
    if (!known.has(key))
      throw new JobpassError('invalid_input', `${file ?? ''}: unknown key \`${key}\`. Known keys: ${[...known.keys()].join(', ')}`);
  const values = new Map<string, Value>();
  for (const { name, kind, fallback } of settings) {
    // Empty = not set, as for secrets: what starts a service often has no other way to leave one out.
    const env = process.env[envName(name)] || undefined;
    const given =
      flags[name] ?? (env === undefined ? undefined : kind === 'flag' ? flagOf(envName(name), env) : env) ?? fromFile[name] ?? fallback;
    if (given === undefined) continue;
    values.set(name, valueOf(name, kind, given));
  }
  return values;
}

/** @throws invalid_input */
function valueOf(name: string, kind: Setting['kind'], given: unknown): Value {
  const value = typeof given === 'number' ? given.toString() : given;
  // `--data "$DATA"` without that variable would be the folder at hand.
  if (value === '') throw new JobpassError('invalid_input', `\`${name}\` is empty: give it a value, or leave it out.`);
  if (kind === 'flag' && typeof value === 'boolean') return value;
  if (kind === 'text' && typeof value === 'string') return value;
  if (kind === 'list') {
    const parts: readonly unknown[] = Array.isArray(value) ? value : [value];
    if (parts.every((part) => typeof part === 'string'))
      return parts.flatMap((part) => part.split(',').map((one) => one.trim())).filter((one) => one !== '');
  }
  const wanted = kind === 'flag' ? 'true or false' : kind === 'text' ? 'a text' : 'a list of texts';
  throw new JobpassError('invalid_input', `\`${name}\` must be ${wanted}`);
}

/** A secret from the environment, or from a file that the environment or a flag names; never from argv. */
export function secretFromEnv(name: string): string | undefined {
  const direct = process.env[name];
  if (direct !== undefined && direct !== '') return direct;
  const file = process.env[`${name}_FILE`];
  if (file === undefined || file === '') return undefined;
  try {
    return readSecretFile(file);
  } catch (error) {
    throw new JobpassError('invalid_input', `${name}_FILE names a file that cannot be read: ${file} ${fileProblem(error)}.`, error);
  }
}

/** `/dev/stdin` is what is open already: by that name nobody opens a pipe or terminal of another user's, as below `sudo -u`. */
export function readSecretFile(path: string): string {
  return readFileSync(path === '/dev/stdin' ? 0 : path, 'utf8').trim();
}

/** A file that a setting names. @throws invalid_input, which names both */
export function readNamed(name: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new JobpassError('invalid_input', `--${name}: ${path} ${fileProblem(error)}.`, error);
  }
}

/** Why a file cannot be read, behind its name: `does not exist`. */
export function fileProblem(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'of an unknown kind';
  return fileProblems.get(code) ?? `cannot be read (${code})`;
}

const fileProblems = new Map([
  ['ENOENT', 'does not exist'],
  ['ENOTDIR', 'does not exist'],
  ['EACCES', 'may not be read by this user'],
  ['EPERM', 'may not be read by this user'],
  ['EISDIR', 'is a folder'],
]);

/** Why something could not be made or written at a path, as a sentence that says what to do; undefined for what is no such error. */
export function placeProblem(error: Error): string | undefined {
  const code = 'code' in error ? String(error.code) : '';
  const problem = placeProblems.get(code);
  return problem === undefined || !('path' in error) ? undefined : `${String(error.path)} ${problem}`;
}

const placeProblems = new Map([
  ['EACCES', 'may not be used by this user: choose another place, or give this user rights on it.'],
  ['EPERM', 'may not be used by this user: choose another place, or give this user rights on it.'],
  ['EEXIST', 'is a file where a folder is wanted: choose another place.'],
  ['ENOTDIR', 'cannot be: a file stands where a folder is wanted. Choose another place.'],
  ['ENOENT', 'does not exist.'],
  ['ENOSPC', 'cannot be written, as the disk is full: make room there, or choose another place.'],
  ['EDQUOT', "cannot be written, as this user's share of the disk is used up: make room there, or choose another place."],
  ['EROFS', 'cannot be written, as its file system is read-only: choose another place.'],
]);

/** `JOBPASS_URL`: where the commands that talk to a server find it. @param name of the flag, as it is typed */
export function serverUrl(flag: string | undefined, name: '--url' | '--server' = '--url'): string {
  const url = flag ?? process.env['JOBPASS_URL'];
  if (url === undefined || url === '')
    throw new JobpassError('invalid_input', `Say where the server is: ${name} https://…, or JOBPASS_URL.`);
  if (!/^https?:\/\/./.test(url) || !URL.canParse(url))
    throw new JobpassError('invalid_input', `The server is named by https://HOST[:PORT], not by \`${url}\`.`);
  return url.replace(/\/+$/, '');
}

function flagOf(name: string, text: string): boolean {
  if (['1', 'true', 'yes', 'on'].includes(text.toLowerCase())) return true;
  if (['0', 'false', 'no', 'off', ''].includes(text.toLowerCase())) return false;
  throw new JobpassError('invalid_input', `${name} must be true or false.`);
}

function readFile(path: string): Readonly<Record<string, unknown>> {
  const text = readNamed('config', path);
  try {
    return parseToml(text);
  } catch (error) {
    const where = error instanceof TomlError ? `line ${error.line}: ` : '';
    // The parser's own words end in a picture of the line.
    const words = error instanceof Error ? error.message.split('\n')[0] : 'no TOML';
    throw new JobpassError('invalid_input', `${path}: ${where}${words}`, error);
  }
}
