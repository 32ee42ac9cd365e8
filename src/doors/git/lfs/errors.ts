import type { JobpassError } from '../../../base/errors.ts';
import { gitAnswer } from '../errors.ts';

export const mediaType = 'application/vnd.git-lfs+json';

/**
 * git's statuses, with the words where git-lfs looks for them. A pass that is dead stays dead: at 401 git-lfs would ask its helper for the same one again, and send
 * it, for ever.
 * @param anonymous no credential was sent
 * @see git-lfs docs/api/batch.md, "Response Errors"
 */
export function lfsRefusal(error: JobpassError, anonymous: boolean, requestId?: string) {
  const body = (message: string): string => JSON.stringify({ message, ...(requestId === undefined ? {} : { request_id: requestId }) });
  if (error.code === 'pass_dead') return { status: 403, type: mediaType, text: body(error.message), headers: {} };
  const { status, text, headers } = gitAnswer(error, anonymous);
  const asks: Readonly<Record<string, string>> = status === 401 ? { 'lfs-authenticate': 'Basic realm="GitLab"' } : {};
  return { status, type: mediaType, text: body(text.trim()), headers: { ...headers, ...asks } };
}
