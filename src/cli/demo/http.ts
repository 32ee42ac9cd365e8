import { request } from 'undici';
import { JobpassError } from '../../base/errors.ts';
import type { Secret } from '../../base/secret.ts';

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** One call to the demo's own server; the token travels in a header, and the answer's body is JSON or text of at most 1 MiB. */
export async function call(base: string, token: Secret, method: 'GET' | 'POST' | 'PUT', path: string, body?: unknown): Promise<Answer> {
  const answer = await request(`${base}${path}`, {
    method,
    headers: { 'private-token': token.reveal(), ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    body: body === undefined ? null : JSON.stringify(body),
  });
  const text = await answer.body.text();
  const json = String(answer.headers['content-type'] ?? '').startsWith('application/json');
  return { status: answer.statusCode, body: json && text !== '' ? JSON.parse(text) : text };
}

/** An API of one user that insists on success. */
export class Api {
  readonly #base: string;
  readonly #token: Secret;

  constructor(base: string, token: Secret) {
    this.#base = base;
    this.#token = token;
  }

  get(path: string): Promise<unknown> {
    return this.#expect('GET', path);
  }

  post(path: string, body: unknown): Promise<unknown> {
    return this.#expect('POST', path, body);
  }

  put(path: string, body: unknown): Promise<unknown> {
    return this.#expect('PUT', path, body);
  }

  async #expect(method: 'GET' | 'POST' | 'PUT', path: string, body?: unknown): Promise<unknown> {
    const answer = await call(this.#base, this.#token, method, path, body);
    if (answer.status >= 300) {
      throw new JobpassError(
        'upstream_failed',
        `${method} ${path} answered ${answer.status}: ${JSON.stringify(answer.body).slice(0, 500)}`,
      );
    }
    return answer.body;
  }
}

/** Reads a number field of an answer. */
export function numberOf(body: unknown, field: string): number {
  const value = fieldOf(body, field);
  if (typeof value !== 'number') throw new JobpassError('upstream_failed', `the answer has no number ${field}`);
  return value;
}

/** Reads a text field of an answer. */
export function textOf(body: unknown, field: string): string {
  const value = fieldOf(body, field);
  if (typeof value !== 'string') throw new JobpassError('upstream_failed', `the answer has no text ${field}`);
  return value;
}

/** A field of an answer, undefined where there is none. */
export function fieldOf(body: unknown, field: string): unknown {
  return typeof body === 'object' && body !== null && Object.hasOwn(body, field) ? (body as Record<string, unknown>)[field] : undefined;
}

/** The rows of a list answer. */
export function rowsOf(body: unknown): readonly unknown[] {
  return Array.isArray(body) ? body : [];
}
