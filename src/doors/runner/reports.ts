import { mayTakeItsTime } from '../http.ts';
import { JobpassError } from '../../base/errors.ts';
import type { JobId } from '../../base/ids.ts';
import { limits } from '../../base/limits.ts';
import { parseDuration } from '../../pipeline/duration.ts';
import { send } from '../send.ts';
import { parseReportKind, readAll, readJson, updateOf } from './body.ts';
import type { Call } from './call.ts';
import { receiveUpload } from './upload.ts';

/** `PUT /jobs/:id`: running, or the end. */
export async function update(call: Call, id: JobId): Promise<void> {
  const { body } = await readJson(call.request, limits.jobRequestBodyBytes);
  await call.asJob(id, body, 'PUT /api/v4/jobs/:id', async () => {
    const { reports } = call.deps.jobs;
    const { answer, status } = await reports.update(id, updateOf(body));
    call.response.setHeader('job-status', status);
    call.response.setHeader('x-gitlab-trace-update-interval', String(answer === 'accepted' ? 1 : reports.intervalSeconds(id)));
    const code = { ok: 200, accepted: 202, resend_trace: 412, gone: 403 }[answer];
    call.json(code, { message: String(code) });
  });
}

/** `PATCH /jobs/:id/trace`: the next piece of the log. */
export async function appendTrace(call: Call, id: JobId): Promise<void> {
  const range = /^(\d{1,15})-(\d{1,15})?$/.exec(call.header('content-range') ?? '');
  await call.asJob(id, {}, 'PATCH /api/v4/jobs/:id/trace', async () => {
    if (range === null) throw new JobpassError('invalid_input', 'Missing header Content-Range');
    const { reports } = call.deps.jobs;
    const bytes = await readAll(call.request, limits.tracePatchBytes);
    const { sizeBytes, status, over } = await reports.appendTrace(id, Number(range[1]), bytes);
    call.response.setHeader('job-status', status);
    call.response.setHeader('range', `0-${sizeBytes}`);
    call.response.setHeader('x-gitlab-trace-update-interval', String(reports.intervalSeconds(id)));
    if (over) return call.json(403, { message: '403 Forbidden - the log is larger than what is kept' });
    call.json(202, { message: '202 Accepted' });
  });
}

/** `POST /jobs/:id/artifacts`: the archive, or a report. */
export async function upload(call: Call, id: JobId): Promise<void> {
  await call.asJob(id, {}, 'POST /api/v4/jobs/:id/artifacts', async () => {
    const { query } = call.context;
    const expire = query.get('expire_in');
    const { type, format } = parseReportKind(query.get('artifact_type'), query.get('artifact_format'));
    const expireInSeconds = expire === null || expire === '' || expire === 'never' ? null : (parseDuration(expire) ?? null);
    const { reports } = call.deps.jobs;
    mayTakeItsTime(call.request, limits.streamedBodyIdleMs);
    const sizeBytes = await receiveUpload(call.request, async (name, body) => {
      if (type === 'archive') return (await reports.storeArtifacts(id, name, body, expireInSeconds)).sizeBytes;
      return (await reports.storeReport(id, { type, format, filename: name }, body, expireInSeconds)).sizeBytes;
    });
    call.response.setHeader('job-status', await reports.status(id));
    call.json(201, { message: '201 Created', size: sizeBytes });
  });
}

/** `POST /jobs/:id/artifacts/authorize`: what a proxy in front asks before it takes an upload. */
export async function authorizeUpload(call: Call, id: JobId): Promise<void> {
  await call.asJob(id, {}, 'POST /api/v4/jobs/:id/artifacts/authorize', async () => {
    const size = Number(call.context.query.get('filesize') ?? 0);
    if (size > limits.artifactBytes) throw new JobpassError('too_large', `An archive has at most ${limits.artifactBytes} bytes.`);
    call.json(200, { MaximumSize: limits.artifactBytes });
  });
}

/** `GET /jobs/:id/artifacts`: of a job that this one depends on; the token is the running job's own. Files are here, so `direct_download` changes nothing. */
export async function download(call: Call, wanted: JobId): Promise<void> {
  const { response } = call;
  const access = { permission: 'job:self', resource: { kind: 'instance' } } as const;
  await call.admitted(call.jobToken({}), 'job_token', [access], 'GET /api/v4/jobs/:id/artifacts', async ({ identity }) => {
    const found = identity.kind === 'job' ? await call.deps.jobs.reports.dependencyArtifacts(identity.jobId, wanted) : undefined;
    if (found === undefined) return call.json(404, { message: '404 Not Found' });
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': found.sizeBytes });
    // Who left, even before this, is no failure of ours.
    await send(found.body, response).catch(() => undefined);
  });
}
