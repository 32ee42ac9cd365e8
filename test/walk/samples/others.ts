import type { Samples } from '../sample.ts';

const form = '--b\r\ncontent-disposition: form-data; name="file"; filename="a.zip"\r\n\r\nPK\r\n--b--\r\n';

/** Rows with a credential of their own: a runner's token, the token of a job that runs, or the pass as a form field. */
export const others: Samples = {
  'POST /api/v4/runners/verify': { ok: 200 },
  // Whoever takes part in the walk would lose the runner: tried with credentials that are refused only.
  'DELETE /api/v4/runners': { ok: 204 },
  'DELETE /api/v4/runners/managers': { ok: 204 },
  'POST /api/v4/runners/reset_authentication_token': {},
  // Switched off: the same for everybody.
  'POST /api/v4/runners': { ok: 410 },
  'GET /api/v4/runners/router/discovery': { ok: 501 },
  'POST /api/v4/jobs/request': { ok: 204, body: () => ({ info: {} }) },
  'PUT /api/v4/jobs/:id': { ok: 200, body: () => ({ state: 'running' }) },
  'PATCH /api/v4/jobs/:id/trace': { ok: 202, raw: { type: 'text/plain', text: 'hello', range: '0-4' } },
  'POST /api/v4/jobs/:id/artifacts': { raw: { type: 'multipart/form-data; boundary=b', text: form } },
  'POST /api/v4/jobs/:id/artifacts/authorize': { ok: 200 },
  // Of a job that this one does not depend on.
  'GET /api/v4/jobs/:id/artifacts': { ok: 404, pass: { status: 404, why: "artifacts of other jobs come with the job's own token only" } },
  'POST /-/jobpass/oauth/revoke': { ok: 200 },
  'POST /-/jobpass/oauth/introspect': { ok: 200 },
  'POST /-/jobpass/oauth/token': { ok: 200 },
};
