import type { ErrorCode, JobpassError } from '../../base/errors.ts';
import type { Refusal } from '../../pass/subject.ts';

/** Code → status for git clients, who read plain text. @see gitlab-api notes: git over HTTP */
const gitErrors = {
  credential_missing: 401,
  credential_invalid: 401,
  credential_misplaced: 400,
  pass_dead: 401,
  job_unanswered: 503,
  access_denied: 403,
  not_found: 404,
  never_allowed: 403,
  unlisted_route: 403,
  scope_insufficient: 403,
  insecure_transport: 403,
  invalid_input: 400,
  conflict: 409,
  unprocessable: 422,
  too_large: 413,
  range_mismatch: 416,
  rate_limited: 429,
  quota_exceeded: 403,
  unsupported: 403,
  store_unavailable: 503,
  audit_unavailable: 503,
  upstream_failed: 502,
  shutting_down: 503,
  timeout: 503,
  internal: 500,
} as const satisfies Record<ErrorCode, number>;

export interface GitAnswer {
  readonly status: number;
  readonly text: string;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * git asks first without a credential: a 404 there would stop it from sending one, so the anonymous hear 401 for what they may not see.
 * @param anonymous no credential was sent
 */
export function gitAnswer(error: JobpassError | Refusal, anonymous: boolean): GitAnswer {
  const message = error.message;
  const status = anonymous && (error.code === 'not_found' || error.code === 'access_denied') ? 401 : gitErrors[error.code];
  if (status === 401) {
    const why = anonymous || error.code === 'credential_missing' ? '' : ` ${message}`;
    return {
      status,
      text: `HTTP Basic: Access denied.${why} Use a token with the right scope as password, or a job's pass with any user name.\n`,
      headers: { 'www-authenticate': 'Basic realm="GitLab"' },
    };
  }
  if (error.code === 'not_found')
    return { status, text: "The project you were looking for could not be found or you don't have permission to view it.\n", headers: {} };
  return {
    status,
    text: `${error.code === 'internal' ? 'Internal error' : message}\n`,
    headers: status === 503 || status === 429 ? { 'retry-after': '5' } : {},
  };
}

export const plainText = 'text/plain; charset=utf-8';

export const isArchivePath = (path: string): boolean => path.endsWith('.git/git-upload-archive');

/**
 * What `git archive --remote` hears, from git 2.44 on: of a refusal with a status it shows its user the number alone (R11).
 * @see git-upload-archive(1)
 */
export function archiveAnswer(error: JobpassError | Refusal, anonymous: boolean): GitAnswer & { readonly type: string } {
  const said = gitAnswer(error, anonymous);
  if (said.status !== 403) return { ...said, type: plainText };
  const line = 'NACK archives are had over the API here: GET /api/v4/projects/:id/repository/archive.tar.gz\n';
  const length = (line.length + 4).toString(16).padStart(4, '0');
  return { status: 200, type: 'application/x-git-upload-archive-result', text: `${length}${line}0000`, headers: {} };
}
