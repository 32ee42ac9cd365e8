import type { RunnerRecord } from '../ports/runners.ts';
import type { Exposure } from '../wire/runner.ts';
import type { SignedReport } from './jobs.ts';

/** From the narrowest. */
export const exposures: readonly Exposure[] = ['withhold', 'variable', 'replace'];

/** A level that bounds what jobs may see; null = it was never set, so the level above decides. */
export interface ExposureBound {
  /** In words for the trace: `the instance`. */
  readonly by: string;
  readonly maximum: Exposure | null;
}

export interface ExposureAsk {
  /** `JOBPASS_EXPOSE` of the job or the file. */
  readonly asked: string | undefined;
  /** `JOBPASS_EXPOSE` given when the pipeline was made: narrows only (A50). */
  readonly given: string | undefined;
  /** `JOBPASS_EXPOSE` given when the job was played: narrows once more. */
  readonly played?: string | undefined;
  /** `JOBPASS_EXPOSE` of a variable that is kept for the project, its groups or the instance: narrows, too (A50). */
  readonly kept?: string | undefined;
  /** `JOBPASS_EXPOSE` given with the pipelines above this one: narrows, too (A50). */
  readonly above?: readonly string[];
  /** Of the instance, the project and the starting user. */
  readonly bounds: readonly ExposureBound[];
  readonly runner: Pick<RunnerRecord, 'trust' | 'unsafeAccepted' | 'publicKey' | 'pinned'>;
  /** undefined = the request was not signed with the runner's pinned key. */
  readonly signed: SignedReport | null;
}

/**
 * Whether this job gets to see its pass, and so whether its runner is sent the full one (R7). Pure.
 * @returns the exposure, and why, for the trace
 */
export function exposureOf(ask: ExposureAsk): { readonly exposure: Exposure; readonly why: string } {
  const no = (why: string) => ({ exposure: 'withhold', why }) as const;
  const asked = exposures.find((word) => word === (ask.asked ?? 'withhold'));
  if (asked === undefined) return no(`JOBPASS_EXPOSE is none of ${exposures.join(', ')}`);
  if (asked === 'withhold') return no('the job did not ask for its pass (JOBPASS_EXPOSE)');
  const given = ask.given === undefined ? asked : exposures.find((word) => word === ask.given);
  if (given === undefined) return no('JOBPASS_EXPOSE of the pipeline is none of the known words');
  const played = ask.played === undefined ? asked : exposures.find((word) => word === ask.played);
  if (played === undefined) return no('JOBPASS_EXPOSE of who played the job is none of the known words');
  const kept = ask.kept === undefined ? asked : exposures.find((word) => word === ask.kept);
  if (kept === undefined) return no('JOBPASS_EXPOSE of the CI/CD variables is none of the known words');
  const above = (ask.above ?? []).map((text) => exposures.find((word) => word === text));
  if (above.includes(undefined)) return no('JOBPASS_EXPOSE of a pipeline above is none of the known words');
  if (ask.runner.trust !== 'full') return no(`the runner's trust is ${ask.runner.trust}; an admin has to set it to full`);
  const judged = judgedSafe(ask);
  if (!judged.safe) return no(judged.why);
  const bounds = [
    { by: 'the pipeline', maximum: given },
    { by: 'who played it', maximum: played },
    { by: 'a CI/CD variable', maximum: kept },
    ...above.map((maximum) => ({ by: 'a pipeline above', maximum: maximum ?? null })),
    ...ask.bounds,
  ];
  const exposure = bounds.map(({ maximum }) => maximum ?? asked).reduce(narrower, asked);
  if (exposure !== asked) {
    const by = bounds.filter(({ maximum }) => maximum === exposure).map((bound) => bound.by);
    return { exposure, why: `the job asked for ${asked}; ${by.join(' and ')} allows ${exposure} at most` };
  }
  return { exposure, why: judged.why };
}

/** Whether what is known of the runner's configuration lets a job see its pass. A pinned `withhold` wins over all that a runner says. */
function judgedSafe({ runner, signed }: ExposureAsk): { readonly safe: boolean; readonly why: string } {
  const no = (why: string) => ({ safe: false, why });
  if (runner.pinned?.verdict === 'withhold') return no('the gate verdict that an admin pinned to the runner says withhold');
  if (signed === null) {
    // A pin speaks for a runner without a key; a stolen token (A60) must gain nothing by leaving the signature out.
    if (runner.publicKey !== null) return no("the request was not signed with the runner's key");
    if (runner.pinned === null) return no("the request was not signed with the runner's key, and no admin pinned a gate verdict");
    return { safe: true, why: 'asked by the job; the gate verdict that an admin pinned to the runner says expose' };
  }
  if (signed.verdict !== 'expose') return no("the runner's gate says withhold");
  if (!signed.unsafe) return { safe: true, why: 'asked by the job, and the gate finds the runner safe' };
  if (!runner.unsafeAccepted) return no('the runner overrides its gate (--unsafe), and no admin accepted that');
  return { safe: true, why: 'asked by the job; the runner is unsafe, and an admin accepted that' };
}

/** True where every bound, as it is now, still allows what was decided a moment ago. */
export function withinBounds(exposure: Exposure, bounds: readonly ExposureBound[]): boolean {
  return bounds.every(({ maximum }) => maximum === null || exposures.indexOf(maximum) >= exposures.indexOf(exposure));
}

function narrower(one: Exposure, other: Exposure): Exposure {
  return exposures.indexOf(other) < exposures.indexOf(one) ? other : one;
}
