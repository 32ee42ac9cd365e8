import { randomBytes } from 'node:crypto';
import { type IncomingHttpHeaders, request as httpRequest } from 'node:http';
import { crc32 } from 'node:zlib';

/** What came back, as bytes and, where the media type is exactly JSON, decoded. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly raw: Buffer;
  readonly json: unknown;
}

interface Sent {
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly raw?: Buffer;
  /** No Content-Length: as an upload that is made while it is sent. */
  readonly chunked?: boolean;
}

/** What a job's trace tells the runner to do. */
export type Heard = 'go_on' | 'abort' | 'cancel' | 'resume' | 'retry_later';

/** The 31 flags that are always sent, as a docker executor sends them. @see runner-protocol §2 */
export const allFeatures: Readonly<Record<string, boolean>> = Object.fromEntries(
  [
    'variables',
    'image',
    'services',
    'artifacts',
    'cache',
    'fallback_cache_keys',
    'shared',
    'upload_multiple_artifacts',
    'upload_raw_artifacts',
    'session',
    'terminal',
    'refspecs',
    'masking',
    'proxy',
    'raw_variables',
    'artifacts_exclude',
    'multi_build_steps',
    'trace_reset',
    'trace_checksum',
    'trace_size',
    'vault_secrets',
    'cancelable',
    'return_exit_code',
    'service_variables',
    'service_multiple_aliases',
    'image_executor_opts',
    'service_executor_opts',
    'cancel_gracefully',
    'native_steps_integration',
    'two_phase_job_commit',
    'job_inputs',
  ].map((name) => [name, !['shared', 'session', 'terminal', 'proxy', 'native_steps_integration'].includes(name)]),
);

const retried = (status: number): boolean => [408, 429, 500, 502, 503, 504].includes(status) || status >= 512;

/** As the server says: until a time, else for so many seconds; else 100 ms to 60 s, doubling. @see runner-protocol §0 */
function waitOf({ headers }: Answer, attempt: number): number {
  const reset = Date.parse(String(headers['ratelimit-resettime']));
  if (!Number.isNaN(reset)) return Math.max(0, reset - Date.now());
  const after = Number(headers['retry-after']);
  return Number.isInteger(after) ? after * 1000 : Math.min(100 * 2 ** (attempt - 1), 60_000);
}

/**
 * Speaks the Runner API exactly as the reference says that gitlab-runner does: headers, bodies, retries. Waiting is written down instead
 * of done, so that no test sleeps.
 */
export class GitlabRunner {
  /** Without `/api/v4`; a server that starts again may be elsewhere. */
  url: string;
  readonly #systemId: string;
  readonly #features: Readonly<Record<string, boolean>>;
  token: string;
  lastUpdate: string | undefined;
  /** Waits that it would have made, in milliseconds. */
  readonly waits: number[] = [];
  /** Answers in a row that make it fall silent at three. */
  unhealthy = 0;

  constructor(url: string, token: string, options: { systemId?: string; features?: Readonly<Record<string, boolean>> } = {}) {
    this.url = url.replace(/\/(?:ci)?$/, '');
    this.token = token;
    this.#systemId = options.systemId ?? `s_${randomBytes(6).toString('hex')}`;
    this.#features = options.features ?? allFeatures;
  }

  get systemId(): string {
    return this.#systemId;
  }

  get info(): Readonly<Record<string, unknown>> {
    return {
      name: 'gitlab-runner',
      version: '19.4.0',
      revision: 'd79f3e7b',
      platform: 'linux',
      architecture: 'amd64',
      executor: 'docker',
      shell: 'bash',
      features: this.#features,
      config: { gpus: '' },
    };
  }

  /** One request with the inner retries: five attempts in all, waiting as it is told. */
  async send(method: string, path: string, sent: Sent = {}): Promise<Answer> {
    for (let attempt = 1; ; attempt += 1) {
      const answer = await this.once(method, path, sent);
      if (!retried(answer.status) || attempt === 5) return answer;
      this.waits.push(waitOf(answer, attempt));
    }
  }

  /** One request. */
  once(method: string, path: string, { headers = {}, json, raw, chunked = false }: Sent = {}): Promise<Answer> {
    const body = json === undefined ? raw : Buffer.from(JSON.stringify(json));
    return new Promise((resolve, reject) => {
      const request = httpRequest(`${this.url}/api/v4${path}`, {
        method,
        headers: {
          'user-agent': 'gitlab-runner 19.4.0 (19-4-stable; go1.24; linux/amd64)',
          'x-request-id': randomBytes(16).toString('hex'),
          ...(json === undefined ? {} : { 'content-type': 'application/json' }),
          ...(body === undefined || chunked ? {} : { 'content-length': String(body.length) }),
          ...headers,
        },
      });
      request.once('error', reject);
      request.once('response', (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.once('error', reject);
        response.once('end', () => {
          const bytes = Buffer.concat(parts);
          const [mediaType] = (response.headers['content-type'] ?? '').split(';');
          const decodes = mediaType === 'application/json' && bytes.length > 0;
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            raw: bytes,
            json: decodes ? JSON.parse(bytes.toString('utf8')) : undefined,
          });
        });
      });
      if (chunked && body !== undefined) for (let at = 0; at < body.length; at += 1000) request.write(body.subarray(at, at + 1000));
      else if (body !== undefined) request.write(body);
      request.end();
    });
  }

  /** A runner says its token in the body and here. */
  get #auth(): Readonly<Record<string, string>> {
    return { 'runner-token': this.token };
  }

  register(token: string, more: object = {}): Promise<Answer> {
    return this.send('POST', '/runners', { json: { token, info: this.info, ...more } });
  }

  verify(): Promise<Answer> {
    const json = { token: this.token, system_id: this.#systemId, info: this.info };
    return this.send('POST', '/runners/verify', { json, headers: this.#auth });
  }

  unregister(): Promise<Answer> {
    return this.send('DELETE', '/runners', { json: { token: this.token }, headers: this.#auth });
  }

  unregisterManager(): Promise<Answer> {
    const json = { token: this.token, system_id: this.#systemId };
    return this.send('DELETE', '/runners/managers', { json, headers: this.#auth });
  }

  /** Without any token header; the answer's token is used from then on. */
  async resetToken(): Promise<Answer> {
    const answer = await this.send('POST', '/runners/reset_authentication_token', { json: { token: this.token } });
    if (answer.status === 201) this.token = (answer.json as { token: string }).token;
    return answer;
  }

  resetTokenWithPat(id: number, pat: string): Promise<Answer> {
    return this.send('POST', `/runners/${id}/reset_authentication_token`, { json: null, headers: { 'private-token': pat } });
  }

  discovery(): Promise<Answer> {
    return this.send('GET', '/runners/router/discovery', { headers: { 'runner-token': this.token } });
  }

  /** @returns the answer; its version is echoed with the next one */
  async requestJob(): Promise<Answer> {
    const answer = await this.send('POST', '/jobs/request', {
      json: {
        token: this.token,
        system_id: this.#systemId,
        info: this.info,
        ...(this.lastUpdate === undefined ? {} : { last_update: this.lastUpdate }),
      },
      headers: { 'runner-token': this.token },
    });
    const version = answer.headers['x-gitlab-last-update'];
    if (typeof version === 'string') this.lastUpdate = version;
    this.unhealthy = answer.status === 403 ? this.unhealthy + 1 : 0;
    return answer;
  }

  /** A job: what `PUT running` says decides whether it is run. */
  async takeJob(): Promise<RunnerJob | undefined> {
    const answer = await this.requestJob();
    if (answer.status !== 201) return undefined;
    const job = new RunnerJob(this, answer.json as JobAnswer);
    await job.update({ state: 'running' });
    return job;
  }
}

/** The part of a payload that the client itself needs; all of it is in `payload`. */
interface JobAnswer {
  readonly id: number;
  readonly token: string;
  readonly [field: string]: unknown;
}

/** A job that the runner has taken. */
export class RunnerJob {
  readonly #runner: GitlabRunner;
  readonly payload: JobAnswer;
  /** The masked log, as a runner keeps it. */
  log = Buffer.alloc(0);
  sent = 0;
  intervalSeconds = 3;

  constructor(runner: GitlabRunner, payload: JobAnswer) {
    this.#runner = runner;
    this.payload = payload;
  }

  get id(): number {
    return this.payload.id;
  }

  write(text: string): void {
    this.log = Buffer.concat([this.log, Buffer.from(text)]);
  }

  /** Token in header and body; `exit_code` absent when 0. */
  async update(state: { state: string; failure_reason?: string; exit_code?: number }, log = this.log): Promise<Answer> {
    const checksum = `crc32:${crc32(log).toString(16).padStart(8, '0')}`;
    const output = { checksum, bytesize: log.length };
    const answer = await this.#runner.send('PUT', `/jobs/${this.id}`, {
      json: { info: this.#runner.info, token: this.payload.token, ...state, ...(state.state === 'running' ? {} : { checksum, output }) },
      headers: { 'job-token': this.payload.token },
    });
    this.#note(answer);
    return answer;
  }

  /** The next piece of the log, `Content-Range` without unit or total. */
  async patch(content = this.log.subarray(this.sent), start = this.sent): Promise<{ readonly heard: Heard; readonly answer: Answer }> {
    const answer = await this.#runner.send('PATCH', `/jobs/${this.id}/trace?debug_trace=false`, {
      raw: content,
      headers: {
        'job-token': this.payload.token,
        'content-type': 'text/plain',
        'content-range': `${start}-${start + content.length - 1}`,
      },
    });
    this.#note(answer);
    return { heard: this.#heard(answer, start + content.length), answer };
  }

  #heard({ status, headers }: Answer, end: number): Heard {
    const state = headers['job-status'];
    if (status === 403 || state === 'canceled' || state === 'failed') return 'abort';
    if (status === 202) this.sent = end;
    if (status === 416) {
      this.sent = Number(/-(\d+)$/.exec(headers.range ?? '')?.[1] ?? 0);
      return 'resume';
    }
    if (state === 'canceling') return 'cancel';
    return status === 202 ? 'go_on' : 'retry_later';
  }

  /** The end: what is left of the log, then the state, as often as it takes. @returns the answers to the final PUTs */
  async finish(state: 'success' | 'failed', more: { failure_reason?: string; exit_code?: number } = {}): Promise<readonly Answer[]> {
    const answers: Answer[] = [];
    for (let round = 0; round < 10; round += 1) {
      while (this.sent < this.log.length) if (!['go_on', 'resume', 'cancel'].includes((await this.patch()).heard)) break;
      const answer = await this.update({ state, ...more });
      answers.push(answer);
      if ([200, 403, 404].includes(answer.status)) break;
      if (answer.status === 412) this.sent = 0;
      else this.#runner.waits.push(this.intervalSeconds * 1000);
    }
    return answers;
  }

  /** Multipart with one part `file`, chunked, without Content-Length. */
  upload(content: string | Buffer, filename: string, query: string, token = this.payload.token): Promise<Answer> {
    const boundary = 'dbed5b6e5a0f';
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="${filename}"\r\nContent-Type: application/octet-stream\r\n\r\n`;
    return this.#runner.once('POST', `/jobs/${this.id}/artifacts?${query}`, {
      raw: Buffer.concat([Buffer.from(head), Buffer.from(content), Buffer.from(`\r\n--${boundary}--\r\n`)]),
      chunked: true,
      headers: { 'job-token': token, 'content-type': `multipart/form-data; boundary=${boundary}` },
    });
  }

  /** The dependency's own token; the first try asks for a redirect and does not follow it. */
  async download(dependency: { readonly id: number; readonly token: string }): Promise<Answer> {
    const path = `/jobs/${dependency.id}/artifacts`;
    const headers = { 'job-token': dependency.token };
    const first = await this.#runner.once('GET', `${path}?direct_download=true`, { headers });
    return [302, 307].includes(first.status) ? this.#runner.once('GET', path, { headers }) : first;
  }

  #note({ headers }: Answer): void {
    const seconds = Number(headers['x-gitlab-trace-update-interval']);
    // The runner caps it at 15 minutes.
    if (seconds > 0) this.intervalSeconds = Math.min(seconds, 900);
  }
}
