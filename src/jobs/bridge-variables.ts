import { newBudget } from '../base/budget.ts';
import { expanderOf, type GivenVariable, reaches } from '../pipeline/given.ts';
import type { ProjectFacts, UserFacts } from '../ports/directory.ts';
import type { JobRecord, PipelineRecord, PipelineVariable } from '../ports/jobs.ts';
import type { JobsDeps } from './deps.ts';
import { dotenvVariables } from './dotenv.ts';
import { givenToJob, type JobValues, jobValues, predefinedOf } from './job-values.ts';
import type { KeptVariable } from './kept-variables.ts';
import type { StoredPlan } from './stored-plan.ts';

export interface BridgeVariables {
  /** Puts values in what the bridge's own keywords say. */
  readonly values: JobValues;
  /** What a downstream pipeline is given: in clear, as it is kept with it. Says in words what cannot be. */
  forwardedTo(target: 'child' | 'own_group' | 'outside'): readonly PipelineVariable[] | string;
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
    readonly kept: readonly KeptVariable[];
    readonly dependencies: readonly JobRecord[];
  },
): Promise<BridgeVariables> {
  const { project, pipeline, bridge, user, kept, dependencies } = facts;
  const { job: plan, globals, rawGlobals = [] }: StoredPlan = JSON.parse(bridge.plan);
  const predefined = await predefinedOf(deps, project, user, pipeline, bridge);
  const reported = [...dotenvVariables(dependencies)];
  const known = { project, user, pipeline, job: bridge, plan, globals, rawGlobals, predefined, reported, kept };
  const { given, layer } = givenToJob(deps, known);
  const forward = plan.trigger?.forward ?? { yamlVariables: true, pipelineVariables: false };
  const written: readonly (readonly [string, string])[] = forward.yamlVariables ? Object.entries(layer.variables) : [];
  const handed = forward.pipelineVariables ? [...pipeline.variables, ...bridge.variables] : [];
  // In the same project it finds the same variables: it is given their names, and the values stay sealed.
  const named = expanderOf({ ...given, over: given.over.map(byName) }, layer, newBudget());
  const raw = (key: string): boolean => layer.rawVariables?.includes(key) === true;
  return {
    values: jobValues(deps, known),
    forwardedTo(target) {
      const withheld = kept.filter((one) => one.masked || (one.protected && target === 'outside')).map(({ key }) => key);
      for (const [key, text] of target === 'child' ? [] : written) {
        const held = raw(key) ? undefined : reaches(given, layer, text, (name) => withheld.includes(name));
        if (held !== undefined) return refusal(key, held);
      }
      const forwarded = new Map<string, string>([
        ...written.map(([key, text]) => [key, raw(key) ? text.replaceAll('$', '$$$$') : named.text(text)] as const),
        ...reported,
        ...handed.map(({ key, value }) => [key, value] as const),
      ]);
      return [...forwarded].map(([key, value]) => ({ key, value }));
    },
  };
}

function byName(variable: GivenVariable): GivenVariable {
  return variable.secret ? { ...variable, value: `\${${variable.key}}`, raw: true } : variable;
}

function refusal(key: string, held: string): string {
  return (
    `The variable ${key} would hand on the value of ${held}, which is masked or protected: keep it for the other project as well, and leave ` +
    'it out here with `forward:yaml_variables: false` or `inherit:variables`.'
  );
}

/** Where a downstream pipeline stands as seen from the project that triggers it. */
export function targetOf(project: ProjectFacts, target: ProjectFacts): 'child' | 'own_group' | 'outside' {
  if (project.id === target.id) return 'child';
  return project.namespaceId === target.namespaceId ? 'own_group' : 'outside';
}
