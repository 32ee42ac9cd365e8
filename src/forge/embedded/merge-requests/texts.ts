import { JobpassError } from '../../../base/errors.ts';
import type { MergeRequestTexts } from '../../merge-requests.ts';

const maxLabels = 100;

/** @throws invalid_input */
export function checkTexts(texts: Partial<MergeRequestTexts>): void {
  const { title, description, labels, assigneeIds } = texts;
  if (title !== undefined && title.trim() === '') throw invalid('title', "can't be blank");
  if (title !== undefined && title.length > 255) throw invalid('title', 'is too long (maximum is 255 characters)');
  if (description !== undefined && description.length > 1_000_000)
    throw invalid('description', 'is too long (maximum is 1000000 characters)');
  if (labels !== undefined && (labels.length > maxLabels || labels.some((label) => label.length > 255 || label.includes(','))))
    throw invalid('labels', `are at most ${maxLabels}, without commas`);
  if (assigneeIds !== undefined && assigneeIds.length > maxLabels) throw invalid('assignee_ids', `are at most ${maxLabels}`);
}

/** GitLab's marks of a draft. */
export function isDraft(title: string): boolean {
  return /^(?:\[draft\]|\(draft\)|draft:|draft -)\s*/i.test(title.trimStart());
}

export function invalid(field: string, text: string): JobpassError {
  return new JobpassError('invalid_input', { fields: { [field]: [text] } });
}
