import { isJobpassError, JobpassError } from '../../base/errors.ts';
import { type JobId, parseId } from '../../base/ids.ts';
import type { Door } from '../door.ts';
import { lingerUnread } from '../unread.ts';
import { Call, type RunnerDoorDeps } from './call.ts';
import { answerRunnerError } from './errors.ts';
import { register, resetToken, unregister, unregisterManager, verify } from './registering.ts';
import { appendTrace, authorizeUpload, download, update, upload } from './reports.ts';
import { requestJob } from './request.ts';

/** What a runner calls about itself. */
const routes: ReadonlyMap<string, (call: Call) => Promise<void>> = new Map([
  ['POST /api/v4/runners', register],
  ['DELETE /api/v4/runners', unregister],
  ['POST /api/v4/runners/verify', verify],
  ['DELETE /api/v4/runners/managers', unregisterManager],
  ['POST /api/v4/runners/reset_authentication_token', resetToken],
  // No job router is here: requests go on coming through us (runner-protocol §10).
  ['GET /api/v4/runners/router/discovery', (call) => Promise.resolve(call.json(501, { message: '501 Not Implemented' }))],
  ['POST /api/v4/jobs/request', requestJob],
]);

/** What it calls about a job. */
const jobRoutes: ReadonlyMap<string, (call: Call, job: JobId) => Promise<void>> = new Map([
  ['PUT ', update],
  ['PATCH /trace', appendTrace],
  ['POST /artifacts', upload],
  ['POST /artifacts/authorize', authorizeUpload],
  ['GET /artifacts', download],
]);

const paths = new Set([...routes.keys()].map((route) => route.split(' ')[1] ?? ''));
const jobPath = /^\/api\/v4\/jobs\/([1-9]\d{0,14})(|\/trace|\/artifacts|\/artifacts\/authorize)$/;

/** The Runner API: what gitlab-runner and the jobpass runner call. @see GitLab: `POST /api/v4/jobs/request` and friends */
export function makeRunnerDoor(deps: RunnerDoorDeps): Door {
  deps.draining.addEventListener('abort', () => deps.jobs.queue.close(), { once: true });
  return {
    kind: 'raw',
    name: 'runner',
    matches: (path) => paths.has(path) || jobPath.test(path),
    async handle(request, response, context) {
      try {
        await serve(new Call(deps, request, response, context));
      } catch (error) {
        const known = isJobpassError(error) ? error : new JobpassError('internal', {}, error);
        if (known.code === 'internal') deps.log.error('runner_door.failed', { requestId: context.requestId }, known);
        // Who hung up hears nothing.
        if (response.headersSent || (request.destroyed && !request.complete)) return void response.destroy();
        lingerUnread(request, response);
        answerRunnerError(response, known);
      }
    },
  };
}

function serve(call: Call): Promise<void> | void {
  const method = call.request.method ?? '';
  const { path } = call.context;
  const job = jobPath.exec(path);
  const id = parseId<JobId>(job?.[1] ?? '');
  const ofJob = id === undefined ? undefined : jobRoutes.get(`${method} ${job?.[2] ?? ''}`);
  if (ofJob !== undefined && id !== undefined) return ofJob(call, id);
  const own = routes.get(`${method} ${path}`);
  return own === undefined ? call.json(405, { error: '405 Not Allowed' }) : own(call);
}
