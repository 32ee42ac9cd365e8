import type { ServerResponse } from 'node:http';
import type { ErrorCode, JobpassError } from '../../base/errors.ts';
import { answerJson } from '../http.ts';

/**
 * Statuses as runners read them. 403 tells a runner that its token is bad, and three of them silence it for an hour: it is for that only.
 * 429, 500 and 503 are tried again (GitLab Runner, retry of requests).
 */
const statuses = {
  credential_missing: 403,
  credential_invalid: 403,
  credential_misplaced: 403,
  pass_dead: 403,
  job_unanswered: 503,
  access_denied: 403,
  not_found: 403,
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
  quota_exceeded: 429,
  unsupported: 501,
  store_unavailable: 503,
  audit_unavailable: 503,
  upstream_failed: 503,
  shutting_down: 503,
  timeout: 503,
  internal: 500,
} as const satisfies Record<ErrorCode, number>;

const words: Readonly<Record<number, string>> = {
  403: 'Forbidden',
  416: 'Range Not Satisfiable',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};
/** Whose text says something that the runner may know. */
const spoken: readonly ErrorCode[] = ['access_denied', 'invalid_input', 'too_large', 'conflict', 'unprocessable', 'rate_limited'];

/** Only this text leaves the process. */
export function answerRunnerError(response: ServerResponse, error: JobpassError): void {
  const { code, detail } = error;
  const status = statuses[code];
  if (code === 'range_mismatch') response.setHeader('range', `0-${detail.offsetBytes ?? 0}`);
  if (status === 429 || status === 503) response.setHeader('retry-after', String(detail.retryAfterSeconds ?? 5));
  const said = spoken.includes(code) ? error.message : '';
  const message = [`${status} ${words[status] ?? ''}`.trim(), said].filter((part) => part !== '').join(' - ');
  answerJson(response, status, { message });
}
