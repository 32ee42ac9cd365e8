import type { CiJob, CiRule } from './ci-file.ts';
import { parseDuration } from './duration.ts';
import { isFields, scalarText } from './fields.ts';
import type { PlanAutoCancel } from './plan.ts';
import type { PartReader } from './reader.ts';

const week = 604_800;
const textLength = 255;

/** How long a delayed job waits: one second to one week. @see GitLab, CI/CD YAML syntax reference: `when: delayed`, `start_in` */
export function readStartIn(value: unknown, path: readonly string[], reader: PartReader): { readonly startInSeconds?: number } {
  const seconds = typeof value === 'string' || typeof value === 'number' ? parseDuration(String(value)) : undefined;
  if (seconds !== undefined && seconds >= 1 && seconds <= week) return { startInSeconds: seconds };
  reader.error(path, '`start_in` must be a duration from 1 second to one week, such as `30 minutes`');
  return {};
}

/** `start_in` and `when: delayed` go together, in the job and in each of its rules. */
export function checkDelay(job: CiJob, path: readonly string[], reader: PartReader): void {
  const waits = job.startInSeconds !== undefined;
  const delayedRules = (job.rules ?? []).filter(({ when }) => when === 'delayed');
  if (job.when === 'delayed' && !waits) reader.error([...path, 'when'], '`when: delayed` needs `start_in`');
  if (waits && job.when !== 'delayed' && delayedRules.length === 0)
    reader.error([...path, 'start_in'], '`start_in` goes with `when: delayed` only');
  for (const [index, { when, startInSeconds }] of (job.rules ?? []).entries()) {
    const at = [...path, 'rules', String(index)];
    if (when === 'delayed' && startInSeconds === undefined && !waits) reader.error(at, 'rules: `when: delayed` needs `start_in`');
    if (when !== 'delayed' && startInSeconds !== undefined) reader.error(at, 'rules: `start_in` goes with `when: delayed` only');
  }
}

/** What a page asks before it plays the job; the API plays without asking (GitLab's does, too). */
export function readManualConfirmation(value: unknown, path: readonly string[], reader: PartReader): Pick<CiJob, 'manualConfirmation'> {
  if (typeof value === 'string' && value !== '' && value.length <= textLength) return { manualConfirmation: value };
  reader.error(path, `\`manual_confirmation\` must be a text of 1 to ${textLength} characters`);
  return {};
}

export function readInterruptible(value: unknown, path: readonly string[], reader: PartReader): Pick<CiRule, 'interruptible'> {
  if (typeof value === 'boolean') return { interruptible: value };
  reader.error(path, '`interruptible` must be true or false');
  return {};
}

/** @see GitLab, CI/CD YAML syntax reference: `resource_group` */
export function readResourceGroup(value: unknown, path: readonly string[], reader: PartReader): Pick<CiJob, 'resourceGroup'> {
  const key = scalarText(value);
  if (/^[\w \-/.${}]{1,255}$/.test(key)) return { resourceGroup: key };
  reader.error(path, '`resource_group` must be a text of at most 255 letters, digits, spaces and `-_/.${}`');
  return {};
}

/** @see GitLab, CI/CD YAML syntax reference: `workflow:auto_cancel` */
export function readAutoCancel(value: unknown, path: readonly string[], outer: PartReader): Partial<PlanAutoCancel> {
  const reader = outer.within('auto_cancel');
  if (!isFields(value)) {
    outer.error(path, '`auto_cancel` must be a map with `on_new_commit` or `on_job_failure`');
    return {};
  }
  reader.checkKeys(value, 'auto_cancel', path);
  const word = <Word extends string>(name: string, words: readonly Word[]): Word | undefined => {
    const found = words.find((one) => one === value[name]);
    if (value[name] !== undefined && found === undefined) reader.error([...path, name], `\`${name}\` must be one of ${words.join(', ')}`);
    return found;
  };
  const onNewCommit = word('on_new_commit', ['conservative', 'interruptible', 'none'] as const);
  const onJobFailure = word('on_job_failure', ['none', 'all'] as const);
  return { ...(onNewCommit === undefined ? {} : { onNewCommit }), ...(onJobFailure === undefined ? {} : { onJobFailure }) };
}
