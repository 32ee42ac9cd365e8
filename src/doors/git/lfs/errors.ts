import type { JobpassError } from '../../../base/errors.ts';
import { gitAnswer } from '../errors.ts';

export const mediaType = 'application/vnd.git-lfs+json';

/**
 * git's statuses, with the words where git-lfs looks for them.
 * @param anonymous no credential was sent
 * @see git-lfs docs/api/batch.md, "Response Errors"
 */
export function lfsRefusal(error: JobpassError, anonymous: boolean, requestId?: string) {
  const { status, text, headers } = gitAnswer(error, anonymous);
  const asks: Readonly<Record<string, string>> = status === 401 ? { 'lfs-authenticate': 'Basic realm="GitLab"' } : {};
  const body = { message: text.trim(), ...(requestId === undefined ? {} : { request_id: requestId }) };
  return { status, type: mediaType, text: JSON.stringify(body), headers: { ...headers, ...asks } };
}
