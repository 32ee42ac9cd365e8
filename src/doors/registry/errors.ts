import type { ServerResponse } from 'node:http';
import type { ErrorCode, JobpassError } from '../../base/errors.ts';
import type { Refusal } from '../../pass/subject.ts';

/** Code → status and the specification's error code. @see OCI distribution-spec 1.1, "Error Codes" */
const ociErrors = {
  credential_missing: { status: 401, code: 'UNAUTHORIZED' },
  credential_invalid: { status: 401, code: 'UNAUTHORIZED' },
  credential_misplaced: { status: 400, code: 'UNAUTHORIZED' },
  pass_dead: { status: 401, code: 'UNAUTHORIZED' },
  job_unanswered: { status: 503, code: 'UNAVAILABLE' },
  access_denied: { status: 403, code: 'DENIED' },
  not_found: { status: 404, code: 'NAME_UNKNOWN' },
  never_allowed: { status: 403, code: 'DENIED' },
  unlisted_route: { status: 403, code: 'DENIED' },
  scope_insufficient: { status: 401, code: 'UNAUTHORIZED' },
  insecure_transport: { status: 403, code: 'DENIED' },
  invalid_input: { status: 400, code: 'MANIFEST_INVALID' },
  conflict: { status: 409, code: 'DENIED' },
  unprocessable: { status: 422, code: 'DENIED' },
  too_large: { status: 413, code: 'SIZE_INVALID' },
  range_mismatch: { status: 416, code: 'BLOB_UPLOAD_INVALID' },
  rate_limited: { status: 429, code: 'TOOMANYREQUESTS' },
  quota_exceeded: { status: 403, code: 'DENIED' },
  unsupported: { status: 405, code: 'UNSUPPORTED' },
  store_unavailable: { status: 503, code: 'UNAVAILABLE' },
  audit_unavailable: { status: 503, code: 'UNAVAILABLE' },
  upstream_failed: { status: 503, code: 'UNAVAILABLE' },
  shutting_down: { status: 503, code: 'UNAVAILABLE' },
  timeout: { status: 503, code: 'UNAVAILABLE' },
  internal: { status: 500, code: 'UNKNOWN' },
} as const satisfies Record<ErrorCode, { status: number; code: string }>;

/** What was not found, in the specification's words. */
const missing: Readonly<Record<string, string>> = {
  Blob: 'BLOB_UNKNOWN',
  Manifest: 'MANIFEST_UNKNOWN',
  Upload: 'BLOB_UPLOAD_UNKNOWN',
};

export interface OciAnswer {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** @param code replaces the table's: `DIGEST_INVALID` and the like, where the door knows better */
export function ociAnswer(error: JobpassError | Refusal, code?: string): OciAnswer {
  const row = ociErrors[error.code];
  const detail = 'detail' in error ? error.detail : error;
  const what = detail.what === undefined ? undefined : missing[detail.what];
  // A manifest that names what is not there is the client's mistake (specification: 404 MANIFEST_BLOB_UNKNOWN); any other absence is 404.
  const retry = row.status === 503 || row.status === 429 ? { 'retry-after': '5' } : {};
  const message =
    error.code === 'internal'
      ? 'Internal error'
      : error.code === 'not_found' && what === undefined
        ? 'There is no such repository.'
        : error.message;
  return { status: row.status, code: code ?? what ?? row.code, message, headers: retry };
}

export function answerOci(response: ServerResponse, answer: OciAnswer): void {
  const text = ociText(answer);
  response.writeHead(answer.status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), ...answer.headers });
  response.end(text);
}

/** Its body. */
export function ociText({ code, message }: OciAnswer): string {
  return JSON.stringify({ errors: [{ code, message }] });
}
