import type { Budget } from '../base/budget.ts';
import type { CiEnvironment, CiJob } from './ci-file.ts';
import { tierOf, tiers } from './environment-tier.ts';
import { expanderOf, type Given, givenIn } from './given.ts';
import type { CiError, PlanEnvironment, PlanJob } from './plan.ts';
import { isEnvironmentName, isPeriod } from './read-environment.ts';
import { shorten } from './reader.ts';
import type { Expander, Layer } from './variables.ts';

/** What a job of an environment sees: where it acts, and what is kept for that place alone. @see GitLab CI/CD, "Predefined variables" */
export function inItsPlace({ environment }: CiJob, given: Given, layer: Layer, budget: Budget): Given {
  if (environment === undefined) return given;
  const variables = expanderOf(given, layer, budget);
  const name = variables.text(environment.name);
  const known = givenIn(given, name);
  return {
    ...known,
    predefined: new Map([
      ...known.predefined,
      ['CI_ENVIRONMENT_NAME', name],
      ['CI_ENVIRONMENT_ACTION', environment.action],
      ['CI_ENVIRONMENT_TIER', variables.text(environment.tier ?? tierOf(name))],
      ...(environment.url === undefined ? [] : [['CI_ENVIRONMENT_URL', environment.url] as const]),
    ]),
  };
}

/** An environment with its variables put in; its URL is read when the job ends. */
export function placed({ tier: written, ...environment }: CiEnvironment, variables: Expander): PlanEnvironment {
  const { autoStopIn } = environment;
  const tier = tierIn(written, variables);
  return {
    ...environment,
    name: variables.text(environment.name),
    ...(autoStopIn === undefined ? {} : { autoStopIn: variables.text(autoStopIn) }),
    ...(tier === undefined ? {} : { tier }),
  };
}

function tierIn(written: string | undefined, variables: Expander): PlanEnvironment['tier'] {
  return written === undefined ? undefined : tiers.find((tier) => tier === variables.text(written));
}

/** What variables made of the names of environments, of their tiers, and of how long they last. */
export function oddPlaces(jobs: readonly CiJob[], chosen: ReadonlyMap<string, PlanJob>): readonly CiError[] {
  return jobs.flatMap((job) => {
    const { name, tier, autoStopIn } = chosen.get(job.name)?.environment ?? {};
    const wrong = (text: string, what: string) => [
      { ...job.place, message: `job \`${job.name}\`: environment: \`${shorten(text)}\` is no ${what}` },
    ];
    if (name !== undefined && !isEnvironmentName(name)) return wrong(name, 'name for an environment');
    if (name !== undefined && tier === undefined && job.environment?.tier !== undefined)
      return wrong(job.environment.tier, `tier: it must come to one of ${tiers.join(', ')}`);
    return autoStopIn === undefined || isPeriod(autoStopIn) ? [] : wrong(autoStopIn, 'duration (`auto_stop_in`)');
  });
}
