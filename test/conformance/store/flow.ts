import { expect, test } from 'vitest';
import { id, type JobId, millis, type PipelineId, type RunnerId } from '../../../src/base/ids.ts';
import type { JobChange, JobRecord, NewJob, NewPipeline, PipelineRecord } from '../../../src/ports/jobs.ts';
import { addJobs, firstPage, newJob, newPipeline, now } from './seed.ts';
import type { Bench } from './suite.ts';

/** What the server itself moves, and what it moves by. */
export function flowCases(bench: Bench): void {
  const place = () => addJobs(bench.store, 0);
  type Place = Awaited<ReturnType<typeof place>>;
  const pipeline = ({ project, user }: Place, change: Partial<NewPipeline> = {}): Promise<PipelineRecord> =>
    bench.store.transactor.write((tx) => bench.store.jobs.insertPipeline(tx, newPipeline(project.id, user.id, change)));
  const job = async (at: PipelineRecord, change: Partial<NewJob>, then: JobChange = {}): Promise<JobRecord> => {
    const { jobs, transactor } = bench.store;
    return transactor.write(async (tx) => {
      const [made] = await jobs.insertJobs(tx, [newJob(at, change)]);
      if (made === undefined) throw new Error('no job');
      if (Object.keys(then).length > 0) await jobs.changeJob(tx, made.id, [made.status], then);
      return (await jobs.job(tx, made.id)) ?? made;
    });
  };
  const ids = (rows: readonly { readonly id: number }[]) => rows.map((row) => row.id);

  test('a job keeps its kind, its group, what it was given and by whom; no runner is offered a bridge', async () => {
    const at = await place();
    const line = await pipeline(at);
    const given = { variables: [{ key: 'A', value: '1' }], variablesBy: at.user.id, resourceGroup: 'prod' } as const;
    const bridge = await job(line, { ...given, kind: 'bridge', status: 'pending' });
    expect(bridge).toMatchObject({ ...given, kind: 'bridge', scheduledAt: null, erasedAt: null, downstreamId: null, failureText: null });
    const filter = { runnerId: id<RunnerId>(1), projectIds: [at.project.id], tags: [], runUntagged: true, protectedOnly: false } as const;
    expect(await bench.store.jobs.claimCandidates(null, filter, 10)).toEqual([]);
    expect((await bench.store.jobs.waiting(null, 10_000)).some((one) => one.id === bridge.id)).toBe(false);
    expect((await bench.store.jobs.listJobs(null, at.project.id, [], firstPage)).rows).toEqual([]);
    expect(ids(await bench.store.jobs.jobsOfPipeline(null, line.id))).toEqual([bridge.id]);
    await bench.store.transactor.write((tx) =>
      bench.store.jobs.changeJob(tx, bridge.id, ['pending'], { status: 'running', contactAt: millis(1) }),
    );
    expect(ids(await bench.store.jobs.staleJobs(null, now, now, now))).not.toContain(bridge.id);
  });

  test('delayed jobs are due from their time on, the longest overdue first', async () => {
    const line = await pipeline(await place());
    const late = await job(line, { status: 'created' }, { status: 'scheduled', scheduledAt: now });
    const later = await job(line, { status: 'created' }, { status: 'scheduled', scheduledAt: millis(now - 5) });
    const mine = async (at: number) =>
      ids(await bench.store.flow.due(null, millis(at), 100)).filter((one) => one === late.id || one === later.id);
    expect([await mine(now - 6), await mine(now - 1), await mine(now)]).toEqual([[], [later.id], [later.id, late.id]]);
  });

  test('R13 a resource group is free only where the turn of one that waits has come, by the group’s mode', async () => {
    const at = await place();
    const { resourceGroups, transactor } = bench.store;
    const [older, newer] = [await pipeline(at), await pipeline(at)];
    const key = 'one after the other';
    await transactor.write((tx) => resourceGroups.ensure(tx, at.project.id, key, now));
    const group = await resourceGroups.byKey(null, at.project.id, key);
    if (group === undefined) throw new Error('no group');
    const isFree = async () => ids(await resourceGroups.free(null, 10_000)).includes(group.id);
    const first = await job(older, { resourceGroup: key, status: 'created' });
    expect(await isFree()).toBe(false);
    await job(newer, { resourceGroup: key, status: 'waiting_for_resource' });
    const inMode = async (mode: 'unordered' | 'oldest_first' | 'newest_first' | 'newest_ready_first') => {
      await transactor.write((tx) => resourceGroups.setMode(tx, group.id, mode));
      return isFree();
    };
    expect([await inMode('unordered'), await inMode('newest_ready_first'), await inMode('newest_first')]).toEqual([true, true, true]);
    expect(await inMode('oldest_first')).toBe(false);
    await transactor.write((tx) => bench.store.jobs.changeJob(tx, first.id, ['created'], { status: 'waiting_for_resource' }));
    expect(await isFree()).toBe(true);
    expect(await inMode('newest_first')).toBe(true);
    await transactor.write(async (tx) => {
      await bench.store.jobs.changeJob(tx, first.id, ['waiting_for_resource'], { status: 'pending' });
      await resourceGroups.take(tx, group.id, first.id);
    });
    expect(await isFree()).toBe(false);
  });

  test('bridges wait until they triggered something, and those that run are settled when it is over or gone', async () => {
    const at = await place();
    const line = await pipeline(at);
    const bridge = await job(line, { kind: 'bridge', status: 'pending' });
    const { flow, jobs, transactor } = bench.store;
    expect(ids(await flow.pendingBridges(null, 1000))).toContain(bridge.id);
    const upstream = { jobId: bridge.id, rootId: line.id, hops: 1, childDepth: 1, unprovable: true };
    const below = await pipeline(at, { source: 'parent_pipeline', upstream });
    expect(below.upstream).toEqual(upstream);
    expect([await flow.treeSize(null, line.id), ids(await flow.downstreamOf(null, line.id))]).toEqual([1, [below.id]]);
    await transactor.write((tx) => jobs.changeJob(tx, bridge.id, ['pending'], { status: 'running', downstreamId: below.id }));
    const settled = async () => (await flow.settledBridges(null, 1000)).filter((one) => one.bridge.id === bridge.id);
    expect([ids(await flow.pendingBridges(null, 1000)).includes(bridge.id), await settled()]).toEqual([false, []]);
    await transactor.write((tx) => jobs.changePipeline(tx, below.id, { status: 'success', finishedAt: now, name: 'named' }));
    expect(await settled()).toMatchObject([{ downstream: { id: below.id, status: 'success', name: 'named' } }]);
    // A list has child pipelines only where it asks for them.
    const listed = async (source?: 'parent_pipeline') =>
      ids((await jobs.listPipelines(null, at.project.id, source === undefined ? {} : { source }, firstPage)).rows);
    expect([(await listed()).includes(below.id), await listed('parent_pipeline')]).toEqual([false, [below.id]]);
    await transactor.write((tx) => flow.removePipeline(tx, below.id));
    expect([await jobs.pipeline(null, below.id), (await settled()).map(({ downstream }) => downstream)]).toEqual([undefined, [null]]);
  });

  test('a bridge that mirrors is stale where it waits and its pipeline does not, and the other way round; no other bridge is', async () => {
    const at = await place();
    const line = await pipeline(at);
    const { flow, jobs, transactor } = bench.store;
    const bridge = async (mirrors: boolean) => {
      const made = await job(line, { kind: 'bridge', status: 'pending', mirrors });
      const below = await pipeline(at, { source: 'parent_pipeline' });
      await transactor.write((tx) => jobs.changeJob(tx, made.id, ['pending'], { status: 'running', downstreamId: below.id }));
      const show = (status: 'running' | 'manual') =>
        transactor.write((tx) => jobs.changeJob(tx, made.id, ['running', 'manual'], { status }));
      const wait = (status: 'running' | 'manual') => transactor.write((tx) => jobs.changePipeline(tx, below.id, { status }));
      const stale = async () => ids(await flow.staleMirrors(null, 1000)).includes(made.id);
      return { made, below, show, wait, stale };
    };
    const mirror = await bridge(true);
    const seen = [await mirror.stale()];
    await mirror.wait('manual');
    seen.push(await mirror.stale());
    await mirror.show('manual');
    seen.push(await mirror.stale());
    await mirror.wait('running');
    seen.push(await mirror.stale());
    await mirror.wait('manual');
    await transactor.write((tx) => flow.removePipeline(tx, mirror.below.id));
    expect([...seen, await mirror.stale(), (await jobs.job(null, mirror.made.id))?.mirrors]).toEqual([
      false,
      true,
      false,
      true,
      true,
      true,
    ]);
    const depend = await bridge(false);
    await depend.wait('manual');
    const unplayed = await job(line, { kind: 'bridge', status: 'manual', mirrors: true });
    expect([await depend.stale(), ids(await flow.staleMirrors(null, 1000)).includes(unplayed.id)]).toEqual([false, false]);
  });

  test('redundant are unfinished older pipelines of the ref with another commit, that may be canceled', async () => {
    const at = await place();
    const sha = 'd'.repeat(40);
    const other = 'e'.repeat(40);
    const older = await pipeline(at, { sha });
    await pipeline(at, { sha: other });
    await pipeline(at, { sha, ref: 'work' });
    await pipeline(at, { sha, tag: true });
    await pipeline(at, { sha, source: 'schedule' });
    await pipeline(at, { sha, autoCancel: { onNewCommit: 'none', onJobFailure: 'none' } });
    const over = await pipeline(at, { sha });
    await bench.store.transactor.write((tx) => bench.store.jobs.changePipeline(tx, over.id, { finishedAt: now }));
    const newest = await pipeline(at, { sha: other });
    await pipeline(at, { sha });
    const found = ids(await bench.store.flow.redundant(null, newest)).filter((one) => one !== at.pipeline.id);
    expect(found).toEqual([older.id]);
  });

  test('failing are pipelines that one failure ends, while something of them goes on', async () => {
    const at = await place();
    const failing = async (line: PipelineRecord) => (await bench.store.flow.failing(null, 1000)).includes(line.id);
    const all = { onNewCommit: 'conservative', onJobFailure: 'all' } as const;
    const line = await pipeline(at, { autoCancel: all });
    expect(line.autoCancel).toEqual(all);
    await job(line, { status: 'failed', allowFailure: true });
    const rest = await job(line, { status: 'pending' });
    expect(await failing(line)).toBe(false);
    await job(line, { status: 'failed' });
    expect(await failing(line)).toBe(true);
    await bench.store.transactor.write((tx) => bench.store.jobs.changeJob(tx, rest.id, ['pending'], { status: 'canceled' }));
    expect(await failing(line)).toBe(false);
    const plain = await pipeline(at);
    await job(plain, { status: 'failed' });
    await job(plain, { status: 'pending' });
    expect(await failing(plain)).toBe(false);
  });

  test('a resource group has one holder, is freed with the end of its job, and gives way by its mode', async () => {
    const at = await place();
    const { resourceGroups, transactor, jobs } = bench.store;
    const [older, newer] = [await pipeline(at), await pipeline(at)];
    const wait = (line: PipelineRecord, status: 'created' | 'waiting_for_resource') =>
      job(line, { status: 'created', resourceGroup: 'prod' }, status === 'created' ? {} : { status });
    await transactor.write((tx) => resourceGroups.ensure(tx, at.project.id, 'prod', now));
    await transactor.write((tx) => resourceGroups.ensure(tx, at.project.id, 'prod', millis(now + 1)));
    const group = async () => {
      const found = await resourceGroups.byKey(null, at.project.id, 'prod');
      if (found === undefined) throw new Error('no group');
      return found;
    };
    expect(await group()).toMatchObject({ key: 'prod', processMode: 'unordered', holderId: null, createdAt: now });
    expect((await resourceGroups.list(null, at.project.id, firstPage)).total).toBe(1);
    const free = async () => ids(await resourceGroups.free(null, 1000)).includes((await group()).id);
    expect(await free()).toBe(false);
    const created = await wait(older, 'created');
    const first = await wait(older, 'waiting_for_resource');
    const second = await wait(newer, 'waiting_for_resource');
    expect(await free()).toBe(true);
    const upcoming = async (mode: Parameters<typeof resourceGroups.setMode>[2]) => {
      await transactor.write(async (tx) => resourceGroups.setMode(tx, (await group()).id, mode));
      return ids(await resourceGroups.upcoming(null, await group(), 10));
    };
    expect(await upcoming('unordered')).toEqual([first.id, second.id]);
    expect(await upcoming('oldest_first')).toEqual([first.id, created.id, second.id]);
    expect(await upcoming('newest_first')).toEqual([second.id, first.id, created.id]);
    expect(await upcoming('newest_ready_first')).toEqual([second.id, first.id]);
    const take = (one: JobRecord) => transactor.write(async (tx) => resourceGroups.take(tx, (await group()).id, one.id));
    expect(await Promise.all([take(first), take(second)])).toContain(false);
    const holder = (await group()).holderId ?? id<JobId>(0);
    expect([await free(), [first.id, second.id].includes(holder)]).toEqual([false, true]);
    const line = holder === first.id ? older.id : newer.id;
    await transactor.write((tx) => resourceGroups.release(tx, line));
    expect((await group()).holderId).toBe(holder);
    await transactor.write(async (tx) => {
      await jobs.changeJob(tx, holder, ['waiting_for_resource'], { status: 'canceled' });
      await resourceGroups.release(tx, line);
    });
    expect((await group()).holderId).toBeNull();
    expect(await free()).toBe(true);
  });

  test('environments are made once, changed and removed; deployments are the jobs that start them', async () => {
    const at = await place();
    const { environments, transactor } = bench.store;
    const made = { projectId: at.project.id, name: 'review/a', slug: 'review-a', tier: 'other', createdAt: now } as const;
    const ensure = (change: Partial<typeof made> | { tier: 'staging' }, given: boolean) =>
      transactor.write((tx) => environments.ensure(tx, { ...made, ...change }, given));
    const first = await ensure({}, false);
    expect(await ensure({ tier: 'staging' }, false)).toBe(first);
    expect(await environments.byId(null, at.project.id, first)).toEqual({
      ...made,
      id: first,
      externalUrl: null,
      state: 'available',
      autoStopAt: null,
      updatedAt: now,
    });
    await ensure({ tier: 'staging' }, true);
    await transactor.write((tx) => environments.change(tx, first, { state: 'stopped', externalUrl: 'https://a.example.com' }));
    await transactor.write((tx) => environments.change(tx, first, { autoStopAt: now }));
    const overdue = async (at: number) => (await environments.overdue(null, millis(at), 10)).map(({ id }) => id);
    expect([await overdue(now - 1), await overdue(now)]).toEqual([[], [first]]);
    const names = async (filter: Parameters<typeof environments.list>[2]) =>
      (await environments.list(null, at.project.id, filter, firstPage)).rows.map(({ name, tier }) => `${name} ${tier}`);
    expect(await names({ state: 'available' })).toEqual([]);
    expect([await names({ search: 'VIEW' }), await names({ name: 'review/a', state: 'stopped' }), await names({ name: 'review' })]).toEqual(
      [['review/a staging'], ['review/a staging'], []],
    );
    const line = await pipeline(at);
    const deploy = await job(line, { environmentId: first, environmentAction: 'start' });
    await job(line, { environmentId: first, environmentAction: 'stop' });
    expect(deploy).toMatchObject({ environmentId: first, environmentAction: 'start' });
    expect(await environments.lastDeployment(null, first)).toBeUndefined();
    const over = await job(line, { environmentId: first, environmentAction: 'start', status: 'failed' });
    expect((await environments.lastDeployment(null, first))?.id).toBe(over.id);
    const deployed = async (environment?: string) =>
      ids((await environments.deployments(null, at.project.id, environment === undefined ? {} : { environment }, firstPage)).rows);
    expect([await deployed(), await deployed('review/a'), await deployed('other')]).toEqual([
      [deploy.id, over.id],
      [deploy.id, over.id],
      [],
    ]);
    expect((await environments.deployment(null, at.project.id, deploy.id))?.id).toBe(deploy.id);
    await transactor.write((tx) => environments.remove(tx, first));
    expect([await environments.byId(null, at.project.id, first), await deployed()]).toEqual([undefined, []]);
  });

  test('an environment is stuck while it is stopping and no job stops it', async () => {
    const at = await place();
    const { environments, jobs, transactor } = bench.store;
    const made = { projectId: at.project.id, name: 'live', slug: 'live', tier: 'production', createdAt: now } as const;
    const live = await transactor.write((tx) => environments.ensure(tx, made, false));
    const stuck = async () => (await environments.stuckStopping(null, 1000)).includes(live);
    const seen = [await stuck()];
    await transactor.write((tx) => environments.change(tx, live, { state: 'stopping' }));
    seen.push(await stuck());
    const line = await pipeline(at);
    const stop = await job(line, { environmentId: live, environmentAction: 'stop', status: 'pending' });
    seen.push(await stuck());
    await transactor.write((tx) => jobs.changeJob(tx, stop.id, ['pending'], { status: 'failed' }));
    expect([...seen, await stuck()]).toEqual([false, true, false, true]);
  });

  test('what succeeded last on a ref, and numbers that are not given again', async () => {
    const at = await place();
    const { flow, jobs, transactor } = bench.store;
    const line = await pipeline(at);
    await job(line, { name: 'build', status: 'success', ref: 'main' });
    const last = await job(line, { name: 'build', status: 'success', ref: 'main' });
    await job(line, { name: 'build', status: 'failed', ref: 'main' });
    await job(line, { name: 'build', status: 'success', ref: 'other' });
    expect((await flow.latestSuccess(null, at.project.id, 'main', 'build'))?.id).toBe(last.id);
    expect(await flow.latestSuccess(null, at.project.id, 'main', 'nothing')).toBeUndefined();
    await transactor.write((tx) =>
      jobs.insertReport(tx, { jobId: last.id, type: 'junit', format: 'raw', filename: 'a', sizeBytes: 1, expireAt: null }),
    );
    await transactor.write((tx) => flow.removePipeline(tx, line.id));
    expect([await jobs.pipeline(null, line.id), await jobs.job(null, last.id), await jobs.reportsOf(null, last.id)]).toEqual([
      undefined,
      undefined,
      [],
    ]);
    expect((await pipeline(at)).iid).toBe(line.iid + 1);
    await transactor.write((tx) => flow.removePipeline(tx, id<PipelineId>(2_000_000_000)));
  });
}
