import type { Exposure, ExtendedJobToken } from '../../wire/runner.ts';
import type { Judgement } from '../gate/judge.ts';

export interface ExposureDecision {
  readonly exposure: Exposure;
  /** Lines for the trace. */
  readonly why: readonly string[];
}

/** Whether the job sees its pass: what the server allows, and then only past this runner's own gate (R7). Pure. */
export function decideExposure(extended: ExtendedJobToken | undefined, judgement: Judgement, unsafe: boolean): ExposureDecision {
  if (extended === undefined) return { exposure: 'withhold', why: ['the server sent no pass'] };
  const reasons = judgement.findings.filter(({ safe }) => !safe).map(({ key, reason }) => `gate: ${key}: ${reason}`);
  const { notes } = extended;
  if (extended.exposure === 'withhold') return { exposure: 'withhold', why: notes };
  if (extended.token === undefined) return { exposure: 'withhold', why: [...notes, 'the server sent no full pass'] };
  if (judgement.verdict === 'expose') return { exposure: extended.exposure, why: notes };
  if (unsafe) return { exposure: extended.exposure, why: [...notes, ...reasons, 'gate: overridden by the operator (unsafe)'] };
  return { exposure: 'withhold', why: [...notes, ...reasons] };
}
