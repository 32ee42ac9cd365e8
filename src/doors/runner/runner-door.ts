import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../../base/clock.ts';
import { isJobpassError, JobpassError } from '../../base/errors.ts';
import { type JobId, parseId, type RunnerId } from '../../base/ids.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { Secret } from '../../base/secret.ts';
import type { Jobs, SignedReport } from '../../jobs/jobs.ts';
import type { Grant } from '../../pass/grant.ts';
import type { Access, Gatekeeper } from '../../pass/subject.ts';
import { parseDuration } from '../../pipeline/duration.ts';
import type { Door, RawContext } from '../door.ts';
import { answerJson } from '../http.ts';
import { type Body, infoOf, readAll, readJson, textOf, updateOf } from './body.ts';
import { answerRunnerError } from './errors.ts';
import { checkSignature } from './signature.ts';
import { receiveUpload } from './upload.ts';

export interface RunnerDoorDeps {
  readonly gatekeeper: Gatekeeper;
  readonly jobs: Jobs;
  readonly clock: Clock;
  readonly log: Log;
  /** Ends long polls when the server drains. */
  readonly draining: AbortSignal;
}

const jobPath = /^\/api\/v4\/jobs\/([1-9]\d{0,14})(\/trace|\/artifacts)?$/;
const traceIntervalSeconds = '3';

/** The Runner API: what gitlab-runner and the jobpass runner call. @see GitLab: `POST /api/v4/jobs/request` and friends */
export function makeRunnerDoor(deps: RunnerDoorDeps): Door {
  return {
    kind: 'raw',
    name: 'runner',
    matches: (path) =>
      path === '/api/v4/runners' ||
      path === '/api/v4/runners/verify' ||
      path === '/api/v4/runners/router/discovery' ||
      path === '/api/v4/jobs/request' ||
      jobPath.test(path),
    async handle(request, response, context) {
      try {
        await new RunnerCall(deps, request, response, context).serve();
      } catch (error) {
        const known = isJobpassError(error) ? error : new JobpassError('internal', {}, error);
        if (known.code === 'internal') deps.log.error('runner_door.failed', { requestId: context.requestId }, known);
        if (response.headersSent) response.destroy();
        else answerRunnerError(response, known);
      }
    },
  };
}

class RunnerCall {
  readonly #deps: RunnerDoorDeps;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #context: RawContext;

  constructor(deps: RunnerDoorDeps, request: IncomingMessage, response: ServerResponse, context: RawContext) {
    this.#deps = deps;
    this.#request = request;
    this.#response = response;
    this.#context = context;
  }

  async serve(): Promise<void> {
    const method = this.#request.method ?? '';
    const { path } = this.#context;
    const job = jobPath.exec(path);
    const jobId = parseId<JobId>(job?.[1] ?? '');
    if (jobId !== undefined && job !== null) {
      if (job[2] === undefined && method === 'PUT') return this.#update(jobId);
      if (job[2] === '/trace' && method === 'PATCH') return this.#trace(jobId);
      if (job[2] === '/artifacts' && method === 'POST') return this.#upload(jobId);
      if (job[2] === '/artifacts' && method === 'GET') return this.#download(jobId);
    }
    if (path === '/api/v4/runners/verify' && method === 'POST') return this.#verify();
    if (path === '/api/v4/runners' && method === 'DELETE') return this.#unregister();
    if (path === '/api/v4/runners/router/discovery' && method === 'GET')
      return answerJson(this.#response, 501, { message: '501 Not Implemented' });
    if (path === '/api/v4/jobs/request' && method === 'POST') return this.#requestJob();
    return answerJson(this.#response, 405, { error: '405 Not Allowed' });
  }

  async #verify(): Promise<void> {
    const { body, raw } = await readJson(this.#request, limits.jobRequestBodyBytes);
    await this.#asRunner(body, 'POST /api/v4/runners/verify', async (grant) => {
      const runner = await this.#deps.jobs.runners.self(grant);
      const check = await checkSignature(this.#deps.jobs, this.#deps.clock, runner.id, this.#request, raw);
      if (check.signed && !check.ok) return this.#badSignature(runner.id, check.why);
      // Trust on first use: the first signed verify is the runner's registration.
      if (check.signed && check.ok) await this.#deps.jobs.runners.pinKey(runner.id, check.key);
      await this.#deps.jobs.runners.touch(runner.id, infoOf(body).version ?? null);
      answerJson(this.#response, 200, {
        id: runner.id,
        token: textOf(body['token']) ?? this.#header('runner-token') ?? '',
        token_expires_at: null,
      });
    });
  }

  async #unregister(): Promise<void> {
    const { body } = await readJson(this.#request, limits.jobRequestBodyBytes);
    await this.#asRunner(body, 'DELETE /api/v4/runners', async (grant) => {
      await this.#deps.jobs.runners.removeSelf(grant);
      this.#response.writeHead(204).end();
    });
  }

  async #requestJob(): Promise<void> {
    const { body, raw } = await readJson(this.#request, limits.jobRequestBodyBytes);
    await this.#asRunner(body, 'POST /api/v4/jobs/request', async (grant) => {
      const { jobs } = this.#deps;
      const runner = await jobs.runners.self(grant);
      const info = infoOf(body);
      const check = await checkSignature(jobs, this.#deps.clock, runner.id, this.#request, raw);
      if (check.signed && !check.ok) return this.#badSignature(runner.id, check.why);
      // Only the pinned key counts (A60).
      const signed: SignedReport | null =
        check.signed && check.key === runner.publicKey && info.jobpass !== undefined
          ? { verdict: info.jobpass.verdict, unsafe: info.jobpass.unsafe }
          : null;
      await jobs.runners.touch(runner.id, info.version ?? null);
      const gone = new AbortController();
      this.#response.once('close', () => gone.abort());
      const version = jobs.queue.version(runner.id);
      let claim = await jobs.queue.claim(runner, signed, this.#context.secure);
      if (claim === undefined && textOf(body['last_update']) === version) {
        const changed = await jobs.queue.wait(runner.id, version, limits.longPollMs, AbortSignal.any([gone.signal, this.#deps.draining]));
        if (changed && !gone.signal.aborted) claim = await jobs.queue.claim(runner, signed, this.#context.secure);
      }
      if (claim === undefined) {
        this.#response.setHeader('x-gitlab-last-update', jobs.queue.version(runner.id));
        this.#response.writeHead(204).end();
        return;
      }
      if (!gone.signal.aborted) answerJson(this.#response, 201, claim.payload);
      // Nobody took it: it goes back, with its passes dead.
      if (!(await this.#delivered())) await claim.withdraw();
    });
  }

  /** 401, not 403: a clock that is off, or somebody who replays, must not make a runner fall silent for an hour. */
  #badSignature(runner: RunnerId, why: string): void {
    this.#deps.log.warn('runner.bad_signature', { runner, why });
    answerJson(this.#response, 401, { message: `401 Unauthorized - ${why}` });
  }

  /** Whether the whole answer went out to the connection. */
  #delivered(): Promise<boolean> {
    const response = this.#response;
    if (response.writableFinished || response.destroyed) return Promise.resolve(response.writableFinished);
    return new Promise((resolve) => response.once('close', () => resolve(response.writableFinished)));
  }

  async #update(id: JobId): Promise<void> {
    const { body } = await readJson(this.#request, limits.jobRequestBodyBytes);
    await this.#asJob(id, body, 'PUT /api/v4/jobs/:id', async () => {
      const { answer, status } = await this.#deps.jobs.reports.update(id, updateOf(body));
      this.#response.setHeader('job-status', status);
      this.#response.setHeader('x-gitlab-trace-update-interval', traceIntervalSeconds);
      const code = { ok: 200, accepted: 202, resend_trace: 412, gone: 403 }[answer];
      answerJson(this.#response, code, { message: String(code) });
    });
  }

  async #trace(id: JobId): Promise<void> {
    const range = /^(\d{1,15})-(\d{1,15})?$/.exec(this.#header('content-range') ?? '');
    await this.#asJob(id, {}, 'PATCH /api/v4/jobs/:id/trace', async () => {
      if (range === null) throw new JobpassError('invalid_input', 'Missing header Content-Range');
      const bytes = await readAll(this.#request, limits.tracePatchBytes);
      const { sizeBytes, status } = await this.#deps.jobs.reports.appendTrace(id, Number(range[1]), bytes);
      this.#response.setHeader('job-status', status);
      this.#response.setHeader('range', `0-${sizeBytes}`);
      this.#response.setHeader('x-gitlab-trace-update-interval', traceIntervalSeconds);
      answerJson(this.#response, 202, { message: '202 Accepted' });
    });
  }

  async #upload(id: JobId): Promise<void> {
    await this.#asJob(id, {}, 'POST /api/v4/jobs/:id/artifacts', async () => {
      const expire = this.#context.query.get('expire_in');
      // Other types would take the archive's place.
      const [type, format] = [this.#context.query.get('artifact_type'), this.#context.query.get('artifact_format')];
      if ((type !== null && type !== '' && type !== 'archive') || (format !== null && format !== '' && format !== 'zip'))
        throw new JobpassError('invalid_input', 'Only artifacts of type archive in format zip are kept.');
      const seconds = expire === null || expire === '' || expire === 'never' ? null : (parseDuration(expire) ?? null);
      const { reports } = this.#deps.jobs;
      const sizeBytes = await receiveUpload(
        this.#request,
        async (name, body) => (await reports.storeArtifacts(id, name, body, seconds)).sizeBytes,
      );
      answerJson(this.#response, 201, { message: '201 Created', size: sizeBytes });
    });
  }

  /** Artifacts of a job that this one depends on; the token is the running job's own. */
  async #download(wanted: JobId): Promise<void> {
    const secret = this.#jobToken({});
    await this.#admitted(
      secret,
      'job_token',
      [{ permission: 'job:self', resource: { kind: 'instance' } }],
      'GET /api/v4/jobs/:id/artifacts',
      async (grant) => {
        const { identity } = grant;
        const found = identity.kind === 'job' ? await this.#deps.jobs.reports.dependencyArtifacts(identity.jobId, wanted) : undefined;
        if (found === undefined) return answerJson(this.#response, 404, { message: '404 Not Found' });
        this.#response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': found.sizeBytes });
        await new Promise<void>((resolve) => {
          found.body.once('error', () => this.#response.destroy());
          this.#response.once('close', () => {
            found.body.destroy();
            resolve();
          });
          found.body.pipe(this.#response);
        });
      },
    );
  }

  async #asRunner(body: Body, endpoint: string, work: (grant: Grant) => Promise<void>): Promise<void> {
    const secret = this.#oneOf(this.#header('runner-token'), textOf(body['token']));
    await this.#admitted(secret, 'runner_token', [{ permission: 'runner:self', resource: { kind: 'instance' } }], endpoint, work);
  }

  async #asJob(id: JobId, body: Body, endpoint: string, work: (grant: Grant) => Promise<void>): Promise<void> {
    try {
      await this.#admitted(
        this.#jobToken(body),
        'job_token',
        [{ permission: 'job:report', resource: { kind: 'job', id } }],
        endpoint,
        work,
      );
    } catch (error) {
      // The token died with its job: its state is how the runner learns that (Job-Status; 403 is the kill switch).
      if (isJobpassError(error, 'pass_dead'))
        this.#response.setHeader('job-status', await this.#deps.jobs.reports.status(id).catch(() => 'failed'));
      throw error;
    }
  }

  async #admitted(
    secret: Secret,
    carrier: 'job_token' | 'runner_token',
    accesses: readonly Access[],
    endpoint: string,
    work: (grant: Grant) => Promise<void>,
  ): Promise<void> {
    const { gatekeeper } = this.#deps;
    const admission = await gatekeeper.admit({ kind: 'secret', secret, carrier }, accesses, {
      door: 'runner',
      endpoint,
      requestId: this.#context.requestId,
      secure: this.#context.secure,
    });
    if (!admission.ok) throw new JobpassError(admission.refusal.code, admission.refusal.message);
    try {
      await work(admission.grant);
      await gatekeeper.settle(admission.grant, 'done');
    } catch (error) {
      await gatekeeper.settle(admission.grant, 'failed');
      throw error;
    }
  }

  #jobToken(body: Body): Secret {
    return this.#oneOf(this.#header('job-token'), textOf(body['token']));
  }

  /** Header and body may both carry the token, but never two different ones (R17). */
  #oneOf(header: string | undefined, body: string | undefined): Secret {
    if (header !== undefined && body !== undefined && header !== body)
      throw new JobpassError('credential_misplaced', 'Two different tokens.');
    const text = header ?? body;
    if (text === undefined || text === '') throw new JobpassError('credential_missing');
    return new Secret(text);
  }

  #header(name: string): string | undefined {
    const value = this.#request.headers[name];
    return typeof value === 'string' ? value : undefined;
  }
}
