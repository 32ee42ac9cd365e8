import type { PlanJob } from '../pipeline/plan.ts';

/** A job's plan as `create.ts` keeps it with the job. */
export interface StoredPlan {
  readonly job: PlanJob;
  readonly globals: Readonly<Record<string, string>>;
  readonly rawGlobals?: readonly string[];
}
