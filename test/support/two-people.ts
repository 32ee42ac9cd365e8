import { expect } from 'vitest';
import { id, type PipelineId } from '../../src/base/ids.ts';
import type { JobRecord, JobStatus } from '../../src/ports/jobs.ts';
import { type Claimed, type Reply, startTestServer, type TestServer } from './server.ts';

export interface Person {
  readonly id: number;
  readonly token: string;
}

/** A server with alice and bob, a runner for everything, and what tests of pipelines do with them. */
export interface TwoPeople {
  readonly server: TestServer;
  readonly alice: Person;
  readonly bob: Person;
  /** A project in a top-level group of its own, its files written by alice in one commit; both are maintainers. */
  project(files: Readonly<Record<string, string>>): Promise<{ readonly id: number; readonly path: string }>;
  /** A pipeline for `main`, as alice. */
  run(project: number, by?: Person): Promise<PipelineId>;
  /** Asks for one, with more in the body. */
  ask(project: number, body: object, by?: Person): Promise<Reply>;
  /** The next job, once there is one. */
  claim(): Promise<Claimed>;
  /** Takes the next job and ends it. */
  work(status?: 'success' | 'failed'): Promise<Claimed>;
  /** The newest job of that name. */
  job(pipeline: PipelineId, name: string): Promise<JobRecord | undefined>;
  /** Waits until the newest job of that name has come to this. */
  comes(pipeline: PipelineId, name: string, status: JobStatus): Promise<void>;
}

/** In front of a file: a push starts nothing, whoever wants a pipeline asks for it. */
export const onlyAsked = 'workflow: {rules: [{if: $CI_PIPELINE_SOURCE != "push"}]}\n';
/** For `expect.poll`. */
export const soon = { timeout: 20_000, interval: 20 } as const;

export async function twoPeople(): Promise<TwoPeople> {
  const server = await startTestServer();
  const [alice, bob] = [await server.user('alice'), await server.user('bob')];
  const { token: runner } = await server.runner();
  let made = 0;
  const self: TwoPeople = {
    server,
    alice,
    bob,
    async project(files) {
      made += 1;
      const path = `two${made}/app`;
      const app = await server.project(path);
      for (const person of [alice, bob]) await server.member(app, person.id, 40);
      const actions = Object.entries(files).map(([file_path, content]) => ({ action: 'create', file_path, content }));
      await server.must(
        'POST',
        `/api/v4/projects/${app}/repository/commits`,
        { branch: 'main', commit_message: 'w', actions },
        alice.token,
      );
      return { id: app, path };
    },
    async run(project, by = alice) {
      const reply = await self.ask(project, {}, by);
      if (reply.status !== 201) throw new Error(`no pipeline: ${reply.status} ${reply.text}`);
      return id<PipelineId>(Number(reply.body['id']));
    },
    ask: (project, body, by = alice) =>
      server.call('POST', `/api/v4/projects/${project}/pipeline`, { token: by.token, body: { ref: 'main', ...body } }),
    async claim() {
      let job: Claimed | undefined;
      await expect.poll(async () => (job ??= await server.claim(runner)), soon).toBeDefined();
      if (job === undefined) throw new Error('no job');
      return job;
    },
    async work(status) {
      const job = await self.claim();
      await server.finish(job, status);
      return job;
    },
    job: async (pipeline, name) =>
      (await server.store.jobs.jobsOfPipeline(null, pipeline)).findLast((job) => job.name === name && job.retriedById === null),
    async comes(pipeline, name, status) {
      await expect.poll(async () => (await self.job(pipeline, name))?.status, soon).toBe(status);
    },
  };
  return self;
}
