import type { PlanEnvironment } from './plan.ts';

type Tier = NonNullable<PlanEnvironment['tier']>;

/** GitLab's deployment tiers. */
export const tiers: readonly Tier[] = ['production', 'staging', 'testing', 'development', 'other'];

/** What GitLab takes an environment for by its name alone. @see GitLab, "Deployment tier of environments" */
export function tierOf(name: string): Tier {
  const words: readonly (readonly [RegExp, Tier])[] = [
    [/dev|review|trunk/i, 'development'],
    [/test|tst|int|acc?e?pt|qa|qc|control|quality/i, 'testing'],
    [/sta?g|mode?l|pre|demo|non/i, 'staging'],
    [/pro?d|live/i, 'production'],
  ];
  return words.find(([word]) => word.test(name))?.[1] ?? 'other';
}
