import { JobpassError } from '../../base/errors.ts';
import { type FetchFlags, parseCleanFlags, parseFetchFlags, parseSubmoduleFlags } from '../git/flags.ts';
import { type SubmoduleFilter, submoduleFilter } from '../git/paths.ts';
import type { Variables } from './variables.ts';

/** What a job says about its sources, read and checked before anything runs. */
export interface GitSettings {
  readonly strategy: 'fetch' | 'clone' | 'none' | 'empty';
  readonly checkout: boolean;
  /** Empty = no cleaning. */
  readonly cleanFlags: readonly string[];
  readonly fetch: FetchFlags;
  readonly lfs: boolean;
  readonly submodules: 'none' | 'normal' | 'recursive';
  /** Undefined = as deep as the project itself. */
  readonly submoduleDepth: number | undefined;
  readonly wanted: SubmoduleFilter;
  /** Addresses of the forge's ssh are taken as https. */
  readonly forceHttps: boolean;
  readonly attempts: number;
}

/** @throws invalid_input for a value that git or this runner does not have (A39, R13) @see GitLab CI/CD, "Configure runners" */
export function gitSettings(variables: Variables, allowFetch: boolean): GitSettings {
  const byDefault = allowFetch ? 'fetch' : 'clone';
  const flags = parseSubmoduleFlags(variables.get('GIT_SUBMODULE_UPDATE_FLAGS'));
  const depth = variables.get('GIT_SUBMODULE_DEPTH') ?? '';
  if (!/^\d{0,6}$/.test(depth)) throw refused('GIT_SUBMODULE_DEPTH', 'a number');
  return {
    strategy: oneOf(variables, 'GIT_STRATEGY', ['fetch', 'clone', 'none', 'empty'], byDefault),
    checkout: truth(variables, 'GIT_CHECKOUT', true),
    cleanFlags: parseCleanFlags(variables.get('GIT_CLEAN_FLAGS')),
    fetch: parseFetchFlags(variables.get('GIT_FETCH_EXTRA_FLAGS')),
    lfs: !truth(variables, 'GIT_LFS_SKIP_SMUDGE', false),
    submodules: oneOf(variables, 'GIT_SUBMODULE_STRATEGY', ['none', 'normal', 'recursive'], 'none'),
    submoduleDepth: flags.depth > 0 ? flags.depth : depth === '' ? undefined : Number(depth),
    wanted: submoduleFilter(variables.get('GIT_SUBMODULE_PATHS')),
    forceHttps: truth(variables, 'GIT_SUBMODULE_FORCE_HTTPS', false),
    attempts: attemptsOf(variables, 'GET_SOURCES_ATTEMPTS'),
  };
}

/** How often a stage is tried: 1 to 10, as gitlab-runner has it; 1 where nothing is said. @throws invalid_input */
export function attemptsOf(variables: Variables, key: string): number {
  const text = variables.get(key) ?? '';
  if (text === '') return 1;
  if (!/^(?:[1-9]|10)$/.test(text)) throw refused(key, 'a number from 1 to 10');
  return Number(text);
}

const yes = new Set(['1', 'true', 'yes', 't', 'on']);
const no = new Set(['0', 'false', 'no', 'f', 'off']);

/** A switch, written in one of the usual ways. @throws invalid_input */
export function truth(variables: Variables, key: string, fallback: boolean): boolean {
  const text = variables.get(key) ?? '';
  const known = switchOf(text);
  if (known === undefined && text !== '') throw refused(key, 'true or false');
  return known ?? fallback;
}

/** @returns undefined for what is no switch */
export function switchOf(text: string | undefined): boolean | undefined {
  const word = (text ?? '').toLowerCase();
  return yes.has(word) ? true : no.has(word) ? false : undefined;
}

function oneOf<Word extends string>(variables: Variables, key: string, words: readonly Word[], fallback: Word): Word {
  const text = variables.get(key) ?? '';
  const found = words.find((word) => word === text);
  if (found === undefined && text !== '') throw refused(key, `one of ${words.join(', ')}`);
  return found ?? fallback;
}

function refused(key: string, what: string): JobpassError {
  return new JobpassError('invalid_input', `The variable ${key} has to be ${what}.`);
}
