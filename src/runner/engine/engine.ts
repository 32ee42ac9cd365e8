import { Agent, type IncomingMessage, request as httpRequest } from 'node:http';
import type { Socket } from 'node:net';
import { type Duplex, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isJobpassError, JobpassError } from '../../base/errors.ts';
import { isTable, numberIn, textIn } from '../parsed.ts';
import { jsonLines } from './json-lines.ts';

/** Docker 19.03 and later, and podman's compatible API, speak it. */
const apiVersion = 'v1.40';
const answerBytes = 16 * 1024 * 1024;
/** Nothing takes an engine so long but a pull, and the end of a container: one that is silent has lost the question. */
const patienceMs = 120_000;

export interface Credential {
  readonly username: string;
  readonly password: string;
  readonly serveraddress: string;
}

export interface PullStep {
  readonly status: string;
}

/** A container's streams, once it was attached to. */
export interface Attached {
  /** The container's standard input. */
  readonly stdin: Duplex;
  /** Frames of both outputs, for `demultiplex`. */
  readonly output: Socket;
}

/**
 * A thin client of the Docker Engine API over its unix socket; podman's works as well. Only what the executor needs.
 * @see Docker Engine API v1.40
 */
export class Engine {
  readonly #socketPath: string;
  readonly #agent: Agent;
  readonly #patienceMs: number;

  constructor(socketPath: string, patience = patienceMs) {
    this.#socketPath = socketPath;
    this.#patienceMs = patience;
    this.#agent = new Agent({ keepAlive: true });
  }

  close(): void {
    this.#agent.destroy();
  }

  /** JSON in, JSON out. @throws upstream_failed with the engine's words, or with the question that it does not answer; not_found for 404 */
  call(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<unknown> {
    return this.#answered(`${method} ${path}`, (signal) => this.#ask(method, path, body, signal));
  }

  /**
   * The exit code of a container, once it has ended, however long that takes.
   * @returns undefined where the engine does not know it: podman 4 says -1 where it looks in between the end and its own tidying
   */
  async wait(container: string, signal: AbortSignal): Promise<number | undefined> {
    const ended = await this.#ask('POST', `/containers/${container}/wait`, undefined, signal);
    const code = isTable(ended) ? numberIn(ended, 'StatusCode') : undefined;
    return code === undefined || code < 0 ? undefined : code;
  }

  async #ask(method: string, path: string, body: unknown, signal: AbortSignal): Promise<unknown> {
    const answer = await this.#send(method, path, body, {}, signal);
    const text = await textOf(answer);
    const status = answer.statusCode ?? 0;
    if (status >= 400) throw engineError(status, text);
    return text === '' ? undefined : parse(text);
  }

  /** @throws upstream_failed where no answer comes, whole, while patience lasts: else a job would hold its slot for ever */
  async #answered<Answer>(question: string, ask: (signal: AbortSignal) => Promise<Answer>): Promise<Answer> {
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(), this.#patienceMs);
    try {
      return await ask(silence.signal);
    } catch (error) {
      if (!silence.signal.aborted) throw error;
      const what = question.replace(/\?.*/, '').slice(0, 200);
      throw new JobpassError('upstream_failed', `The container engine has not answered for ${this.#patienceMs / 1000} s: ${what}`, error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** As `call`, where an answer of 404 or 304 is fine. */
  async callLoosely(method: 'POST' | 'DELETE', path: string): Promise<void> {
    await this.call(method, path).catch((error: unknown) => {
      if (!(error instanceof JobpassError) || error.code !== 'not_found') throw error;
    });
  }

  /** True for podman, whose containers need their limits given. */
  async isPodman(): Promise<boolean> {
    const version = await this.call('GET', '/version');
    const components = isTable(version) && Array.isArray(version['Components']) ? version['Components'].filter(isTable) : [];
    return components.some((component) => /podman/i.test(textIn(component, 'Name') ?? ''));
  }

  /**
   * Pulls an image. The credential goes into this one request, and nowhere else (R6).
   * @param onStep what the engine tells on the way
   * @throws upstream_failed with the registry's words
   */
  async pull(
    reference: string,
    platform: string | undefined,
    credential: Credential | undefined,
    onStep: (step: PullStep) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const auth = credential === undefined ? {} : { 'x-registry-auth': registryAuth(credential) };
    const query = new URLSearchParams({ fromImage: reference, ...(platform === undefined ? {} : { platform }) });
    const answer = await this.#send('POST', `/images/create?${query.toString()}`, undefined, auth, signal);
    await ended(answer, onStep);
  }

  /** Makes an image of one layer. @param name with a tag @param tar of its files @throws upstream_failed */
  async importImage(name: string, tar: Readable): Promise<void> {
    // The tag within `repo`: podman does not look for it in `tag`.
    const path = `/images/create?${new URLSearchParams({ fromSrc: '-', repo: name }).toString()}`;
    await this.#answered('POST /images/create', async (signal) => {
      await ended(await this.#send('POST', path, tar, { 'content-type': 'application/x-tar' }, signal), () => undefined);
    });
  }

  /** Starts a program beside those of a container, and does not wait for it. @throws upstream_failed, not_found */
  async exec(container: string, command: readonly string[]): Promise<void> {
    const made = await this.call('POST', `/containers/${container}/exec`, { Cmd: command });
    const id = isTable(made) ? textIn(made, 'Id') : undefined;
    if (id !== undefined) await this.call('POST', `/exec/${id}/start`, { Detach: true });
  }

  /** Joins a container's streams before it starts, so that nothing is missed. */
  attach(container: string): Promise<Attached> {
    return this.#answered(`POST /containers/${container}/attach`, (signal) => this.#attach(container, signal));
  }

  #attach(container: string, signal: AbortSignal): Promise<Attached> {
    return new Promise((resolve, reject) => {
      const request = httpRequest({
        signal,
        socketPath: this.#socketPath,
        method: 'POST',
        path: `/${apiVersion}/containers/${container}/attach?stream=1&stdin=1&stdout=1&stderr=1`,
        headers: { host: 'docker', connection: 'Upgrade', upgrade: 'tcp' },
      });
      request.once('upgrade', (_answer, socket: Socket, head: Buffer) => {
        if (head.length > 0) socket.unshift(head);
        resolve({ stdin: socket, output: socket });
      });
      request.once('response', (answer) => {
        textOf(answer).then((text) => reject(engineError(answer.statusCode ?? 0, text)), reject);
      });
      request.once('error', (error) => reject(unreachable(this.#socketPath, error)));
      request.end();
    });
  }

  #send(
    method: string,
    path: string,
    body: unknown,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const text = body === undefined || body instanceof Readable ? undefined : JSON.stringify(body);
      const request = httpRequest({
        socketPath: this.#socketPath,
        agent: this.#agent,
        method,
        path: `/${apiVersion}${path}`,
        headers: {
          host: 'docker',
          ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
          ...headers,
        },
        ...(signal === undefined ? {} : { signal }),
      });
      request.once('response', resolve);
      request.once('error', (error) => reject(signal?.aborted === true ? error : unreachable(this.#socketPath, error)));
      if (body instanceof Readable) pipeline(body, request).catch((error: unknown) => reject(unreachable(this.#socketPath, error)));
      else request.end(text);
    });
  }
}

/** What an engine says of something; undefined where it has none of that name. @throws upstream_failed */
export function inspected(engine: Pick<Engine, 'call'>, path: string): Promise<unknown> {
  return engine.call('GET', path).catch((error: unknown) => {
    if (isJobpassError(error, 'not_found')) return undefined;
    throw error;
  });
}

/** Hears of a task of the engine's until it is done. @throws upstream_failed with its words */
async function ended(answer: IncomingMessage, onStep: (step: PullStep) => void): Promise<void> {
  if ((answer.statusCode ?? 0) >= 400) throw engineError(answer.statusCode ?? 0, await textOf(answer));
  for await (const line of jsonLines(answer)) {
    if (!isTable(line)) continue;
    const error = textIn(line, 'error');
    if (error !== undefined) throw new JobpassError('upstream_failed', error);
    const status = textIn(line, 'status');
    if (status !== undefined) onStep({ status });
  }
}

/** base64 in its URL-safe alphabet, but padded: docker takes one without padding for none at all. */
function registryAuth(credential: Credential): string {
  return Buffer.from(JSON.stringify(credential)).toString('base64').replaceAll('+', '-').replaceAll('/', '_');
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer) {
    const bytes: Buffer = chunk;
    size += bytes.length;
    if (size > answerBytes) throw new JobpassError('too_large', 'The container engine says too much.');
    parts.push(bytes);
  }
  return Buffer.concat(parts).toString('utf8');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new JobpassError('upstream_failed', 'The container engine does not speak JSON.', error);
  }
}

function engineError(status: number, text: string): JobpassError {
  let message = text;
  try {
    const parsed: unknown = JSON.parse(text);
    if (isTable(parsed)) message = textIn(parsed, 'message') ?? text;
  } catch {
    // Plain text then.
  }
  return new JobpassError(status === 404 ? 'not_found' : 'upstream_failed', message.trim().slice(0, 2000));
}

function unreachable(socketPath: string, error: unknown): JobpassError {
  return new JobpassError(
    'upstream_failed',
    `The container engine does not answer: is it running, and may the runner use ${socketPath}?`,
    error,
  );
}
