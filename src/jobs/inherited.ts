import { inheritedLimits } from '../pass/inherited.ts';
import { wasLeaked } from '../pass/life.ts';
import type { PipelineRecord } from '../ports/jobs.ts';
import type { JobsDeps } from './deps.ts';
import type { JobLimits } from './job-limits.ts';

/**
 * What bounds the jobs of a pipeline because a pass started it, or one above it: they can do no more than that pass could (R5). Where that cannot be
 * told any more, or the pass was found where it could be read, theirs may do nothing.
 */
export async function inheritedOf(
  deps: Pick<JobsDeps, 'passes' | 'directory' | 'ceilings'>,
  { parentJobId, passId, projectId }: Pick<PipelineRecord, 'parentJobId' | 'passId' | 'projectId'>,
): Promise<JobLimits> {
  if (parentJobId === null) return { limits: [], notes: [] };
  const pass = passId === null ? undefined : await deps.passes.byId(null, passId);
  const leaked = wasLeaked(pass?.revokedReason ?? null);
  const found = pass === undefined || leaked ? undefined : await inheritedLimits(deps, [pass], projectId);
  const by = `job ${parentJobId}, whose pass started it`;
  if (found !== undefined) return { limits: found, notes: [`started by the pass of job ${parentJobId}: no wider than that`] };
  const why = leaked ? 'was found where it could be read' : 'or a ceiling of it cannot be read';
  return { limits: [{ by, permissions: [], places: null, rule: 'R4' }], notes: [`the pass of ${by}, ${why}: this one may do nothing`] };
}
