import { expect, test } from 'vitest';
import { millis } from '../../../src/base/ids.ts';
import type { NewCommitStatus } from '../../../src/ports/commit-statuses.ts';
import { addJobs, firstPage, newJob, newPipeline, now } from './seed.ts';
import type { Bench } from './suite.ts';

export function commitStatusCases(bench: Bench): void {
  test('statuses and jobs of a commit are one list, in order, filtered and paged; they go with their pipeline', async () => {
    const { commitStatuses, jobs, flow, transactor } = bench.store;
    const at = await addJobs(bench.store, 0);
    const sha = 'c'.repeat(40);
    const line = (change: object = {}) =>
      transactor.write((tx) => jobs.insertPipeline(tx, newPipeline(at.project.id, at.user.id, { sha, ref: 'work', ...change })));
    const [first, second, child, other] = [
      await line(),
      await line({ source: 'external' }),
      await line({ source: 'parent_pipeline' }),
      await line({ sha: 'd'.repeat(40) }),
    ];
    const job = (pipeline: typeof first, name: string, later: number) =>
      transactor.write(async (tx) => {
        const times = { createdAt: millis(now + later), sha: pipeline.sha, ref: pipeline.ref };
        const [made] = await jobs.insertJobs(tx, [newJob(pipeline, { name, stage: 'test', ...times })]);
        if (made === undefined) throw new Error('no job');
        return made;
      });
    const [old, fresh] = [await job(first, 'unit', 0), await job(first, 'unit', 2)];
    await job(child, 'below', 0);
    await job(other, 'elsewhere', 0);
    await transactor.write((tx) => jobs.changeJob(tx, old.id, [old.status], { retriedById: fresh.id }));
    const fields: NewCommitStatus = {
      projectId: at.project.id,
      pipelineId: second.id,
      sha,
      ref: 'work',
      name: 'lint',
      state: 'pending',
      targetUrl: 'https://ci.example.com/1',
      description: null,
      coverage: 12.5,
      authorId: at.user.id,
      writers: [at.user.id],
      createdAt: millis(now + 1),
      startedAt: null,
      finishedAt: null,
    };
    const say = (change: Partial<NewCommitStatus>) => transactor.write((tx) => commitStatuses.insert(tx, { ...fields, ...change }));
    const lint = await say({});
    expect(lint).toEqual({ ...fields, id: lint.id });
    const again = await say({ createdAt: millis(now + 3), state: 'running', coverage: null, pipelineId: second.id });
    await transactor.write((tx) => commitStatuses.replaceOthers(tx, again));
    expect(await commitStatuses.ofPipeline(null, second.id)).toEqual([again]);
    const plain = { all: false, orderBy: 'created', descending: false } as const;
    const names = async (filter: object, page = firstPage) => {
      const found = await commitStatuses.list(null, at.project.id, sha, { ...plain, ...filter }, page);
      return [found.total, ...found.rows.map((row) => `${row.kind} ${row.name} ${row.id}`)];
    };
    const [unit, said] = [`build unit ${fresh.id}`, `external lint ${again.id}`];
    expect(await names({})).toEqual([2, unit, said]);
    expect(await names({ all: true })).toEqual([4, `build unit ${old.id}`, `external lint ${lint.id}`, unit, said]);
    expect(await names({ descending: true })).toEqual([2, said, unit]);
    expect(await names({ orderBy: 'pipeline', descending: true })).toEqual([2, said, unit]);
    expect(await names({}, { page: 2, perPage: 1 })).toEqual([2, said]);
    expect(await names({ stage: 'test' })).toEqual([1, unit]);
    expect(await names({ stage: 'external', name: 'lint', ref: 'work', pipelineId: second.id })).toEqual([1, said]);
    expect(await names({ ref: 'main' })).toEqual([0]);
    expect((await commitStatuses.list(null, at.project.id, sha, { ...plain, stage: 'external' }, firstPage)).rows).toEqual([
      {
        kind: 'external',
        id: again.id,
        pipelineId: second.id,
        sha,
        ref: 'work',
        name: 'lint',
        status: 'running',
        allowFailure: false,
        userId: at.user.id,
        coverage: null,
        targetUrl: fields.targetUrl,
        description: null,
        createdAt: now + 3,
        startedAt: null,
        finishedAt: null,
      },
    ]);
    expect([await commitStatuses.nameOfJob(null, first.id, 'unit'), await commitStatuses.nameOfJob(null, first.id, 'lint')]).toEqual([
      true,
      false,
    ]);
    const changed = await transactor.write((tx) => commitStatuses.change(tx, again.id, { state: 'success', coverage: 50, writers: [] }));
    expect(changed).toEqual({ ...again, state: 'success', coverage: 50, writers: [] });
    expect(await jobs.coverageOf(null, second.id)).toBe(50);
    const open = await say({ name: 'open', coverage: null });
    expect(await transactor.write((tx) => commitStatuses.cancelOpen(tx, second.id, now))).toBe(1);
    expect(await commitStatuses.ofPipeline(null, second.id)).toEqual([changed, { ...open, state: 'canceled', finishedAt: now }]);
    expect(await commitStatuses.count(null, at.project.id, sha)).toBe(3);
    const forget = () => transactor.write((tx) => commitStatuses.forgetReplaced(tx, at.project.id, sha));
    expect([await forget(), await forget(), await commitStatuses.count(null, at.project.id, sha)]).toEqual([true, false, 2]);
    await transactor.write((tx) => flow.removePipeline(tx, second.id));
    expect(await commitStatuses.count(null, at.project.id, sha)).toBe(0);
    expect(await commitStatuses.ofPipeline(null, second.id)).toEqual([]);
  });
}
