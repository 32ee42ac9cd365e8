import type { PlanJob } from '../pipeline/plan.ts';
import type { Expander } from '../pipeline/variables.ts';
import type { ProjectFacts, UserFacts } from '../ports/directory.ts';
import type { JobRecord, PipelineRecord, PipelineVariable } from '../ports/jobs.ts';
import type { JobsDeps } from './deps.ts';
import { dotenvVariables } from './dotenv.ts';
import { jobValues, predefinedOf } from './job-values.ts';

export interface BridgeVariables {
  /** Puts values in what the bridge's own keywords say. */
  readonly expander: Expander;
  /** What the downstream pipeline is given. */
  readonly forwarded: readonly PipelineVariable[];
}

/**
 * What a bridge hands on: its own and the file's variables, expanded where it stands, and what the jobs before it reported; those of the
 * pipeline only where it says so. @see GitLab, "Pass CI/CD variables to a downstream pipeline", `trigger:forward`
 */
export async function bridgeVariables(
  deps: JobsDeps,
  facts: {
    readonly project: ProjectFacts;
    readonly pipeline: PipelineRecord;
    readonly bridge: JobRecord;
    readonly user: UserFacts;
    readonly dependencies: readonly JobRecord[];
  },
): Promise<BridgeVariables> {
  const { project, pipeline, bridge, user, dependencies } = facts;
  const { job: plan, globals }: { job: PlanJob; globals: Record<string, string> } = JSON.parse(bridge.plan);
  const predefined = await predefinedOf(deps, project, user, pipeline, bridge);
  const reported = [...dotenvVariables(dependencies)];
  const values = jobValues(deps, { project, user, pipeline, job: bridge, plan, globals, predefined, reported });
  const forward = plan.trigger?.forward ?? { yamlVariables: true, pipelineVariables: false };
  const written = [...Object.entries(globals), ...Object.entries(plan.variables)];
  const given = [...pipeline.variables, ...bridge.variables];
  const forwarded = new Map<string, string>([
    ...(forward.yamlVariables ? written.map(([key, value]) => [key, values.text(value)] as const) : []),
    ...reported,
    ...(forward.pipelineVariables ? given.map(({ key, value }) => [key, value] as const) : []),
  ]);
  return { expander: values, forwarded: [...forwarded].map(([key, value]) => ({ key, value })) };
}
