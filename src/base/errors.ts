/**
 * Every way in which jobpass says no or fails. No HTTP here: each door owns a total table from code to answer.
 * `docs/errors.md` is kept equal to this list by a test.
 */
export const errorCodes = {
  credential_missing: { meaning: 'No credential was sent where one is needed.', retryable: false },
  credential_invalid: { meaning: 'The credential is unknown, malformed, expired or revoked.', retryable: false },
  credential_misplaced: {
    meaning: 'A pass was sent in a place where none is accepted, or two credentials came together (R17).',
    retryable: false,
  },
  pass_dead: { meaning: 'The job that the pass belongs to has ended, or the pass was given back (R2).', retryable: false },
  job_unanswered: {
    meaning: 'Nobody said in time whether the job that the pass belongs to still runs, so it counts as ended (R2).',
    retryable: true,
  },
  access_denied: { meaning: 'The resource is visible, the right is missing (R11).', retryable: false },
  not_found: { meaning: 'There is no such thing, or the caller may not know of it (R11).', retryable: false },
  never_allowed: { meaning: 'No pass may ever do this: it would outlive the job or raise rights (R5).', retryable: false },
  unlisted_route: { meaning: 'The route is in no list, so a pass may not use it (R13).', retryable: false },
  scope_insufficient: { meaning: 'The token exists but its scopes do not cover this.', retryable: false },
  insecure_transport: { meaning: 'A pass travels over TLS, loopback or a unix socket only (R16).', retryable: false },
  invalid_input: { meaning: 'A value is missing or malformed; the text says which and what is wanted.', retryable: false },
  conflict: { meaning: 'The thing exists already, or changed meanwhile.', retryable: false },
  unprocessable: { meaning: 'Well-formed, but it cannot be done; the text says why.', retryable: false },
  too_large: { meaning: 'A size, count or depth limit was met; the text says which.', retryable: false },
  range_mismatch: { meaning: 'A partial write does not start where the stored part ends.', retryable: true },
  rate_limited: { meaning: 'Too many requests; wait as told.', retryable: true },
  quota_exceeded: { meaning: 'The pass has used up its audit rows (R10).', retryable: false },
  unsupported: { meaning: 'This forge does not have that.', retryable: false },
  store_unavailable: { meaning: 'The store did not answer; nothing was changed.', retryable: true },
  audit_unavailable: { meaning: 'The audit trail cannot be written, so nothing is granted (R10).', retryable: true },
  upstream_failed: { meaning: 'git or another process failed; nothing was changed.', retryable: true },
  shutting_down: { meaning: 'The server is draining; ask again.', retryable: true },
  timeout: { meaning: 'It took longer than its limit.', retryable: true },
  internal: { meaning: 'A broken invariant; the request id finds it in the log.', retryable: false },
} as const satisfies Record<string, { meaning: string; retryable: boolean }>;

export type ErrorCode = keyof typeof errorCodes;

/** What to tell the caller beside the code; never holds a secret. */
export interface ErrorDetail {
  /** One sentence for people, without a final newline. */
  readonly message?: string;
  /** Field errors in GitLab's shape: `{name: ['is missing']}`. */
  readonly fields?: Readonly<Record<string, readonly string[]>>;
  /** What kind of thing was not found, in GitLab's words: `Project`, `Branch`, `Tag` … */
  readonly what?: string;
  /** Seconds after which a retry makes sense. */
  readonly retryAfterSeconds?: number;
  /** The size that is already stored (range_mismatch). */
  readonly offsetBytes?: number;
}

/** The one error class that crosses folders; doors map `code` to their protocol's answer. */
export class JobpassError extends Error {
  readonly code: ErrorCode;
  readonly detail: ErrorDetail;

  constructor(code: ErrorCode, detail: ErrorDetail | string = {}, cause?: unknown) {
    const parsed = typeof detail === 'string' ? { message: detail } : detail;
    super(parsed.message ?? errorCodes[code].meaning, cause === undefined ? {} : { cause });
    this.name = 'JobpassError';
    this.code = code;
    this.detail = parsed;
  }
}

/** True for an error of the given code (any code when none is named). */
export function isJobpassError(error: unknown, code?: ErrorCode): error is JobpassError {
  return error instanceof JobpassError && (code === undefined || error.code === code);
}

/** True for an error of the system's, such as `ENOENT`. @see node:os, `constants.errno` */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
