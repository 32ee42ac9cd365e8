import { readFile } from 'node:fs/promises';
import { Pool } from 'undici';
import { JobpassError } from '../../base/errors.ts';
import { Secret } from '../../base/secret.ts';
import { Breaker } from './breaker.ts';
import { type Fields, listOf } from './json.ts';

export interface ClientConfig {
  /** Origin of the forge. */
  readonly url: string;
  /** File with an administrator's token of scope `api`; read again when the forge no longer takes it. */
  readonly adminTokenFile: string;
  /** PEM of the authority that signed its certificate, where the system does not know it. */
  readonly ca: string | undefined;
  readonly timeoutMs?: number;
}

export interface UpstreamAnswer {
  readonly status: number;
  /** Parsed JSON; undefined for an empty answer. */
  readonly body: unknown;
  header(name: string): string | undefined;
}

const answerBytes = 8 * 1024 * 1024;
const tokenBytes = 4096;

/**
 * The forge behind the gateway, asked by the gateway itself. Only clear answers come back: 2xx, 401, 403, 404, 409 and 422; everything else, also
 * a redirect, is `upstream_failed`.
 */
export class UpstreamClient {
  readonly breaker = new Breaker();
  readonly #config: ClientConfig;
  readonly #pool: Pool;
  /** Whether a job lives is asked in no line: what others ask for would cut what its pass has in flight (R2). */
  readonly #ofJobs: Pool;
  /** Whose token it is may be asked by anybody. */
  readonly #ofStrangers: Pool;
  #admin: Promise<Secret> | undefined;

  constructor(config: ClientConfig) {
    this.#config = config;
    const timeout = config.timeoutMs ?? 10_000;
    const pool = (connections: number): Pool =>
      new Pool(config.url, {
        connections,
        pipelining: 1,
        headersTimeout: timeout,
        bodyTimeout: timeout,
        maxResponseSize: answerBytes,
        connect: { timeout, ...(config.ca === undefined ? {} : { ca: config.ca }) },
      });
    this.#pool = pool(64);
    this.#ofJobs = pool(32);
    this.#ofStrangers = pool(16);
  }

  /** The administrator's own token, for requests that name whom it acts for. @throws upstream_failed */
  adminToken(): Promise<Secret> {
    return this.#token();
  }

  /** With the admin token. @param path below `/api/v4` @throws upstream_failed */
  async ask(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<UpstreamAnswer> {
    const at = `/api/v4${path}`;
    const first = await this.#call(method, at, { 'private-token': (await this.#token()).reveal() }, body);
    if (first.status !== 401) return first;
    // It may have been rotated: the file is the truth.
    this.#admin = undefined;
    const again = await this.#call(method, at, { 'private-token': (await this.#token()).reveal() }, body);
    if (again.status === 401)
      throw new JobpassError('upstream_failed', 'The forge does not take the admin token: see `jobpass gateway doctor`.');
    return again;
  }

  /** With a job's own token. @throws upstream_failed */
  askAsJob(token: Secret, path: string): Promise<UpstreamAnswer> {
    return this.#call('GET', `/api/v4${path}`, { 'job-token': token.reveal() }, undefined, this.#ofJobs);
  }

  /** With somebody's own token. @throws upstream_failed */
  askWith(token: Secret, path: string): Promise<UpstreamAnswer> {
    return this.#call('GET', `/api/v4${path}`, { 'private-token': token.reveal() }, undefined, this.#ofStrangers);
  }

  /** Without a credential in a header: what is sent stands in the body. @throws upstream_failed */
  post(path: string, body: unknown): Promise<UpstreamAnswer> {
    return this.#call('POST', `/api/v4${path}`, {}, body, this.#ofStrangers);
  }

  /** With the admin token. @returns the whole answer, or undefined where there is none @throws upstream_failed */
  async graphql(query: string, variables: Readonly<Record<string, string>>): Promise<unknown> {
    const token = (await this.#token()).reveal();
    const { status, body } = await this.#call('POST', '/api/graphql', { 'private-token': token }, { query, variables });
    return status === 200 ? body : undefined;
  }

  /** The found thing, or undefined where there is none or it is not told. @throws upstream_failed */
  async find(path: string): Promise<unknown> {
    const { status, body } = await this.ask('GET', path);
    return status === 200 ? body : undefined;
  }

  /**
   * Everything of a paged list.
   * @param most rows; more than that is `upstream_failed`, as what is missing could be what matters
   * @throws upstream_failed, also where it is not told
   */
  async list(path: string, most: number, stop?: (row: Fields) => boolean): Promise<readonly Fields[]> {
    const rows: Fields[] = [];
    const separator = path.includes('?') ? '&' : '?';
    for (let page = 1; ; page += 1) {
      const found = await this.page(`${path}${separator}per_page=100&page=${page}`);
      rows.push(...found);
      if (found.length < 100 || (stop !== undefined && found.some(stop))) return rows;
      if (rows.length >= most) throw new JobpassError('upstream_failed', `More than ${most} rows: ${path.split('?', 1)[0] ?? ''}`);
    }
  }

  /** One page of a list. @throws upstream_failed, also where it is not told */
  async page(path: string): Promise<readonly Fields[]> {
    const { status, body } = await this.ask('GET', path);
    if (status !== 200) throw new JobpassError('upstream_failed', `The forge does not tell ${path.split('?', 1)[0] ?? ''} (${status}).`);
    return listOf(body);
  }

  async close(): Promise<void> {
    await Promise.all([this.#pool.destroy(), this.#ofJobs.destroy(), this.#ofStrangers.destroy()]);
  }

  #token(): Promise<Secret> {
    this.#admin ??= readFile(this.#config.adminTokenFile, 'utf8').then(
      (text) => {
        const token = text.slice(0, tokenBytes).trim();
        if (/^[!-~]+$/.test(token)) return new Secret(token);
        this.#admin = undefined;
        throw new JobpassError('upstream_failed', 'The admin token file does not hold a token and nothing else.');
      },
      (error: unknown) => {
        this.#admin = undefined;
        throw new JobpassError('upstream_failed', 'The admin token file cannot be read.', error);
      },
    );
    return this.#admin;
  }

  async #call(
    method: string,
    path: string,
    headers: Readonly<Record<string, string>>,
    body: unknown,
    pool = this.#pool,
  ): Promise<UpstreamAnswer> {
    const { status, text, header } = await this.#answered(pool, method, path, headers, body);
    // A path that a project had before: nothing is there now, and nobody follows (A21).
    const formerPath = status === 301 && method === 'GET' && projectByPath.test(path);
    if (!formerPath && ![200, 201, 202, 204, 401, 403, 404, 409, 422].includes(status)) throw unclear(status, header('retry-after'));
    return { status, body: text === '' || status === 204 ? undefined : parsed(text, status), header };
  }

  /** What the forge says of one odd question (400, 414, 429, 500) is no reason to ask it nothing: else anybody could stop all passes by asking one. */
  #answered(pool: Pool, method: string, path: string, headers: Readonly<Record<string, string>>, body: unknown) {
    return this.breaker.run(async () => {
      const type = body === undefined ? {} : { 'content-type': 'application/json' };
      let answer;
      let text: string;
      try {
        answer = await pool.request({
          method,
          path,
          headers: { ...headers, ...type, accept: 'application/json' },
          body: body === undefined ? null : JSON.stringify(body),
        });
        text = await answer.body.text();
      } catch (error) {
        throw new JobpassError('upstream_failed', { message: 'The forge does not answer.', retryAfterSeconds: 5 }, error);
      }
      const { statusCode: status } = answer;
      const header = (name: string): string | undefined => {
        const value = answer.headers[name];
        return typeof value === 'string' ? value : undefined;
      };
      if (status >= 502 && status <= 504) throw unclear(status, header('retry-after'));
      return { status, text, header };
    }, pool !== this.#ofStrangers);
  }
}

const projectByPath = /^\/api\/v4\/projects\/[^/?]+%2F[^/?]+$/i;

function unclear(status: number, retryAfter: string | undefined): JobpassError {
  const seconds = /^\d{1,4}$/.test(retryAfter ?? '') ? Number(retryAfter) : 5;
  return new JobpassError('upstream_failed', { message: `The forge answered ${status}.`, retryAfterSeconds: seconds });
}

function parsed(text: string, status: number): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (status >= 400) return undefined;
    throw new JobpassError('upstream_failed', 'The forge answered something else than JSON.', error);
  }
}
