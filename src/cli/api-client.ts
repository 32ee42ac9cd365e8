import { request } from 'undici';
import { JobpassError } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';
import { saidIn } from '../wire/said.ts';
import { fileProblem, readSecretFile, secretFromEnv, serverUrl } from './config.ts';

/** The commands' way to a server: token from JOBPASS_TOKEN or JOBPASS_TOKEN_FILE, in a header. */
export class ApiClient {
  readonly #base: string;
  readonly #token: Secret;

  /**
   * @param tokenFile goes before the environment
   * @param variables where the token may be, the first that is set
   */
  constructor(url: string | undefined, tokenFile?: string, variables: readonly string[] = ['JOBPASS_TOKEN']) {
    this.#base = serverUrl(url);
    const token = tokenFile === undefined ? firstOf(variables) : readSecret(tokenFile);
    if (token === undefined || token === '')
      throw new JobpassError('invalid_input', 'Give an access token in JOBPASS_TOKEN, or a file with it in JOBPASS_TOKEN_FILE.');
    this.#token = new Secret(token);
  }

  /** @throws the server's answer in words */
  async call(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<unknown> {
    const answer = await request(`${this.#base}${path}`, {
      method,
      headers: { 'private-token': this.#token.reveal(), ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const text = await answer.body.text();
    if (answer.statusCode >= 300) throw refused(method, path, answer.statusCode, text);
    return text === '' ? undefined : parsed(text);
  }

  /** Sends a form to one of the pass's own routes. @param field in which the pass goes */
  async form(path: string, field: 'token' | 'subject_token' = 'token', more: readonly [string, string][] = []): Promise<unknown> {
    const answer = await request(`${this.#base}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams([[field, this.#token.reveal()], ...more]).toString(),
    });
    const text = await answer.body.text();
    if (answer.statusCode >= 300) throw refused('POST', path, answer.statusCode, text);
    return parsed(text);
  }
}

function refused(method: string, path: string, status: number, text: string): JobpassError {
  const said = saidIn(text);
  // GitLab's own words begin with the status mostly.
  return new JobpassError('upstream_failed', `${method} ${path}: ${said.startsWith(String(status)) ? said : `${status} ${said}`}`);
}

function parsed(text: string): unknown {
  try {
    const body: unknown = JSON.parse(text);
    return body;
  } catch (error) {
    throw new JobpassError('upstream_failed', `The server answered something else than JSON: ${saidIn(text)}`, error);
  }
}

function firstOf(variables: readonly string[]): string | undefined {
  for (const name of variables) {
    const token = secretFromEnv(name);
    if (token !== undefined) return token;
  }
  return undefined;
}

function readSecret(path: string): string {
  try {
    return readSecretFile(path);
  } catch (error) {
    throw new JobpassError('invalid_input', `The token file ${path} ${fileProblem(error)}.`, error);
  }
}
