import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { request } from 'undici';
import { silentLog } from '../../src/base/log.ts';
import { randomBase62, Secret } from '../../src/base/secret.ts';
import { type RunningServer, type ServerConfig, startServer } from '../../src/server.ts';

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // A test reads what it asked for; the shape is what it checks.
  readonly body: Record<string, unknown>;
  readonly list: readonly Record<string, unknown>[];
}

/** What tests do with a forge over HTTP. */
export interface ForgeClient {
  readonly root: string;
  call(
    method: string,
    path: string,
    options?: { token?: string; body?: unknown; headers?: Record<string, string>; raw?: string | Uint8Array },
  ): Promise<Reply>;
  /** As `call`, but insists on success and gives the body. */
  must(method: string, path: string, body?: unknown, token?: string): Promise<Record<string, unknown>>;
  user(username: string): Promise<{ id: number; token: string }>;
  /** A private project in a private group of its own. */
  project(path: string): Promise<number>;
  member(project: number, user: number, level: number): Promise<void>;
  /** Commits a file over the API, as `token`. */
  commit(project: number, file: string, content: string, options?: { token?: string; branch?: string; start?: string }): Promise<string>;
  runner(options?: { tags?: string[] }): Promise<{ id: number; token: string }>;
  /** Takes a job by hand, unsigned. @returns the payload, or undefined for 204 */
  claim(runnerToken: string): Promise<Claimed | undefined>;
  finish(job: Claimed, state?: 'success' | 'failed'): Promise<Reply>;
}

/** A whole server in this process on a free port, with a temporary data folder, and what tests do with it. */
export interface TestServer extends RunningServer, ForgeClient {
  readonly dataDir: string;
  stop(): Promise<void>;
}

export interface Claimed {
  readonly id: number;
  readonly token: string;
  readonly fetchPass: string;
  readonly pass: string | undefined;
  readonly payload: Record<string, unknown>;
}

export async function startTestServer(config: Partial<ServerConfig> = {}): Promise<TestServer> {
  const dataDir = config.dataDir ?? (await mkdtemp(join(tmpdir(), 'jobpass-server-')));
  const root = `glpat-${randomBase62(20)}`;
  const server = await startServer(
    {
      dataDir,
      listen: [{ host: '127.0.0.1', port: 0 }],
      database: undefined,
      externalUrls: [],
      registryUrl: undefined,
      tls: undefined,
      allowPlainHttp: false,
      maxExposure: 'replace',
      principals: 'intersect',
      rootToken: new Secret(root),
      version: 'test',
      ...config,
    },
    silentLog,
  );
  const self: TestServer = {
    ...server,
    dataDir,
    ...forgeClient(server.url, root),
    async stop() {
      await server.close(1000);
      if (config.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
    },
  };
  return self;
}

/** What tests do with a forge over HTTP, whoever serves it. @param url of the forge, or of a gateway in front of it @param root an administrator's token there */
export function forgeClient(url: string, root: string): ForgeClient {
  const call: ForgeClient['call'] = async (method, path, options = {}) => {
    const { body, raw } = options;
    const type = typeof raw === 'string' ? 'text/plain;charset=UTF-8' : body === undefined ? undefined : 'application/json';
    // Not `fetch`: a walk asks tens of thousands of times, and it takes twice the processor time.
    const response = await request(`${url}${path}`, {
      method,
      headers: {
        accept: '*/*',
        ...(options.token === undefined ? {} : { 'private-token': options.token }),
        ...(type === undefined ? {} : { 'content-type': type }),
        ...options.headers,
      },
      body: raw ?? (body === undefined ? null : JSON.stringify(body)),
    });
    const headers = new Headers();
    for (const [name, value = []] of Object.entries(response.headers)) for (const one of [value].flat()) headers.append(name, one);
    const text = await response.body.text();
    const json: unknown = (headers.get('content-type') ?? '').startsWith('application/json') && text !== '' ? JSON.parse(text) : {};
    return {
      status: response.statusCode,
      headers,
      text,
      body: Array.isArray(json) ? {} : (json as Record<string, unknown>),
      list: Array.isArray(json) ? json : [],
    };
  };
  const must: ForgeClient['must'] = async (method, path, body, token = root) => {
    const reply = await call(method, path, { token, ...(body === undefined ? {} : { body }) });
    if (reply.status >= 300) throw new Error(`${method} ${path}: ${reply.status} ${reply.text}`);
    return reply.body;
  };
  return {
    root,
    call,
    must,
    async user(username) {
      const { id } = await must('POST', '/api/v4/users', { username, name: username, email: `${username}@example.com` });
      const { token } = await must('POST', `/api/v4/users/${String(id)}/personal_access_tokens`, { name: 'test', scopes: ['api'] });
      return { id: Number(id), token: String(token) };
    },
    async project(path) {
      const [group = '', name = ''] = path.split('/');
      const known = await call('GET', `/api/v4/groups/${group}`, { token: root });
      const { id: groupId } =
        known.status === 200 ? known.body : await must('POST', '/api/v4/groups', { name: group, path: group, visibility: 'private' });
      const { id } = await must('POST', '/api/v4/projects', { name, path: name, namespace_id: groupId, visibility: 'private' });
      return Number(id);
    },
    async member(project, user, level) {
      await must('POST', `/api/v4/projects/${project}/members`, { user_id: user, access_level: level });
    },
    async commit(project, file, content, options = {}) {
      const made = await must(
        'POST',
        `/api/v4/projects/${project}/repository/commits`,
        {
          branch: options.branch ?? 'main',
          ...(options.start === undefined ? {} : { start_branch: options.start }),
          commit_message: `write ${file}`,
          actions: [{ action: 'create', file_path: file, content }],
        },
        options.token,
      );
      return String(made['id']);
    },
    async runner(options = {}) {
      const made = await must('POST', '/api/v4/user/runners', {
        runner_type: 'instance_type',
        tag_list: options.tags ?? [],
        run_untagged: options.tags === undefined,
      });
      return { id: Number(made['id']), token: String(made['token']) };
    },
    async claim(runnerToken) {
      const reply = await call('POST', '/api/v4/jobs/request', { body: { token: runnerToken, info: { features: runnerFeatures } } });
      if (reply.status !== 201) return undefined;
      const extended = (reply.body['extended_job_token'] ?? {}) as Record<string, string>;
      return {
        id: Number(reply.body['id']),
        token: String(reply.body['token']),
        fetchPass: extended['fetch_token'] ?? '',
        pass: extended['token'],
        payload: reply.body,
      };
    },
    finish: (job, state = 'success') => call('PUT', `/api/v4/jobs/${job.id}`, { headers: { 'job-token': job.token }, body: { state } }),
  };
}

/** What any gitlab-runner of today sends, as far as the server looks at it. */
export const runnerFeatures = {
  upload_multiple_artifacts: true,
  refspecs: true,
  artifacts_exclude: true,
  multi_build_steps: true,
  return_exit_code: true,
  fallback_cache_keys: true,
  vault_secrets: true,
  cancel_gracefully: true,
} as const;

/** A pipeline with one job that runs `true`. */
export const oneJob = 'stages: [test]\njob:\n  script: ["true"]\n';
