import type { Clock } from '../../src/base/clock.ts';
import { type Log, silentLog } from '../../src/base/log.ts';
import type { GatewayConfig } from '../../src/gateway.ts';
import { ScriptedGitlab, type ScriptedJob } from './gitlab.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';

export interface Handed {
  readonly id: number;
  readonly token: string;
  readonly pass: string;
  readonly fetch: string;
  readonly notes: string;
  readonly payload: Record<string, unknown>;
}

/** A gateway in front of a scripted GitLab with alice (2), bob (3), team/app (7) and libs/secret (8). */
export interface Scene {
  readonly gitlab: ScriptedGitlab;
  readonly gateway: TestGateway;
  readonly sha: string;
  call(method: string, path: string, token?: string, options?: CallOptions): Promise<{ status: number; text: string; headers: Headers }>;
  /** Hands out a job of alice on main. */
  job(job?: Partial<ScriptedJob>, runnerToken?: string): Promise<Handed>;
  end(job: Handed): Promise<void>;
  stop(): Promise<void>;
}

export interface CallOptions {
  readonly body?: unknown;
  readonly raw?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export async function scene(config: Partial<GatewayConfig> = {}, log: Log = silentLog, clock?: Clock): Promise<Scene> {
  const gitlab = new ScriptedGitlab();
  const upstream = await gitlab.start();
  gitlab.user(2, 'alice');
  gitlab.user(3, 'bob');
  gitlab.project(7, 'team/app', { 2: 40, 3: 30 });
  gitlab.project(8, 'libs/secret', { 2: 30 });
  gitlab.personal.set('glpat-root', { user: 1, scopes: ['api', 'sudo', 'admin_mode'] });
  const gateway = await startTestGateway(upstream, 'glpat-root', { trustedRunners: [5 as never], ...config }, log, clock);
  const sha = 'ab'.repeat(20);
  let count = 0;
  const call: Scene['call'] = async (method, path, token, { body, raw, headers = {} } = {}) => {
    const response = await fetch(`${gateway.url}${path}`, {
      method,
      redirect: 'manual',
      headers: {
        ...(token === undefined ? {} : { 'private-token': token }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(raw === undefined ? (body === undefined ? {} : { body: JSON.stringify(body) }) : { body: raw }),
    });
    return { status: response.status, text: await response.text(), headers: response.headers };
  };
  return {
    gitlab,
    gateway,
    sha,
    call,
    async job(given = {}, runnerToken = 'glrt-five') {
      count += 1;
      const job = {
        id: 100 + count,
        token: `glcbt-${count}`,
        projectId: 7,
        pipelineId: 200 + count,
        userId: 2,
        sha,
        ref: 'main',
        ...given,
      };
      gitlab.jobs.push(job);
      gitlab.waiting.push(job);
      const answer = await call('POST', '/api/v4/jobs/request', undefined, { body: { token: runnerToken } });
      if (answer.status !== 201) throw new Error(`no job: ${answer.status} ${answer.text}`);
      const payload = JSON.parse(answer.text) as Record<string, unknown>;
      const extended = (payload['extended_job_token'] ?? {}) as Record<string, unknown>;
      return {
        id: job.id,
        token: job.token,
        pass: String(extended['token']),
        fetch: String(extended['fetch_token']),
        notes: String(extended['notes']),
        payload,
      };
    },
    async end(job) {
      await call('PUT', `/api/v4/jobs/${job.id}`, undefined, { body: { state: 'success' }, headers: { 'job-token': job.token } });
    },
    async stop() {
      await gateway.stop();
      await gitlab.stop();
    },
  };
}

/** A job of alice that runs what bob pushed to a branch: both are behind its pass. */
export function jobOfBoth({ gitlab, sha: main, job }: Scene, given: Partial<ScriptedJob> = {}): Promise<Handed> {
  const sha = 'cd'.repeat(20);
  gitlab.answers.set('GET /projects/7/repository/commits', ({ path }) => [
    200,
    path.includes(`..${sha}`) ? [{ id: sha, parent_ids: [main] }] : [{ id: main, parent_ids: [] }],
  ]);
  gitlab.answers.set('GET /projects/7/repository/merge_base', [200, { id: main }]);
  gitlab.answers.set('GET /projects/7/events', [
    200,
    [
      { id: 2, author_id: 3, push_data: { action: 'pushed', ref_type: 'branch', ref: 'both', commit_from: main, commit_to: sha } },
      { id: 1, author_id: 3, push_data: { action: 'pushed', ref_type: 'branch', ref: 'main', commit_to: main } },
    ],
  ]);
  return job({ sha, ref: 'both', ...given });
}
