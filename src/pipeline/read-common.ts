import type { CiDefaults } from './ci-file.ts';
import { parseDuration } from './duration.ts';
import type { Fields } from './fields.ts';
import { readImage, readServices } from './image.ts';
import { keywords } from './keywords.ts';
import { readArtifacts } from './read-artifacts.ts';
import { readCaches } from './read-cache.ts';
import { readInterruptible } from './read-flow.ts';
import { readHooks, readIdTokens } from './read-given.ts';
import type { PartReader } from './reader.ts';
import { readRetry } from './retry.ts';

interface CommonKeyword {
  /** What `inherit:default` leaves out with the keyword. */
  readonly field: keyof CiDefaults;
  read(value: unknown, path: readonly string[], reader: PartReader): CiDefaults;
}

/** A keyword of jobs and of `default` is a row here; `keywords.ts` says where it may stand. */
export const commonKeywords: ReadonlyMap<string, CommonKeyword> = new Map<string, CommonKeyword>([
  ['image', { field: 'image', read: (value, path, reader) => ({ image: readImage(value, path, reader) }) }],
  ['services', { field: 'services', read: (value, path, reader) => ({ services: readServices(value, path, reader) }) }],
  ['before_script', { field: 'beforeScript', read: (value, path, reader) => ({ beforeScript: reader.script(value, path) }) }],
  ['after_script', { field: 'afterScript', read: (value, path, reader) => ({ afterScript: reader.script(value, path) }) }],
  ['tags', { field: 'tags', read: (value, path, reader) => ({ tags: reader.texts(value, path) }) }],
  ['timeout', { field: 'timeoutSeconds', read: (value, path, reader) => ({ timeoutSeconds: readTimeout(value, path, reader) }) }],
  ['retry', { field: 'retry', read: (value, path, reader) => ({ retry: readRetry(value, path, reader) }) }],
  ['artifacts', { field: 'artifacts', read: (value, path, reader) => ({ artifacts: readArtifacts(value, path, reader) }) }],
  ['cache', { field: 'caches', read: (value, path, reader) => ({ caches: readCaches(value, path, reader) }) }],
  ['hooks', { field: 'hooks', read: readHooks }],
  ['id_tokens', { field: 'idTokens', read: readIdTokens }],
  ['interruptible', { field: 'interruptible', read: readInterruptible }],
]);

/** Reads what stands in these fields of the keywords that are common to jobs, `default` and the top. */
export function readCommon(
  fields: Fields,
  place: 'top' | 'default' | 'job' | 'bridge',
  path: readonly string[],
  reader: PartReader,
): CiDefaults {
  let read: CiDefaults = {};
  for (const [name, keyword] of commonKeywords) {
    const value = Object.hasOwn(fields, name) ? (fields[name] ?? undefined) : undefined;
    if (value === undefined || keywords[place].get(name)?.status !== 'supported') continue;
    read = { ...read, ...keyword.read(value, [...path, name], reader) };
  }
  return read;
}

function readTimeout(value: unknown, path: readonly string[], reader: PartReader): number {
  const seconds = typeof value === 'string' || typeof value === 'number' ? parseDuration(String(value)) : undefined;
  if (seconds !== undefined && seconds >= 10 && seconds <= 2_592_000) return seconds;
  reader.error(path, '`timeout` must be a duration from 10 seconds to one month, such as `1h 30m`');
  return 3600;
}
