import type { CiJob, CiNeed } from './ci-file.ts';
import { type Fields, isFields } from './fields.ts';
import { readParallel } from './parallel.ts';
import { readRemoteNeed, readUpstream, upstreamNeed } from './read-remote-need.ts';
import type { PartReader } from './reader.ts';

/** GitLab's bound. */
const mostRemote = 5;

/** @see GitLab, CI/CD YAML syntax reference: `needs` */
export function readNeeds(
  value: unknown,
  path: readonly string[],
  reader: PartReader,
  elsewhere: (need: unknown) => boolean = () => false,
): readonly CiNeed[] {
  if (!Array.isArray(value)) {
    reader.error(path, '`needs` must be a list');
    return [];
  }
  return value.flatMap((need: unknown, index) => {
    if (elsewhere(need)) return [];
    const at = [...path, String(index)];
    if (typeof need === 'string') return [{ job: need, artifacts: true, optional: false }];
    if (isFields(need) && typeof need['job'] === 'string') {
      reader.within('needs').checkKeys(need, 'need', at);
      const instances = need['parallel'] === undefined ? {} : { instances: readParallel(need['parallel'], [...at, 'parallel'], reader) };
      return [{ job: need['job'], artifacts: need['artifacts'] !== false, optional: need['optional'] === true, ...instances }];
    }
    reader.error(at, "each entry of `needs` must be a job's name, or a map with `job`");
    return [];
  });
}

/** A job's own: also of other pipelines, which its order does not hang on. */
export function readJobNeeds(
  value: unknown,
  path: readonly string[],
  reader: PartReader,
): Pick<CiJob, 'needs' | 'remoteNeeds' | 'upstreamProject'> {
  const upstream = upstreamNeed(value);
  if (upstream !== undefined) return readUpstream(upstream, path, reader);
  const entries: readonly unknown[] = Array.isArray(value) ? value : [];
  const remoteNeeds = entries.flatMap((need, index) =>
    isRemote(need) ? (readRemoteNeed(need, [...path, String(index)], reader) ?? []) : [],
  );
  if (remoteNeeds.length > mostRemote) reader.error(path, `\`needs\` may name at most ${mostRemote} jobs of other pipelines`);
  const onlyRemote = entries.length > 0 && entries.every(isRemote);
  return {
    ...(onlyRemote ? {} : { needs: readNeeds(value, path, reader, isRemote) }),
    ...(remoteNeeds.length === 0 ? {} : { remoteNeeds }),
  };
}

function isRemote(need: unknown): need is Fields {
  return isFields(need) && (need['project'] !== undefined || need['pipeline'] !== undefined);
}
