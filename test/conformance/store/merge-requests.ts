import { expect, test } from 'vitest';
import { millis, type Oid } from '../../../src/base/ids.ts';
import type { MergeRequestRecord, NewMergeRequest } from '../../../src/ports/merge-requests.ts';
import { addProject, addUser, firstPage, newPipeline, now } from './seed.ts';
import type { Bench } from './suite.ts';

const [head, other] = ['a'.repeat(40) as Oid, 'b'.repeat(40) as Oid];

export function mergeRequestCases(bench: Bench): void {
  const conflict = expect.objectContaining({ code: 'conflict' });
  async function request(): Promise<NewMergeRequest> {
    const user = await addUser(bench.store);
    const { id: projectId } = await addProject(bench.store, { id: user.namespaceId }, user.id);
    const branches = { sourceBranch: 'work', targetBranch: 'main', headSha: head };
    const texts = { title: 'One', description: '', labels: ['a'], assigneeIds: [user.id], removeSourceBranch: true, squash: false };
    return { projectId, sourceProjectId: projectId, ...branches, ...texts, authorId: user.id, writers: [user.id], createdAt: now };
  }
  const insert = (made: NewMergeRequest): Promise<MergeRequestRecord> =>
    bench.store.transactor.write((tx) => bench.store.mergeRequests.insert(tx, made));

  test('a merge request comes back as it was put; one open one for the same branches; iid counts in each project', async () => {
    const { mergeRequests, transactor } = bench.store;
    const wanted = await request();
    const first = await insert(wanted);
    expect(first).toMatchObject({ ...wanted, iid: 1, state: 'opened', mergedBy: [], updatedAt: now });
    expect(await mergeRequests.byIid(null, wanted.projectId, 1)).toEqual(first);
    await expect(insert(wanted)).rejects.toThrow(conflict);
    expect(await mergeRequests.openFrom(null, wanted.projectId, 'work')).toEqual([first]);
    expect(await mergeRequests.openInto(null, wanted.projectId, 'main')).toEqual([first]);
    await transactor.write((tx) => mergeRequests.change(tx, first.id, { state: 'closed', closedAt: millis(now + 1), writers: [] }));
    expect(await mergeRequests.openFrom(null, wanted.projectId, 'work')).toEqual([]);
    expect((await insert(wanted)).iid).toBe(2);
    await expect(transactor.write((tx) => mergeRequests.change(tx, first.id, { state: 'opened' }))).rejects.toThrow(conflict);
    const listed = async (filter: object) =>
      (await mergeRequests.list(null, wanted.projectId, filter, firstPage)).rows.map(({ iid }) => iid);
    expect([await listed({}), await listed({ state: 'closed' }), await listed({ iids: [] }), await listed({ sourceBranch: 'x' })]).toEqual([
      [2, 1],
      [1],
      [],
      [],
    ]);
    await transactor.write((tx) =>
      mergeRequests.change(tx, first.id, {
        labels: ['a"b', 'c'],
        assigneeIds: [wanted.authorId],
        description: 'Of a Tool',
        updatedAt: millis(now + 5),
      }),
    );
    const by = [{ labels: ['c', 'a"b'] }, { labels: ['b'] }, { assigneeId: wanted.authorId }, { assigneeId: 1e9 }, { search: 'a tOOl' }];
    expect(await Promise.all(by.map(listed))).toEqual([[1], [], [2, 1], [], [1]]);
    const at = { createdAfter: millis(wanted.createdAt - 1), createdBefore: millis(wanted.createdAt + 1) };
    const ordered = [at, { ...at, createdBefore: wanted.createdAt }, { updatedAfter: wanted.createdAt }, { descending: false }];
    expect(await Promise.all(ordered.map(listed))).toEqual([[2, 1], [], [1], [1, 2]]);
    expect(await listed({ orderBy: 'updatedAt' })).toEqual([1, 2]);
  });

  test('it is found by its commits, has notes and pipelines, and goes with its project', async () => {
    const { mergeRequests, transactor, forge, jobs } = bench.store;
    const wanted = await request();
    const { id, projectId } = await insert(wanted);
    await transactor.write(async (tx) => {
      await mergeRequests.holdCommits(tx, id, [head, other]);
      await mergeRequests.holdCommits(tx, id, [other]);
      await mergeRequests.addNote(tx, id, { authorId: wanted.authorId, body: 'fine', system: false, createdAt: now });
      await jobs.insertPipeline(tx, newPipeline(projectId, wanted.authorId, { mergeRequestId: id }));
    });
    expect(await mergeRequests.ofCommit(null, projectId, head)).toEqual([]);
    expect((await mergeRequests.ofCommit(null, projectId, other)).map((one) => one.id)).toEqual([id]);
    expect(await mergeRequests.notes(null, id, firstPage)).toMatchObject({ total: 1, rows: [{ body: 'fine', system: false }] });
    expect(await mergeRequests.noteCount(null, id)).toBe(1);
    expect(await jobs.ofMergeRequest(null, id, 10)).toMatchObject([{ mergeRequestId: id }]);
    await transactor.write((tx) => forge.projects.remove(tx, projectId));
    expect([await mergeRequests.byId(null, id), await mergeRequests.ofCommit(null, projectId, other)]).toEqual([undefined, []]);
  });
}
