import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { id, type JobId } from '../../src/base/ids.ts';
import { limits } from '../../src/base/limits.ts';
import { traceKey } from '../../src/jobs/keys.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { GitlabRunner, type RunnerJob } from './gitlab-runner-client.ts';

/** A server with a project, and runners that come to it. */
export interface Scene {
  readonly server: TestServer;
  readonly alice: { readonly id: number; readonly token: string };
  readonly project: number;
  /** A runner of its own tag, so that scenes do not take each other's jobs. */
  runner(options?: { features?: Readonly<Record<string, boolean>>; create?: object }): Promise<OwnRunner>;
  /** Makes a job's stored trace as large as traces may be, without sending it. */
  fillTrace(job: number): Promise<void>;
  stop(): Promise<void>;
}

export interface OwnRunner {
  readonly client: GitlabRunner;
  readonly id: number;
  readonly tag: string;
  /** Makes a pipeline; `[TAG]` in the file stands for the runner's own tag. */
  pipeline(yaml?: string): Promise<void>;
  /** Such a pipeline's first job, taken. */
  job(yaml?: string): Promise<RunnerJob>;
  /** The next job of its queue, taken. */
  next(): Promise<RunnerJob>;
  cancel(job: RunnerJob, force?: boolean): Promise<void>;
  /** As an admin changes it. */
  set(change: object): Promise<Record<string, unknown>>;
  /** The job as its owner sees it. */
  see(job: { readonly id: number }): Promise<Record<string, unknown>>;
}

const oneJob = 'job:\n  tags: [TAG]\n  script: ["true"]\n';

/** @see test/conformance/runner-api.table.ts */
export async function makeScene(): Promise<Scene> {
  const server = await startTestServer();
  const alice = await server.user('alice');
  const project = await server.project('team/app');
  await server.member(project, alice.id, 40);
  await server.commit(project, 'README.md', 'hello', { token: alice.token });
  let count = 0;
  return {
    server,
    alice,
    project,
    async runner({ features, create } = {}) {
      count += 1;
      const tag = `t${count}`;
      const made = await server.must('POST', '/api/v4/user/runners', { runner_type: 'instance_type', tag_list: [tag], ...create });
      const client = new GitlabRunner(server.url, String(made['token']), features === undefined ? {} : { features });
      const runnerId = Number(made['id']);
      const at = `/api/v4/projects/${project}`;
      const self: OwnRunner = {
        client,
        id: runnerId,
        tag,
        async pipeline(yaml = oneJob) {
          const file = yaml.replaceAll('[TAG]', `[${tag}]`);
          const branch = `branch-${tag}-${(count += 1)}`;
          await server.commit(project, '.gitlab-ci.yml', file, { token: alice.token, branch, start: 'main' });
        },
        async job(yaml) {
          await self.pipeline(yaml);
          return self.next();
        },
        async next() {
          const job = await client.takeJob();
          if (job === undefined) throw new Error('no job came');
          return job;
        },
        async cancel(job, force = false) {
          await server.must('POST', `${at}/jobs/${job.id}/cancel${force ? '?force=true' : ''}`, {}, alice.token);
        },
        set: (change) => server.must('PUT', `/api/v4/runners/${runnerId}`, change),
        see: (job) => server.must('GET', `${at}/jobs/${job.id}`, undefined, alice.token),
      };
      return self;
    },
    fillTrace: (job) => truncate(join(server.dataDir, 'blobs', traceKey(id<JobId>(job))), limits.traceBytes),
    stop: () => server.stop(),
  };
}
