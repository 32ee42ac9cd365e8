import { expect, test } from 'vitest';
import { id, millis, type Oid, type RefName, type RunnerId } from '../../../src/base/ids.ts';
import type { ClaimFilter, JobChange, JobRecord } from '../../../src/ports/jobs.ts';
import { startChild } from './processes.ts';
import {
  addGroup,
  addJob,
  addJobs,
  addProject,
  addUser,
  digestOf,
  firstPage,
  newJob,
  newPipeline,
  now,
  uniqueName,
  unknownId,
  unknownJob,
} from './seed.ts';
import type { Bench } from './suite.ts';

const anyone: ClaimFilter = { runnerId: id<RunnerId>(1), tags: [], runUntagged: true, protectedOnly: false };

export function jobCases(bench: Bench): void {
  const claimable = async (filter: Partial<ClaimFilter>, limit = 100) =>
    bench.store.transactor.write(async (tx) =>
      (await bench.store.jobs.claimCandidates(tx, { ...anyone, ...filter }, limit)).map((job) => job.name),
    );

  test('R13 what a runner of a group may have is all that is looked at for it: jobs below the group, however deep', async () => {
    const { jobs, transactor } = bench.store;
    const user = await addUser(bench.store);
    const slug = uniqueName('Ours_');
    const group = await addGroup(bench.store, null, 'private', slug);
    const places = [group, await addGroup(bench.store, group), await addGroup(bench.store, null, 'private', `${slug}x`)];
    const others = await addGroup(bench.store, null, 'private', slug.replace('_', 'x'));
    for (const [index, place] of [...places, others].entries()) {
      const project = await addProject(bench.store, place, user.id);
      await transactor.write(async (tx) => {
        const pipeline = await jobs.insertPipeline(tx, newPipeline(project.id, user.id));
        await jobs.insertJobs(tx, [newJob(pipeline, { name: `in ${index}` })]);
      });
    }
    expect(await claimable({ groupId: group.id })).toEqual(['in 0', 'in 1']);
    const waiting = await jobs.waiting(null, 10, { groupId: group.id });
    expect(await Promise.all(waiting.map(async ({ id: job }) => (await jobs.job(null, job))?.name))).toEqual(['in 0', 'in 1']);
  });

  test("a pipeline's coverage is the mean of its jobs', but of those that were retried", async () => {
    const { transactor, jobs: store } = bench.store;
    const { pipeline, jobs } = await addJobs(bench.store, 4);
    expect(await store.coverageOf(null, pipeline.id)).toBeNull();
    const [one, two, retried, none] = jobs;
    if (one === undefined || two === undefined || retried === undefined || none === undefined) throw new Error('no jobs');
    await transactor.write(async (tx) => {
      await store.changeJob(tx, one.id, ['pending'], { coverage: 80.25 });
      await store.changeJob(tx, two.id, ['pending'], { coverage: 91 });
      await store.changeJob(tx, retried.id, ['pending'], { coverage: 1, retriedById: none.id });
    });
    expect([await store.coverageOf(null, pipeline.id), (await store.job(null, one.id))?.coverage]).toEqual([85.625, 80.25]);
  });

  test('A57 what a pipeline includes comes back as it was put', async () => {
    const { pipelineIncludes, transactor } = bench.store;
    const { pipeline } = await addJobs(bench.store, 1);
    const sha = 'a'.repeat(40) as Oid;
    const included = [
      { projectId: pipeline.projectId, sha, ref: null, movers: null },
      { projectId: pipeline.projectId, sha, ref: 'refs/heads/main' as RefName, movers: [pipeline.userId] },
    ];
    await transactor.write(async (tx) => pipelineIncludes.put(tx, pipeline.id, included));
    expect(await pipelineIncludes.of(null, pipeline.id)).toEqual(included);
    expect(await pipelineIncludes.of(null, unknownId as never)).toEqual([]);
  });

  test('pipelines and jobs come back as they were put; iid counts in each project', async () => {
    const { jobs, transactor } = bench.store;
    const { project, user, pipeline } = await addJobs(bench.store, 1);
    const made = newPipeline(project.id, user.id, { chainDepth: 1, parentJobId: unknownJob, yamlErrors: 'broken', tag: true });
    const second = await transactor.write((tx) => jobs.insertPipeline(tx, made));
    expect([pipeline.iid, second.iid]).toEqual([1, 2]);
    const plain = {
      inputs: {},
      name: null,
      passId: null,
      mergeRequestId: null,
      autoCancel: { onNewCommit: 'conservative', onJobFailure: 'none' },
      upstream: null,
    };
    expect(second).toEqual({ ...plain, ...made, id: second.id, iid: 2, updatedAt: now, startedAt: null, finishedAt: null });
    expect(await jobs.pipeline(null, second.id)).toEqual(second);
    expect(await jobs.pipeline(null, unknownId as never)).toBeUndefined();
    const needs = [{ job: 'build', artifacts: true }];
    const planned = newJob(pipeline, { tags: ['a', 'b'], needs, allowFailure: true, when: 'manual', status: 'manual', stageIndex: 4 });
    const [job] = await transactor.write((tx) => jobs.insertJobs(tx, [planned]));
    expect(job).toMatchObject({ ...planned, runnerId: null, tokenDigest: null, queuedAt: null, startedAt: null, artifactsFile: null });
    expect(job && (await jobs.job(null, job.id))).toEqual(job);
    expect((await jobs.jobsOfPipeline(null, pipeline.id)).map((row) => row.stageIndex)).toEqual([0, 4]);
    expect(await jobs.job(null, unknownJob)).toBeUndefined();
  });

  test('reports are kept once by type, and found when they are over, as archives are', async () => {
    const { jobs, transactor } = bench.store;
    const job = await addJob(bench.store, 'success');
    const report = { jobId: job.id, type: 'junit', format: 'gzip', filename: 'junit.xml.gz', sizeBytes: 3, expireAt: now } as const;
    const insert = () => transactor.write((tx) => jobs.insertReport(tx, report));
    expect([await insert(), await insert()]).toEqual([true, false]);
    expect(await jobs.reportsOf(null, job.id)).toEqual([report]);
    const change: JobChange = { artifactsFile: 'a.zip', artifactsSizeBytes: 1, artifactsExpireAt: now, dotenv: [{ key: 'A', value: '1' }] };
    await transactor.write((tx) => jobs.changeJob(tx, job.id, ['success'], change));
    expect(await jobs.job(null, job.id)).toMatchObject(change);
    expect((await jobs.expired(null, millis(now - 1), 100)).archives).not.toContain(job.id);
    const over = await jobs.expired(null, now, 100);
    expect([over.archives.includes(job.id), over.reports.some((one) => one.jobId === job.id)]).toEqual([true, true]);
    await transactor.write(async (tx) => {
      await jobs.forgetArchive(tx, job.id);
      await jobs.removeReport(tx, job.id, 'junit');
    });
    expect((await jobs.expired(null, now, 100)).archives).not.toContain(job.id);
    expect(await jobs.reportsOf(null, job.id)).toEqual([]);
    expect(await jobs.job(null, job.id)).toMatchObject({ artifactsFile: null, dotenv: change.dotenv });
  });

  test('pipelines of one project that are made at once get different iids', async () => {
    const { jobs, transactor } = bench.store;
    const { project, user } = await addJobs(bench.store, 0);
    const made: number[] = [];
    const first = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const make = (then?: () => Promise<void>) =>
      transactor.write(async (tx) => {
        made.push((await jobs.insertPipeline(tx, newPipeline(project.id, user.id))).iid);
        await then?.();
      });
    const one = make(() => {
      first.resolve();
      return goOn.promise;
    });
    await first.promise;
    const other = make();
    while (made.length === 1 && !(await bench.engine.blocked(bench.url)));
    goOn.resolve();
    await Promise.all([one, other]);
    expect(made).toEqual([2, 3]);
  });

  test('a change happens only from a named state, and sets what it names', async () => {
    const { jobs, transactor, credentials } = bench.store;
    const job = await addJob(bench.store, 'pending');
    expect(job.queuedAt).toBe(now);
    const tokenDigest = digestOf();
    const change: JobChange = { status: 'running', runnerId: id<RunnerId>(3), tokenDigest, startedAt: now, contactAt: now };
    const set = (from: JobRecord['status'][], to: JobChange) => transactor.write((tx) => jobs.changeJob(tx, job.id, from, to));
    expect(await set(['created', 'running'], change)).toBe(false);
    expect(await jobs.job(null, job.id)).toEqual(job);
    expect(await set(['created', 'pending'], change)).toBe(true);
    expect(await jobs.job(null, job.id)).toEqual({ ...job, ...change });
    const facts = { jobId: job.id, projectId: job.projectId, pipelineId: job.pipelineId, userId: job.userId };
    expect(await credentials.jobToken(null, tokenDigest)).toEqual(facts);
    expect(await credentials.jobToken(null, digestOf())).toBeUndefined();
    const large: JobChange = { status: 'failed', failureReason: 'script_failure', exitCode: 137, artifactsSizeBytes: 5_000_000_000 };
    expect(await set(['running'], large)).toBe(true);
    expect(await jobs.job(null, job.id)).toMatchObject(large);
    expect(await transactor.write((tx) => jobs.changeJob(tx, unknownJob, ['running'], large))).toBe(false);
    await transactor.write((tx) => jobs.forgive(tx, job.id));
    expect((await jobs.job(null, job.id))?.allowFailure).toBe(true);
  });

  test('a pipeline is locked, changed, and listed by ref, sha and status, newest first', async () => {
    const { jobs, transactor } = bench.store;
    const { project, user, pipeline } = await addJobs(bench.store, 0);
    const second = await transactor.write((tx) =>
      jobs.insertPipeline(tx, newPipeline(project.id, user.id, { ref: 'v1', sha: 'c'.repeat(40) })),
    );
    await transactor.write(async (tx) => {
      expect(await jobs.lockPipeline(tx, pipeline.id)).toEqual(pipeline);
      expect(await jobs.lockPipeline(tx, unknownId as never)).toBeUndefined();
      await jobs.changePipeline(tx, pipeline.id, { status: 'success', finishedAt: millis(now + 2), updatedAt: millis(now + 2) });
    });
    expect(await jobs.pipeline(null, pipeline.id)).toMatchObject({ status: 'success', finishedAt: now + 2 });
    const listed = async (filter: Parameters<typeof jobs.listPipelines>[2]) =>
      (await jobs.listPipelines(null, project.id, filter, firstPage)).rows.map((row) => row.id);
    expect(await listed({})).toEqual([second.id, pipeline.id]);
    expect(await listed({ ref: 'v1' })).toEqual([second.id]);
    expect(await listed({ sha: pipeline.sha })).toEqual([pipeline.id]);
    expect(await listed({ status: 'success' })).toEqual([pipeline.id]);
    expect(await listed({ status: 'failed' })).toEqual([]);
  });

  test('jobs are listed by state, newest first, in pages', async () => {
    const { jobs, transactor } = bench.store;
    const { project, jobs: made } = await addJobs(bench.store, 3, { status: 'created' });
    const [first, second, third] = made.map((job) => job.id);
    if (first !== undefined) await transactor.write((tx) => jobs.changeJob(tx, first, ['created'], { status: 'skipped' }));
    const page = await jobs.listJobs(null, project.id, ['created'], { page: 1, perPage: 1 });
    expect(page).toMatchObject({ total: 2, rows: [{ id: third }] });
    expect((await jobs.listJobs(null, project.id, [], firstPage)).rows.map((row) => row.id)).toEqual([third, second, first]);
  });

  test('a runner is offered what fits its projects and tags, oldest first', async () => {
    const plain = await addJobs(bench.store, 2);
    const tagged = await addJobs(bench.store, 1, { tags: ['linux', 'gpu'], name: 'tagged' });
    await addJobs(bench.store, 1, { status: 'created' });
    const projectIds = [plain.project.id, tagged.project.id];
    expect(await claimable({ projectIds })).toEqual(['job 0', 'job 1']);
    expect(await claimable({ projectIds }, 1)).toEqual(['job 0']);
    expect(await claimable({ projectIds, tags: ['gpu', 'linux', 'more'] })).toEqual(['job 0', 'job 1', 'tagged']);
    expect(await claimable({ projectIds, tags: ['gpu', 'linux'], runUntagged: false })).toEqual(['tagged']);
    expect(await claimable({ projectIds, tags: ['gpu'], runUntagged: false })).toEqual([]);
    expect(await claimable({ projectIds: [plain.project.id] })).toEqual(['job 0', 'job 1']);
    expect(await claimable({ projectIds: [] })).toEqual([]);
  });

  test('a long line of jobs that do not fit hides no job behind it', async () => {
    const wall = await addJobs(bench.store, 1100, { tags: ['nobody'] });
    const { project } = await addJobs(bench.store, 1, { name: 'behind' });
    expect(await claimable({ projectIds: [wall.project.id, project.id] })).toEqual(['behind']);
  });

  test('one claimant leaves the other jobs to the others', async () => {
    const { transactor, jobs } = bench.store;
    const { project } = await addJobs(bench.store, 2);
    const filter = { ...anyone, projectIds: [project.id] };
    const first = await transactor.write(async (tx) => {
      const candidates = await jobs.claimCandidates(tx, filter, 1);
      // SQLite lets one transaction write at a time; a second claimant can only come later.
      const second = bench.engine.name === 'sqlite' ? ['job 1'] : await claimable({ projectIds: [project.id] });
      expect(second).toEqual(['job 1']);
      return candidates.map((job) => job.name);
    });
    expect(first).toEqual(['job 0']);
  });

  test('A46 processes that race for jobs get each job once', async () => {
    const { jobs: made, pipeline } = await addJobs(bench.store, 40);
    // Whatever other cases left pending would be claimed as well.
    const others = await bench.store.transactor.write((tx) => bench.store.jobs.claimCandidates(tx, anyone, 5000));
    const mine = new Set(made.map((job) => `${job.id}`));
    expect(others.filter((job) => mine.has(`${job.id}`))).toHaveLength(40);
    const children = [startChild('claim', bench.url, '11'), startChild('claim', bench.url, '12')];
    expect(await Promise.all(children.map((child) => child.ended))).toEqual([0, 0]);
    const claimed = children.flatMap((child) => child.lines.slice(1)).filter((line) => mine.has(line));
    expect(claimed.toSorted()).toEqual([...mine].toSorted());
    const rows = await bench.store.jobs.jobsOfPipeline(null, pipeline.id);
    expect(rows.every((job) => job.status === 'running' && [11, 12].includes(job.runnerId ?? 0))).toBe(true);
  });

  test('A46 claims of one process that race for a job: exactly one gets it', async () => {
    const { transactor, jobs } = bench.store;
    const { project } = await addJobs(bench.store, 1);
    const claim = (runner: number) =>
      transactor.write(async (tx) => {
        const runnerId = id<RunnerId>(runner);
        const [job] = await jobs.claimCandidates(tx, { ...anyone, runnerId, projectIds: [project.id] }, 1);
        return job !== undefined && (await jobs.changeJob(tx, job.id, ['pending'], { status: 'running', runnerId }));
      });
    const results = await Promise.all(Array.from({ length: 20 }, (_, index) => claim(index + 1)));
    expect(results.filter(Boolean)).toHaveLength(1);
  });

  test('R2 stale are running and canceling jobs of a silent runner, those that cancel for too long, and those past their timeout', async () => {
    const { transactor, jobs } = bench.store;
    const stale = async (change: JobChange) => {
      const job = await addJob(bench.store, 'running');
      await transactor.write((tx) => jobs.changeJob(tx, job.id, ['running'], change));
      return (await jobs.staleJobs(null, millis(now), millis(now - 10), now)).some((row) => row.id === job.id);
    };
    expect(await stale({ contactAt: millis(now - 1) })).toBe(true);
    expect(await stale({ contactAt: now })).toBe(false);
    expect(await stale({ status: 'canceling', contactAt: millis(now - 1), cancelingSince: now })).toBe(true);
    expect(await stale({ status: 'canceling', contactAt: now, cancelingSince: millis(now - 11) })).toBe(true);
    expect(await stale({ status: 'canceling', contactAt: now, cancelingSince: millis(now - 10) })).toBe(false);
    expect(await stale({ status: 'success', contactAt: millis(now - 1) })).toBe(false);
    expect(await stale({ contactAt: now, startedAt: millis(now - 3_600_001) })).toBe(true);
    expect(await stale({ contactAt: now, startedAt: millis(now - 3_600_000) })).toBe(false);
  });
}
