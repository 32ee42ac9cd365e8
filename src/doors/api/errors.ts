import { type ErrorCode, JobpassError } from '../../base/errors.ts';
import type { Refusal } from '../../pass/subject.ts';

interface ApiError {
  readonly status: number;
  /** GitLab's title of the status; the message is put behind it where one may be shown. */
  readonly title: string;
}

/** Code → status, in full: a missing code fails to compile. @see GitLab REST API, "Status codes" */
export const apiErrors = {
  credential_missing: { status: 401, title: '401 Unauthorized' },
  credential_invalid: { status: 401, title: '401 Unauthorized' },
  credential_misplaced: { status: 400, title: '400 Bad request' },
  pass_dead: { status: 401, title: '401 Unauthorized' },
  job_unanswered: { status: 503, title: '503 Service Unavailable' },
  access_denied: { status: 403, title: '403 Forbidden' },
  not_found: { status: 404, title: '404 Not Found' },
  never_allowed: { status: 403, title: '403 Forbidden' },
  unlisted_route: { status: 403, title: '403 Forbidden' },
  scope_insufficient: { status: 403, title: '403 Forbidden' },
  insecure_transport: { status: 400, title: '400 Bad request' },
  invalid_input: { status: 400, title: '400 Bad request' },
  conflict: { status: 409, title: '409 Conflict' },
  unprocessable: { status: 422, title: '422 Unprocessable Entity' },
  too_large: { status: 413, title: '413 Request Entity Too Large' },
  range_mismatch: { status: 416, title: '416 Range Not Satisfiable' },
  rate_limited: { status: 429, title: '429 Too Many Requests' },
  quota_exceeded: { status: 403, title: '403 Forbidden' },
  unsupported: { status: 501, title: '501 Not Implemented' },
  store_unavailable: { status: 503, title: '503 Service Unavailable' },
  audit_unavailable: { status: 503, title: '503 Service Unavailable' },
  upstream_failed: { status: 502, title: '502 Bad Gateway' },
  shutting_down: { status: 503, title: '503 Service Unavailable' },
  timeout: { status: 504, title: '504 Gateway Timeout' },
  internal: { status: 500, title: '500 Internal Server Error' },
} as const satisfies Record<ErrorCode, ApiError>;

export interface ApiAnswer {
  readonly status: number;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;
}

/** GitLab's body for an error of ours. */
export function answerFor(error: JobpassError): ApiAnswer {
  const { status, title }: ApiError = apiErrors[error.code];
  const headers: Record<string, string> = {};
  if (error.detail.retryAfterSeconds !== undefined) headers['retry-after'] = String(error.detail.retryAfterSeconds);
  else if (status === 503 || status === 429) headers['retry-after'] = '5';
  if (error.code === 'scope_insufficient') {
    return { status, headers, body: { error: 'insufficient_scope', error_description: error.message, scope: 'api' } };
  }
  if (status === 401) headers['www-authenticate'] = 'Bearer realm="GitLab"';
  if (error.detail.fields !== undefined) return { status, headers, body: { message: error.detail.fields } };
  if (error.code === 'not_found')
    return { status, headers, body: { message: error.detail.what === undefined ? '404 Not Found' : `404 ${error.detail.what} Not Found` } };
  if (error.code === 'invalid_input' || error.code === 'conflict' || error.code === 'unprocessable')
    return { status, headers, body: { message: error.detail.message ?? title } };
  const text = error.code === 'internal' ? undefined : error.detail.message;
  return { status, headers, body: { message: text === undefined || text.startsWith(title) ? (text ?? title) : `${title} - ${text}` } };
}

/** A parameter that is missing or malformed, in Grape's words. */
export class ParamError extends Error {}

/** The project has another path now, and the caller may know: a GET is sent there, anything else is refused, as in GitLab. */
export class MovedProject extends Error {
  /** Of this request by the project's number; undefined where it is no GET. Relative: to nobody else's server goes a credential (A21). */
  readonly location: string | undefined;

  constructor(location: string | undefined) {
    super('the project was renamed');
    this.location = location;
  }
}

export function errorOfRefusal(refusal: Refusal): JobpassError {
  return new JobpassError(refusal.code, { message: refusal.message, ...(refusal.what === undefined ? {} : { what: refusal.what }) });
}
