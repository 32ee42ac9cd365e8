import type { BridgeIdentity } from '../pass/grant.ts';
import { outsideOnlyOf, type Principals } from '../pass/principals.ts';
import type { PlanJob } from '../pipeline/plan.ts';
import type { JobRecord, PipelineRecord } from '../ports/jobs.ts';
import type { JobsDeps } from './deps.ts';
import { givenAbove } from './given-above.ts';
import { inheritedOf } from './inherited.ts';
import { jobLimits } from './job-limits.ts';
import { keptVariables } from './kept-variables.ts';
import { refProtected } from './whose.ts';

/**
 * With whose rights the server acts for a job: all that a full pass of it would intersect, bounded as that would be (R3, R4). A child pipeline
 * stays in the project and at the commit of its parent, so that ceilings, which bound what jobs reach, have nothing to say to it.
 */
export async function bridgeIdentity(
  deps: JobsDeps,
  job: JobRecord,
  pipeline: PipelineRecord,
  principals: Principals,
  isChild: boolean,
): Promise<BridgeIdentity> {
  const { job: plan, globals }: { job: PlanJob; globals: Record<string, string> } = JSON.parse(job.plan);
  const own = (name: string): string | undefined => plan.variables[name] ?? globals[name];
  const given = (name: string): string | undefined => pipeline.variables.findLast(({ key }) => key === name)?.value;
  const at = { protected: await refProtected(deps, job), environment: plan.environment?.name };
  const keptHere = isChild ? [] : await keptVariables(deps, job.projectId, at);
  const kept = (name: string): string | undefined => keptHere.find(({ key }) => key === name)?.value.reveal();
  const played = (name: string): string | undefined => job.variables.findLast(({ key }) => key === name)?.value;
  const asked = (by: string, of: (name: string) => string | undefined) => ({
    by,
    permissions: of('JOBPASS_PERMISSIONS'),
    projects: of('JOBPASS_PROJECTS'),
  });
  const bounded = isChild
    ? []
    : [
        ...(await inheritedOf(deps, pipeline)).limits,
        ...(
          await jobLimits(deps.directory, [
            asked('the job', own),
            asked('the pipeline', given),
            asked('a CI/CD variable', kept),
            asked('who played it', played),
            ...(await givenAbove(deps, pipeline)).map((of) => asked('a pipeline above', of)),
          ])
        ).limits,
      ];
  return {
    kind: 'bridge',
    jobId: job.id,
    pipelineId: job.pipelineId,
    projectId: job.projectId,
    principals: principals.list.map(({ userId }) => userId),
    outsideOnly: outsideOnlyOf(principals.list),
    // Whoever could not be named is no wider in a child: its jobs are marked, and fetch their own project only.
    ownProjectOnly: principals.ownProjectOnly && !isChild,
    inside: isChild,
    limits: bounded.map(({ by, rule, permissions, places }) => ({ by, rule, ceiling: { permissions, places } })),
  };
}
