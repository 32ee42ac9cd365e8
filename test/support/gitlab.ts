import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a scripted GitLab was asked. */
export interface Heard {
  readonly method: string;
  /** With its query, below `/api/v4` where it stands there. */
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export type Reply = readonly [status: number, body?: unknown, headers?: Readonly<Record<string, string>>];
type Answer = Reply | ((heard: Heard, response: ServerResponse) => Reply | undefined | Promise<Reply | undefined>);

export interface ScriptedJob {
  readonly id: number;
  readonly token: string;
  readonly projectId: number;
  readonly pipelineId: number;
  readonly userId: number;
  readonly sha: string;
  readonly ref: string;
  readonly tag?: boolean;
  readonly source?: string;
  readonly name?: string;
  status?: string;
  readonly createdAt?: string;
  /** Who has it, where the forge tells. */
  readonly runner?: number;
  readonly variables?: readonly unknown[];
  readonly dependencies?: readonly unknown[];
  readonly inputs?: readonly unknown[];
  /** Seconds. */
  readonly timeout?: number;
}

/** Where main stands; no job runs on it. */
export const mainHead = 'f0'.repeat(20);

/**
 * A GitLab of a test's own making: it knows users, roles, projects, runners and jobs, makes tokens to act with, and takes down what it is asked. What
 * a test puts into `answers` (`GET /projects/7/issues`) comes first; there are no rights in it, as each request should have been judged before.
 */
export class ScriptedGitlab {
  readonly heard: Heard[] = [];
  readonly answers = new Map<string, Answer>();
  readonly users = new Map<number, Record<string, unknown>>();
  readonly projects = new Map<number, Record<string, unknown>>();
  readonly groups = new Map<number, Record<string, unknown>>();
  /** `projects/7/3` → level. */
  readonly levels = new Map<string, number>();
  readonly jobs: ScriptedJob[] = [];
  /** Of tokens that were made and not revoked: whose, and their scopes. */
  readonly acting = new Map<string, { readonly user: number; readonly scopes: readonly string[] }>();
  /** Token → user, of people's own. */
  readonly personal = new Map<string, { readonly user: number; readonly scopes: readonly string[] }>();
  readonly waiting: ScriptedJob[] = [];
  readonly #server: Server;
  #made = 0;

  constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('error', () => response.destroy());
      request.on('end', () => {
        const path = (request.url ?? '').replace(/^\/api\/v4/, '');
        const heard = { method: request.method ?? '', path, headers: request.headers, body: Buffer.concat(chunks).toString('latin1') };
        this.heard.push(heard);
        void this.#answer(heard, response);
      });
    });
    this.users.set(1, { id: 1, username: 'root', state: 'active', is_admin: true });
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return this.url;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  user(id: number, username: string): number {
    this.users.set(id, { id, username, name: username, state: 'active', is_admin: false });
    this.personal.set(`glpat-${username}`, { user: id, scopes: ['api'] });
    return id;
  }

  project(id: number, path: string, members: Readonly<Record<number, number>> = {}): number {
    const namespace = path.split('/').slice(0, -1).join('/');
    const group = [...this.groups.values()].find((one) => one['full_path'] === namespace);
    const groupId = Number(group?.['id'] ?? 1000 + id);
    if (group === undefined) this.groups.set(groupId, { id: groupId, full_path: namespace, visibility: 'private' });
    this.projects.set(id, {
      id,
      path_with_namespace: path,
      namespace: { id: groupId },
      visibility: 'private',
      archived: false,
      default_branch: 'main',
    });
    for (const [member, level] of Object.entries(members)) this.levels.set(`projects/${id}/${member}`, level);
    return id;
  }

  /** What the test's requests with a pass became: without what the gateway asks for itself. */
  carried(): readonly Heard[] {
    return this.heard.filter(({ headers }) => headers['x-forwarded-for'] !== undefined);
  }

  async #answer(heard: Heard, response: ServerResponse): Promise<void> {
    const [path = ''] = heard.path.split('?');
    const given = this.answers.get(`${heard.method} ${path}`);
    const reply = given === undefined ? this.#known(heard, path) : typeof given === 'function' ? await given(heard, response) : given;
    if (reply === undefined || response.destroyed) return;
    const [status, body, headers = {}] = reply;
    const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(text);
  }

  #known(heard: Heard, path: string): Reply {
    const { method, headers, body } = heard;
    const of = (shape: RegExp): readonly string[] | undefined => shape.exec(path)?.slice(1).map(decodeURIComponent);
    const found = (value: unknown): Reply => (value === undefined ? [404, { message: '404 Not Found' }] : [200, value]);
    const token = String(headers['job-token'] ?? '');
    if (path === '/job') {
      const job = this.jobs.find((one) => one.token === token);
      return job === undefined || !/^(?:running|canceling)$/.test(job.status ?? 'running') ? [401, {}] : [200, jobBody(job)];
    }
    if (path === '/version') return [200, { version: '18.2.1' }];
    if (path === '/user' || path === '/personal_access_tokens/self') {
      const who = this.personal.get(String(headers['private-token'] ?? '')) ?? this.acting.get(String(headers['private-token'] ?? ''));
      if (who === undefined) return [401, { message: '401 Unauthorized' }];
      return path === '/user' ? found(this.users.get(who.user)) : [200, { id: 1, user_id: who.user, scopes: who.scopes, active: true }];
    }
    const user = of(/^\/users\/(\d+)$/);
    if (user !== undefined) return found(this.users.get(Number(user[0])));
    const impersonation = of(/^\/users\/(\d+)\/impersonation_tokens(?:\/(\d+))?$/);
    if (impersonation !== undefined) {
      if (method === 'DELETE') {
        this.acting.delete(`glpat-made-${impersonation[1] ?? ''}`);
        return [204];
      }
      this.#made += 1;
      const { scopes } = JSON.parse(body) as { scopes: readonly string[] };
      this.acting.set(`glpat-made-${this.#made}`, { user: Number(impersonation[0]), scopes });
      return [201, { id: this.#made, token: `glpat-made-${this.#made}` }];
    }
    const member = of(/^\/(projects|groups)\/(\d+)\/members\/all\/(\d+)$/);
    if (member !== undefined) {
      const level = this.levels.get(member.join('/'));
      return found(level === undefined ? undefined : { id: Number(member[2]), access_level: level, state: 'active' });
    }
    const one = of(/^\/(projects|groups)\/([^/]+)$/);
    if (one !== undefined && method === 'GET') {
      const all: readonly Record<string, unknown>[] = [...(one[0] === 'projects' ? this.projects : this.groups).values()];
      return found(all.find((row) => String(row['id']) === one[1] || [row['path_with_namespace'], row['full_path']].includes(one[1])));
    }
    if (/\/protected_(?:branches|tags)$/.test(path)) return [200, /branches/.test(path) ? [{ name: 'main' }] : []];
    if (/^\/projects\/\d+\/pipelines\/\d+\/variables$/.test(path)) return [200, []];
    const pipeline = of(/^\/projects\/\d+\/pipelines\/(\d+)$/);
    if (pipeline !== undefined && method === 'GET') {
      const job = this.jobs.find((row) => row.pipelineId === Number(pipeline[0]));
      return found(
        job === undefined
          ? undefined
          : {
              id: job.pipelineId,
              user: { id: job.userId },
              sha: job.sha,
              ref: job.ref,
              source: job.source ?? 'push',
              created_at: '2026-01-02T00:00:00Z',
            },
      );
    }
    const main = { name: 'main', commit: { id: mainHead } };
    const ofPipeline = of(/^\/projects\/\d+\/pipelines\/(\d+)\/jobs$/);
    if (ofPipeline !== undefined && method === 'GET')
      return [200, this.jobs.filter((row) => row.pipelineId === Number(ofPipeline[0])).map(jobBody)];
    if (path.endsWith('/repository/branches') && method === 'GET') return [200, [main]];
    if (path.endsWith('/repository/branches/main') && method === 'GET') return [200, main];
    // All is on main.
    if (path.endsWith('/repository/merge_base'))
      return [200, { id: new URL(`http://x${heard.path}`).searchParams.getAll('refs[]').find((sha) => sha !== mainHead) }];
    const commit = of(/^\/projects\/\d+\/repository\/commits\/([0-9a-f]{40})$/);
    if (commit !== undefined) return found(this.jobs.some((row) => row.sha === commit[0]) ? { id: commit[0] } : undefined);
    // One line of history: what jobs run on is on main, and whoever started the first pushed it.
    if (path.endsWith('/repository/commits') && method === 'GET')
      return [200, [...new Set(this.jobs.map((row) => row.sha))].map((id) => ({ id, parent_ids: [] }))];
    if (path.endsWith('/events'))
      return [
        200,
        this.jobs
          .filter((row, index) => this.jobs.findIndex(({ sha, ref }) => sha === row.sha && ref === row.ref) === index)
          .toReversed()
          .map((row) => ({
            id: row.id,
            author_id: row.userId,
            push_data: { action: 'pushed', ref_type: 'branch', ref: row.ref, commit_to: row.sha },
          })),
      ];
    if (path === '/runners/verify') return [200, { id: 5 }];
    if (/^\/runners\/\d+$/.test(path)) return [200, { id: 5, runner_type: 'instance_type' }];
    if (path === '/jobs/request') {
      const next = this.waiting.shift();
      return next === undefined ? [204] : [201, payloadOf(next)];
    }
    const reported = of(/^\/jobs\/(\d+)$/);
    if (reported !== undefined && method === 'PUT') {
      const job = this.jobs.find((row) => row.id === Number(reported[0]) && row.token === token);
      if (job === undefined) return [403, {}];
      job.status = (JSON.parse(body) as { state?: string }).state ?? 'running';
      return [200, undefined, { 'job-status': job.status }];
    }
    return [404, { error: '404 Not Found' }];
  }
}

function jobBody(job: ScriptedJob) {
  return {
    id: job.id,
    name: job.name ?? 'test',
    status: job.status ?? 'running',
    ref: job.ref,
    tag: job.tag ?? false,
    user: { id: job.userId },
    commit: { id: job.sha },
    created_at: job.createdAt ?? new Date().toISOString(),
    runner: job.runner === undefined ? null : { id: job.runner },
    pipeline: { id: job.pipelineId, project_id: job.projectId, sha: job.sha, source: job.source ?? 'push' },
  };
}

function payloadOf(job: ScriptedJob) {
  return {
    id: job.id,
    token: job.token,
    job_info: { project_id: job.projectId },
    runner_info: { timeout: job.timeout ?? 3600 },
    variables: job.variables ?? [{ key: 'JOBPASS_EXPOSE', value: 'variable', public: true, masked: false }],
    dependencies: job.dependencies ?? [],
    ...(job.inputs === undefined ? {} : { inputs: job.inputs }),
  };
}
