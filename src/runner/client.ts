import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { type Dispatcher, request } from 'undici';
import { JobpassError } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import { Secret } from '../base/secret.ts';
import { saidIn } from '../wire/said.ts';
import type { JobUpdate, RunnerInfo } from '../wire/runner.ts';
import { normalUrl } from './config.ts';
import type { Signer } from './identity.ts';
import { isTable, numberIn, textIn, timeIn } from './parsed.ts';
import { agentFor } from './proxy.ts';

export interface ClientOptions {
  readonly url: string;
  readonly token: Secret;
  readonly systemId: string;
  readonly signer: Signer | undefined;
  readonly tlsCaFile?: string | undefined;
}

/** What a server said when it gave a runner another token. */
export interface RenewedToken {
  /** The one that is dead now. */
  readonly replaced: Secret;
  readonly token: Secret;
  readonly obtainedAt: Date;
  /** Undefined = never. */
  readonly expiresAt: Date | undefined;
}

/** How a job's report was received; `canceling` lets after_script run, `canceled` kills. */
export interface ReportAnswer {
  readonly status: number;
  readonly jobStatus: string | undefined;
  /** Where the server's part of the trace ends, as it says after a 416. */
  readonly offsetBytes: number;
  /** Seconds between trace updates that the server wishes. */
  readonly intervalSeconds: number | undefined;
}

export interface JobAnswer {
  readonly status: number;
  /** The parsed body of a 201. */
  readonly body?: unknown;
  /** What a refusal says. */
  readonly said?: string;
  readonly lastUpdate: string | undefined;
  /** How long a server that is busy or that limits wants to be left alone. */
  readonly waitMs: number | undefined;
}

export interface TracePart {
  readonly startBytes: number;
  readonly bytes: Buffer;
  /** It shows commands with their values expanded (CI_DEBUG_TRACE). */
  readonly debugTrace: boolean;
}

type Headers = Record<string, string>;
interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly headers?: Headers;
  readonly body?: Buffer;
  readonly signed?: boolean;
  readonly signal?: AbortSignal | undefined;
}

const retried = (status: number): boolean => [408, 429, 500, 502, 503, 504].includes(status) || status >= 512;
const tokenHint = 'Its token is the glrt-… one that the making of the runner showed, and the runner must still be there.';
const attempts = 5;
const headersTimeoutMs = 600_000;
const longestWaitMs = 60_000;
const maxAnswerBytes = 4 * 1024 * 1024;

/** Speaks the Runner API to one server. Follows no redirect (R16, A21). @see GitLab Runner API */
export class RunnerClient {
  readonly #origin: string;
  readonly #authority: string;
  readonly #prefix: string;
  readonly #options: ClientOptions;
  #token: Secret;
  readonly #agent: Dispatcher;

  constructor(options: ClientOptions) {
    const url = URL.canParse(options.url) ? new URL(normalUrl(options.url)) : undefined;
    if (url === undefined || !['http:', 'https:'].includes(url.protocol) || url.username !== '' || url.search !== '')
      throw new JobpassError('invalid_input', 'The url of a runner is http(s)://HOST[:PORT][/PATH].');
    this.#origin = url.origin;
    this.#authority = url.host;
    this.#prefix = url.pathname.replace(/\/$/, '');
    this.#options = options;
    this.#token = options.token;
    const ca = options.tlsCaFile === undefined ? undefined : authorityIn(options.tlsCaFile);
    this.#agent = agentFor(url, { headersTimeout: headersTimeoutMs, bodyTimeout: 300_000, ca });
  }

  /** @returns the runner's id, and when its token ends. @throws credential_invalid, upstream_failed */
  async verify(info: RunnerInfo): Promise<{ readonly id: number; readonly expiresAt: Date | undefined }> {
    const body = this.#runnerBody({ info });
    const answer = await this.#call({ method: 'POST', path: '/api/v4/runners/verify', headers: this.#runnerHeaders(), body, signed: true });
    const text = await readText(answer);
    if (answer.statusCode === 403)
      throw new JobpassError('credential_invalid', `The server does not take this runner: ${saidIn(text)}. ${tokenHint}`);
    if (answer.statusCode !== 200) throw unexpected('verify', answer.statusCode, text);
    const parsed = parseJson(text);
    const id = isTable(parsed) ? numberIn(parsed, 'id') : undefined;
    if (id === undefined || id <= 0) throw new JobpassError('upstream_failed', 'The server answered without a runner id.');
    return { id, expiresAt: isTable(parsed) ? timeIn(parsed, 'token_expires_at') : undefined };
  }

  /** Trades the token for a fresh one, which this client uses from then on. @throws credential_invalid, upstream_failed */
  async resetToken(): Promise<RenewedToken> {
    const replaced = this.#token;
    const body = Buffer.from(JSON.stringify({ token: replaced.reveal() }));
    const headers = { 'content-type': 'application/json' };
    const path = '/api/v4/runners/reset_authentication_token';
    const answer = await this.#call({ method: 'POST', path, headers, body, signed: true });
    const text = await readText(answer);
    if (answer.statusCode === 403) throw new JobpassError('credential_invalid', 'The server does not know this runner.');
    // What a refusal says is shown; what a success says holds the token.
    if (answer.statusCode !== 201) throw unexpected('reset of the token', answer.statusCode, text);
    const parsed = parseJson(text);
    const token = isTable(parsed) ? textIn(parsed, 'token') : undefined;
    if (!isTable(parsed) || token === undefined || token === '')
      throw new JobpassError('upstream_failed', 'The server answered without a token.');
    this.#token = new Secret(token);
    return { replaced, token: this.#token, obtainedAt: new Date(), expiresAt: timeIn(parsed, 'token_expires_at') };
  }

  /** Takes the runner off the server. @throws credential_invalid, upstream_failed */
  async unregister(): Promise<void> {
    const answer = await this.#call({
      method: 'DELETE',
      path: '/api/v4/runners',
      headers: this.#runnerHeaders(),
      body: this.#runnerBody({}),
    });
    const text = await readText(answer);
    if (answer.statusCode === 403) throw new JobpassError('credential_invalid', 'The server does not know this runner.');
    if (answer.statusCode !== 204) throw unexpected('unregister', answer.statusCode, text);
  }

  async requestJob(info: RunnerInfo, lastUpdate: string | undefined, signal: AbortSignal): Promise<JobAnswer> {
    const body = this.#runnerBody({ info, ...(lastUpdate === undefined ? {} : { last_update: lastUpdate }) });
    const answer = await this.#once({
      method: 'POST',
      path: '/api/v4/jobs/request',
      headers: this.#runnerHeaders(),
      body,
      signed: true,
      signal,
    });
    const text = await readText(answer);
    return {
      status: answer.statusCode,
      lastUpdate: header(answer, 'x-gitlab-last-update'),
      waitMs: retried(answer.statusCode) ? wishedMs(answer) : undefined,
      ...(answer.statusCode === 201 ? { body: parseJson(text) } : {}),
      ...(answer.statusCode >= 300 ? { said: saidIn(text) } : {}),
    };
  }

  async updateJob(job: number, token: Secret, update: JobUpdate, signal?: AbortSignal): Promise<ReportAnswer> {
    const body = Buffer.from(JSON.stringify({ token: token.reveal(), ...update }));
    const headers = { 'job-token': token.reveal(), 'content-type': 'application/json' };
    return this.#report({ method: 'PUT', path: `/api/v4/jobs/${job}`, headers, body, signal });
  }

  async patchTrace(job: number, token: Secret, part: TracePart, signal?: AbortSignal): Promise<ReportAnswer> {
    const { startBytes, bytes, debugTrace } = part;
    const headers = {
      'job-token': token.reveal(),
      'content-type': 'text/plain',
      'content-range': `${startBytes}-${startBytes + bytes.length - 1}`,
    };
    return this.#report({ method: 'PATCH', path: `/api/v4/jobs/${job}/trace?debug_trace=${debugTrace}`, headers, body: bytes, signal });
  }

  /** @param body multipart, streamed once; the caller retries with a fresh one. @returns the status */
  async uploadArtifacts(
    job: number,
    token: Secret,
    query: URLSearchParams,
    type: string,
    body: Readable,
    signal: AbortSignal,
  ): Promise<number> {
    const answer = await request(`${this.#origin}${this.#prefix}/api/v4/jobs/${job}/artifacts?${query.toString()}`, {
      dispatcher: this.#agent,
      method: 'POST',
      headers: { ...commonHeaders(), 'job-token': token.reveal(), 'content-type': type },
      body,
      signal,
    });
    await readText(answer);
    return answer.statusCode;
  }

  /** @returns the archive, or the status of a refusal */
  async downloadArtifacts(job: number, token: Secret, signal?: AbortSignal): Promise<Readable | number> {
    const headers = { 'job-token': token.reveal() };
    const answer = await this.#call({ method: 'GET', path: `/api/v4/jobs/${job}/artifacts`, headers, signal });
    if (answer.statusCode === 200) return answer.body;
    await readText(answer);
    return answer.statusCode;
  }

  /** Gives a pass back (RFC 7009). @returns true when the server says that it is dead */
  async revoke(pass: Secret): Promise<boolean> {
    const body = Buffer.from(new URLSearchParams({ token: pass.reveal() }).toString());
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const answer = await this.#call({ method: 'POST', path: '/-/jobpass/oauth/revoke', headers, body });
    await readText(answer);
    return answer.statusCode === 200;
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  #runnerHeaders(): Headers {
    return { 'runner-token': this.#token.reveal(), 'content-type': 'application/json' };
  }

  #runnerBody(fields: object): Buffer {
    return Buffer.from(JSON.stringify({ token: this.#token.reveal(), system_id: this.#options.systemId, ...fields }));
  }

  async #report(call: Call): Promise<ReportAnswer> {
    const answer = await this.#call(call);
    await readText(answer);
    const range = /-(\d{1,15})$/.exec(header(answer, 'range') ?? '');
    const interval = Number(header(answer, 'x-gitlab-trace-update-interval') ?? Number.NaN);
    return {
      status: answer.statusCode,
      jobStatus: header(answer, 'job-status'),
      offsetBytes: Number(range?.[1] ?? 0),
      intervalSeconds: interval > 0 ? Math.min(interval, 900) : undefined,
    };
  }

  /** gitlab-runner's inner retry; transport errors are the caller's. */
  async #call(call: Call): Promise<Dispatcher.ResponseData> {
    for (let attempt = 1; ; attempt += 1) {
      const answer = await this.#once(call);
      if (!retried(answer.statusCode) || attempt === attempts) return answer;
      await readText(answer);
      await delay(waitMs(answer, attempt), undefined, call.signal === undefined ? {} : { signal: call.signal });
    }
  }

  async #once(call: Call): Promise<Dispatcher.ResponseData> {
    const path = `${this.#prefix}${call.path}`;
    const { signer } = this.#options;
    const signature =
      call.signed === true && signer !== undefined
        ? signer.headers(call.method, path.split('?')[0] ?? '', this.#authority, call.body ?? Buffer.alloc(0))
        : {};
    return request(`${this.#origin}${path}`, {
      dispatcher: this.#agent,
      method: call.method,
      headers: { ...commonHeaders(), ...call.headers, ...signature },
      ...(call.body === undefined ? {} : { body: call.body }),
      ...(call.signal === undefined ? {} : { signal: call.signal }),
    });
  }
}

function authorityIn(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new JobpassError('invalid_input', `tls-ca-file: ${path} cannot be read.`, error);
  }
}

function commonHeaders(): Headers {
  return { 'user-agent': 'jobpass-runner', 'x-request-id': randomBytes(16).toString('hex') };
}

function header(answer: Dispatcher.ResponseData, name: string): string | undefined {
  const value = answer.headers[name];
  return typeof value === 'string' ? value : undefined;
}

/** As a server that limits says, but a minute at most; else doubling, with jitter. @see protocol notes §0 */
function waitMs(answer: Dispatcher.ResponseData, attempt: number): number {
  return wishedMs(answer) ?? 100 * 2 ** attempt * (0.5 + Math.random() / 2);
}

function wishedMs(answer: Dispatcher.ResponseData): number | undefined {
  const reset = Date.parse(header(answer, 'ratelimit-resettime') ?? '');
  if (!Number.isNaN(reset)) return Math.min(Math.max(0, reset - Date.now()), longestWaitMs);
  const after = header(answer, 'retry-after');
  if (after !== undefined && /^\d{1,6}$/.test(after)) return Math.min(Number(after) * 1000, longestWaitMs);
  return undefined;
}

async function readText(answer: Dispatcher.ResponseData): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer.body) {
    const bytes: Buffer = chunk;
    size += bytes.length;
    if (size > maxAnswerBytes) throw new JobpassError('too_large', 'The server sent more than 4 MiB.');
    parts.push(bytes);
  }
  return Buffer.concat(parts).toString('utf8');
}

function parseJson(text: string): unknown {
  try {
    const parsed: unknown = JSON.parse(text);
    return parsed;
  } catch (error) {
    throw new JobpassError('upstream_failed', 'The server sent malformed JSON.', error);
  }
}

function unexpected(what: string, status: number, text: string): JobpassError {
  return new JobpassError('upstream_failed', `${what}: the server answered ${status}: ${saidIn(text)}`);
}

/** Chunk size of trace updates. */
export const tracePatchBytes = limits.tracePatchBytes;
