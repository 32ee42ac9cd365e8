import type { ProjectId } from '../base/ids.ts';
import type { PassLimit, PassRecord } from '../ports/passes.ts';
import { type CeilingDeps, ceilingsOf } from './ceilings.ts';

/**
 * What bounds a job because these passes of one job may have started it (R5). What binds its users and the instance binds the child by itself; the
 * ceilings of another project come along as they are now.
 * @returns undefined where one cannot be read
 */
export async function inheritedLimits(
  deps: CeilingDeps,
  passes: readonly PassRecord[],
  child: ProjectId,
): Promise<readonly PassLimit[] | undefined> {
  const [first] = passes;
  if (first === undefined) return [];
  const by = `job ${first.jobId}, whose pass started it`;
  const own = passes.flatMap(({ limits: carried = [] }) => carried.map(({ permissions, places }) => ({ permissions, places })));
  const elsewhere = first.projectId === child ? [] : await ceilingsOf(deps, null, { projectId: first.projectId, principals: [] });
  const standing = elsewhere.map(({ ceiling }) => ceiling);
  if (standing.includes(null)) return undefined;
  return [...own, ...standing.filter((ceiling) => ceiling !== null)].map(({ permissions, places }) => ({
    by,
    permissions,
    places,
    rule: 'R4',
  }));
}
