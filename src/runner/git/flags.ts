import { JobpassError } from '../../base/errors.ts';

/** A flag that a job may give, and how many words belong to it. Whatever is in no list is refused (A39). */
interface Flag {
  readonly takes?: RegExp;
}
type Allowed = Readonly<Record<string, Flag>>;

const maxFlags = 50;
const count = /^[1-9]\d{0,5}$/;
/** A pattern is one word, and none that git could read as a flag. */
const pattern = /^[^-\u0000-\u001f][^\u0000-\u001f]{0,500}$/;

const cleanFlags: Allowed = {
  '-f': {},
  '-d': {},
  '-x': {},
  '-X': {},
  '-q': {},
  '-e': { takes: pattern },
  '--force': {},
  '--quiet': {},
  '--exclude': { takes: pattern },
};
const fetchFlags: Allowed = {
  '-p': {},
  '-P': {},
  '-q': {},
  '-v': {},
  '-f': {},
  '-n': {},
  '-t': {},
  '-4': {},
  '-6': {},
  '-j': { takes: count },
  '--prune': {},
  '--prune-tags': {},
  '--quiet': {},
  '--verbose': {},
  '--force': {},
  '--tags': {},
  '--no-tags': {},
  '--progress': {},
  '--no-progress': {},
  '--ipv4': {},
  '--ipv6': {},
  '--atomic': {},
  '--jobs': { takes: count },
  '--depth': { takes: count },
};
const submoduleFlags: Allowed = {
  '-f': {},
  '-q': {},
  '-j': { takes: count },
  '--force': {},
  '--quiet': {},
  '--progress': {},
  '--checkout': {},
  '--recommend-shallow': {},
  '--no-recommend-shallow': {},
  '--jobs': { takes: count },
  '--depth': { takes: count },
};

/** What of `GIT_FETCH_EXTRA_FLAGS` changes a fetch by the runner; the rest of the allowed ones it does anyway. */
export interface FetchFlags {
  readonly tags: boolean;
  /** 0 = as the server says. */
  readonly depth: number;
  /** Safe as they are. */
  readonly passedOn: readonly string[];
}

/** `GIT_CLEAN_FLAGS`; unset = `-ffdx`, `none` = no cleaning. @throws invalid_input */
export function parseCleanFlags(text: string | undefined): readonly string[] {
  if (text?.trim() === 'none') return [];
  const flags = parseFlags('GIT_CLEAN_FLAGS', text, cleanFlags).flatMap(({ name, value }) =>
    value === undefined ? [name] : name === '-e' ? [name, value] : [`${name}=${value}`],
  );
  return flags.length === 0 ? ['-ffdx'] : flags;
}

const passedToFetch = new Set(['--progress', '--no-progress', '--quiet', '-q', '--verbose', '-v', '--ipv4', '-4', '--ipv6', '-6']);

/** `GIT_FETCH_EXTRA_FLAGS`. @throws invalid_input */
export function parseFetchFlags(text: string | undefined): FetchFlags {
  const flags = text?.trim() === 'none' ? [] : parseFlags('GIT_FETCH_EXTRA_FLAGS', text, fetchFlags);
  const tags = flags.findLast(({ name }) => ['--tags', '-t', '--no-tags', '-n'].includes(name))?.name;
  return {
    tags: tags === '--tags' || tags === '-t',
    depth: Number(flags.findLast(({ name }) => name === '--depth')?.value ?? 0),
    passedOn: flags.map(({ name }) => name).filter((name) => passedToFetch.has(name)),
  };
}

/** `GIT_SUBMODULE_UPDATE_FLAGS`; only a depth changes what this runner does. @throws invalid_input */
export function parseSubmoduleFlags(text: string | undefined): { readonly depth: number } {
  const flags = parseFlags('GIT_SUBMODULE_UPDATE_FLAGS', text, submoduleFlags);
  return { depth: Number(flags.findLast(({ name }) => name === '--depth')?.value ?? 0) };
}

interface Given {
  readonly name: string;
  readonly value: string | undefined;
}

function parseFlags(variable: string, text: string | undefined, allowed: Allowed): readonly Given[] {
  const words = (text ?? '').split(/\s+/).filter((word) => word !== '');
  const refuse = (why: string): JobpassError =>
    new JobpassError('invalid_input', `${variable}: ${why} This runner takes ${Object.keys(allowed).join(' ')}.`);
  if (words.length > maxFlags) throw refuse(`there are more than ${maxFlags} words.`);
  const given: Given[] = [];
  for (let at = 0; at < words.length; at += 1) {
    for (const { name, attached } of split(words[at] ?? '', allowed)) {
      const flag = Object.hasOwn(allowed, name) ? allowed[name] : undefined;
      if (flag === undefined) throw refuse(`${shown(name)} is not allowed.`);
      if (flag.takes === undefined) {
        if (attached !== undefined) throw refuse(`${name} takes no value.`);
        given.push({ name, value: undefined });
        continue;
      }
      if (attached === undefined) at += 1;
      const value = attached ?? words[at];
      if (value === undefined || !flag.takes.test(value)) throw refuse(`${name} needs another value.`);
      given.push({ name, value });
    }
  }
  return given;
}

/** `--name=value`, `-fdx` and `-j4` in their parts. */
function split(word: string, allowed: Allowed): readonly { readonly name: string; readonly attached: string | undefined }[] {
  const long = /^(--[^=]+)=(.*)$/s.exec(word);
  if (long !== null) return [{ name: long[1] ?? '', attached: long[2] ?? '' }];
  if (!/^-[^-]{2,}$/s.test(word)) return [{ name: word, attached: undefined }];
  const parts: { name: string; attached: string | undefined }[] = [];
  for (let at = 1; at < word.length; at += 1) {
    const name = `-${word.charAt(at)}`;
    const takes = Object.hasOwn(allowed, name) && allowed[name]?.takes !== undefined;
    const rest = word.slice(at + 1);
    parts.push({ name, attached: takes && rest !== '' ? rest : undefined });
    if (takes) break;
  }
  return parts;
}

function shown(word: string): string {
  return JSON.stringify(word.replaceAll(/[^\u0020-\u007e]/g, '?').slice(0, 60));
}
