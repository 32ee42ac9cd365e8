import { isFields, scalarText, type Fields } from './fields.ts';
import type { CiCache } from './ci-file.ts';
import type { PlanCache } from './plan.ts';
import type { PartReader } from './reader.ts';

/** GitLab's bounds. */
const mostCaches = 4;
const mostKeyFiles = 2;
const mostFallbackKeys = 5;

/** A map, or a list of at most four; empty = none. @see GitLab, CI/CD YAML syntax reference: `cache` */
export function readCaches(value: unknown, path: readonly string[], outer: PartReader): readonly CiCache[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (list.length > mostCaches) outer.error(path, `\`cache\` must be a map, or a list of at most ${mostCaches}`);
  const reader = outer.within('cache');
  return list.slice(0, mostCaches).flatMap((one, index) => {
    const at = Array.isArray(value) ? [...path, String(index)] : path;
    if (isFields(one)) return Object.keys(one).length === 0 ? [] : [readCache(one, at, reader)];
    outer.error(at, `\`cache\` must be a map, or a list of at most ${mostCaches}`);
    return [];
  });
}

function readCache(fields: Fields, path: readonly string[], reader: PartReader): CiCache {
  reader.checkKeys(fields, 'cache', path);
  const word = <Word extends string>(name: string, words: readonly [Word, ...Word[]]): Word => {
    const given = fields[name] ?? words[0];
    const found = words.find((one) => one === given);
    if (found === undefined) reader.error([...path, name], `\`${name}\` must be ${words.join(', ')}`);
    return found ?? words[0];
  };
  const flag = (name: string): boolean => {
    const given = fields[name] ?? false;
    if (typeof given !== 'boolean') reader.error([...path, name], `\`${name}\` must be true or false`);
    return given === true;
  };
  if (flag('unprotect'))
    reader.error(
      [...path, 'unprotect'],
      '`unprotect: true` is not supported: jobs on protected refs take nothing that other refs left behind',
    );
  const fallback = fields['fallback_keys'] === undefined ? [] : reader.texts(fields['fallback_keys'], [...path, 'fallback_keys']);
  if (fallback.length > mostFallbackKeys || !fallback.every(isKey))
    reader.error([...path, 'fallback_keys'], `\`fallback_keys\` must be at most ${mostFallbackKeys} keys without \`/\``);
  return {
    key: readKey(fields['key'], [...path, 'key'], reader),
    paths: fields['paths'] === undefined ? [] : reader.texts(fields['paths'], [...path, 'paths']),
    untracked: flag('untracked'),
    // One with variables is known once they are put in.
    policy:
      typeof fields['policy'] === 'string' && fields['policy'].includes('$')
        ? fields['policy']
        : word('policy', ['pull-push', 'pull', 'push']),
    when: word('when', ['on_success', 'on_failure', 'always']),
    fallbackKeys: fallback,
  };
}

/** @see GitLab, CI/CD YAML syntax reference: `cache:key`, `cache:key:files`, `cache:key:files_commits`, `cache:key:prefix` */
function readKey(value: unknown, path: readonly string[], reader: PartReader): PlanCache['key'] {
  if (value === undefined || value === null) return 'default';
  if (isFields(value)) {
    reader.within('key').checkKeys(value, 'cache_key', path);
    const by = (['files', 'files_commits'] as const).filter((name) => value[name] !== undefined);
    const files = by.flatMap((name) => reader.texts(value[name], [...path, name]));
    const [only] = by;
    if (files.some((file) => file.includes('*'))) reader.error([...path, ...by], '`files` must be paths without `*`');
    if (only === undefined || by.length > 1 || files.length === 0 || files.length > mostKeyFiles)
      reader.error(path, `\`key\` must have either \`files\` or \`files_commits\`, with one or ${mostKeyFiles} paths`);
    const prefix = scalarText(value['prefix']);
    if (prefix !== '' && !isKey(prefix)) reader.error([...path, 'prefix'], '`prefix` must be a text without `/`');
    return { by: only ?? 'files', files, prefix };
  }
  const key = scalarText(value);
  if (!isKey(key))
    reader.error(path, '`key` must be a text of at most 255 characters without `/`, not of dots only, or a map with `files`');
  return key;
}

/** It becomes a part of paths. */
function isKey(text: string): boolean {
  return text !== '' && text.length <= 255 && !/\/|%2f|[\u0000-\u001f]/i.test(text) && !/^(?:\.|%2e)+$/i.test(text);
}
