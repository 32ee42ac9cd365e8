import type { Clock } from '../../base/clock.ts';
import { exposureOf } from '../../jobs/exposure.ts';
import { type JobLimits, jobLimits } from '../../jobs/job-limits.ts';
import type { SignedReport } from '../../jobs/jobs.ts';
import type { Directory } from '../../ports/directory.ts';
import type { ExposureBounds } from '../../ports/exposure.ts';
import type { UpstreamJob, UpstreamPipeline } from '../../ports/gateway.ts';
import type { Exposure } from '../../wire/runner.ts';

/** What an admin says of a runner of the forge behind the gateway (R7). */
export interface RunnerTrust {
  readonly trust: 'none' | 'fetch' | 'full';
  /** Its responsible user is not asked (R3). */
  readonly vouched: boolean;
  /** `pinned`: the admin who trusts it by number answers for its gate verdict; `signed`: its own word counts, under its key. */
  readonly by: 'pinned' | 'signed';
  /** An older runner's jobs find their pass in a masked variable (DESIGN §3, `assist: expose`). */
  readonly inVariable: boolean;
}

/** What a runner proved in its request: the key that is pinned to it, and what it said under that key. */
export interface Proof {
  readonly publicKey: string | null;
  readonly signed: SignedReport | null;
}

export interface ExposureDeps {
  readonly clock: Clock;
  readonly directory: Directory;
  readonly maxExposure: Exposure;
  readonly exposureBounds: ExposureBounds;
}

/** Every value of a variable in the payload, the one that counts last: those of the file, and over them what the pipeline was given. */
export type VariablesOf = (name: string) => readonly string[];

/** How much of its pass the job sees, and why (R7, A50). */
export async function exposureFor(
  deps: ExposureDeps,
  job: UpstreamJob,
  pipeline: UpstreamPipeline | undefined,
  variables: VariablesOf,
  trust: RunnerTrust,
  { publicKey, signed }: Proof,
): Promise<{ readonly exposure: Exposure; readonly why: string }> {
  const pinned = trust.trust === 'full' && trust.by === 'pinned';
  return exposureOf({
    asked: askedIn('JOBPASS_EXPOSE', pipeline, variables),
    given: pipeline?.variables.get('JOBPASS_EXPOSE'),
    bounds: [
      { by: 'the instance', maximum: deps.maxExposure },
      { by: 'the project', maximum: await deps.exposureBounds.of(null, { kind: 'project', id: job.projectId }) },
      { by: 'who started it', maximum: await deps.exposureBounds.of(null, { kind: 'user', id: job.userId }) },
    ],
    runner: {
      trust: trust.trust,
      unsafeAccepted: false,
      publicKey: pinned ? null : publicKey,
      pinned: pinned ? { verdict: 'expose', reasons: [], at: deps.clock.now() } : null,
    },
    signed: pinned ? null : signed,
  });
}

/** What the job, and once more the pipeline, bound the full pass to (R4, A50). */
export function limitsFor(deps: ExposureDeps, pipeline: UpstreamPipeline | undefined, variables: VariablesOf): Promise<JobLimits> {
  const given = (name: string): string | undefined => pipeline?.variables.get(name);
  const asked = (name: string): string | undefined => askedIn(name, pipeline, variables);
  return jobLimits(deps.directory, [
    { by: 'the job', permissions: asked('JOBPASS_PERMISSIONS'), projects: asked('JOBPASS_PROJECTS') },
    { by: 'the pipeline', permissions: given('JOBPASS_PERMISSIONS'), projects: given('JOBPASS_PROJECTS') },
  ]);
}

/** What the file says: the value before the one that the pipeline was given, as the later one stands in its place. */
function askedIn(name: string, pipeline: UpstreamPipeline | undefined, variables: VariablesOf): string | undefined {
  const values = variables(name);
  const given = pipeline?.variables.get(name);
  return values.findLast((value) => value !== given) ?? values.at(-1);
}
