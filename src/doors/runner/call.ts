import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../../base/clock.ts';
import { isJobpassError, JobpassError } from '../../base/errors.ts';
import type { JobId, RunnerId } from '../../base/ids.ts';
import type { Log } from '../../base/log.ts';
import { Secret } from '../../base/secret.ts';
import type { Jobs } from '../../jobs/jobs.ts';
import type { Grant } from '../../pass/grant.ts';
import type { Access, Carrier, Gatekeeper } from '../../pass/subject.ts';
import type { RawContext } from '../door.ts';
import { answerJson } from '../http.ts';
import { type Body, textOf } from './body.ts';

export interface RunnerDoorDeps {
  readonly gatekeeper: Gatekeeper;
  readonly jobs: Jobs;
  readonly clock: Clock;
  readonly log: Log;
  /** Ends long polls when the server drains. */
  readonly draining: AbortSignal;
}

/** One request at the runner door: who asks, asked of `admit`, and how it is answered. */
export class Call {
  readonly deps: RunnerDoorDeps;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly context: RawContext;

  constructor(deps: RunnerDoorDeps, request: IncomingMessage, response: ServerResponse, context: RawContext) {
    this.deps = deps;
    this.request = request;
    this.response = response;
    this.context = context;
  }

  json(status: number, body: unknown): void {
    answerJson(this.response, status, body);
  }

  header(name: string): string | undefined {
    const value = this.request.headers[name];
    return typeof value === 'string' ? value : undefined;
  }

  /** Works with the runner's own token. */
  async asRunner(body: Body, endpoint: string, work: (grant: Grant) => Promise<void>): Promise<void> {
    const secret = this.#oneOf(this.header('runner-token'), textOf(body['token']));
    await this.admitted(secret, 'runner_token', [{ permission: 'runner:self', resource: { kind: 'instance' } }], endpoint, work);
  }

  /** Works with the token of the job that is reported on. */
  async asJob(id: JobId, body: Body, endpoint: string, work: (grant: Grant) => Promise<void>): Promise<void> {
    try {
      const accesses: readonly Access[] = [{ permission: 'job:report', resource: { kind: 'job', id } }];
      await this.admitted(this.jobToken(body), 'job_token', accesses, endpoint, work);
    } catch (error) {
      // Its state is how a runner learns what became of a job (Job-Status; 403 is the kill switch). Only whoever holds, or held, its token hears it.
      if (isJobpassError(error) && !hidden.has(error.code) && !this.response.headersSent)
        this.response.setHeader('job-status', await this.deps.jobs.reports.status(id).catch(() => 'failed'));
      throw error;
    }
  }

  async admitted(
    secret: Secret,
    carrier: Carrier,
    accesses: readonly Access[],
    endpoint: string,
    work: (grant: Grant) => Promise<void>,
  ): Promise<void> {
    const { gatekeeper } = this.deps;
    const { requestId, secure } = this.context;
    const admission = await gatekeeper.admit({ kind: 'secret', secret, carrier }, accesses, {
      door: 'runner',
      endpoint,
      requestId,
      secure,
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

  jobToken(body: Body): Secret {
    return this.#oneOf(this.header('job-token'), textOf(body['token']));
  }

  /** 401, not 403: a clock that is off, or somebody who replays, must not make a runner fall silent for an hour. */
  badSignature(runner: RunnerId, why: string): void {
    this.deps.log.warn('runner.bad_signature', { runner, why });
    this.json(401, { message: `401 Unauthorized - ${why}` });
  }

  /** Header and body may both carry the token, but never two different ones (R17). */
  #oneOf(header: string | undefined, body: string | undefined): Secret {
    if (header !== undefined && body !== undefined && header !== body)
      throw new JobpassError('credential_misplaced', 'Two different tokens.');
    const text = header ?? body;
    if (text === undefined || text === '') throw new JobpassError('credential_missing');
    return new Secret(text);
  }
}

/** Refusals to somebody who has shown no token of the job. */
const hidden: ReadonlySet<string> = new Set([
  'credential_missing',
  'credential_invalid',
  'credential_misplaced',
  'not_found',
  'access_denied',
]);
