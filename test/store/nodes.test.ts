import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { id, type Oid, type ProjectId, type RefName, type UserId, zeroOid } from '../../src/base/ids.ts';
import type { Nodes } from '../../src/ports/nodes.ts';
import { openStore, type Store } from '../../src/store/open.ts';
import { postgresEngine } from '../conformance/store/engine.ts';
import { startTestServer } from '../support/server.ts';

const engine = await postgresEngine();

describe.skipIf(engine === undefined)('several nodes on one PostgreSQL', () => {
  let url: string;
  const stores: Store[] = [];
  const joined: Nodes[] = [];
  beforeAll(async () => {
    url = (await engine?.fresh()) ?? '';
  });
  afterAll(async () => {
    for (const node of joined) await node.close();
    for (const store of stores) await store.close();
    await engine?.stop();
  });

  async function begin(): Promise<Nodes> {
    const store = await openStore(url);
    stores.push(store);
    const node = await store.nodes();
    joined.push(node);
    return node;
  }
  const nothing = () => Promise.resolve();

  test('R3 what a living node left half done is nobody else’s; of one that is gone it is done once', async () => {
    const [a, b, c] = [await begin(), await begin(), await begin()];
    expect(new Set([a.self, b.self, c.self]).size).toBe(3);
    expect([await b.inherit(a.self, nothing), await b.inherit(b.self, nothing)]).toEqual([false, false]);
    await a.close();
    const beside: boolean[] = [];
    expect(await b.inherit(a.self, async () => void beside.push(await c.inherit(a.self, nothing)))).toBe(true);
    expect(beside).toEqual([false]);
    await expect(b.inherit(a.self, () => Promise.reject(new Error('not done')))).rejects.toThrow('not done');
    expect(await c.inherit(a.self, nothing)).toBe(true);
  });

  test('R3 a node that lost its connection is alive as soon as it has another', async () => {
    const [a, b] = [await begin(), await begin()];
    expect(await engine?.cut(url, 'jobpass node')).toBeGreaterThanOrEqual(2);
    // Its own next question goes behind the lock that it takes anew.
    await expect.poll(() => a.inherit(0, nothing).catch(() => false), { timeout: 20_000 }).toBe(true);
    await expect.poll(() => b.inherit(a.self, nothing).catch(() => true), { timeout: 20_000 }).toBe(false);
  });

  test('R3 A55 a start beside a node finishes none of its pushes and empties none of its folders; the next start after its end does', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'jobpass-nodes-'));
    const database = (await engine?.fresh()) ?? '';
    const first = await startTestServer({ dataDir, database });
    const project = id<ProjectId>(await first.project('team/app'));
    const [node = ''] = await readdir(join(dataDir, 'scratch'));
    await mkdir(join(dataDir, 'scratch', node, 'write-half'));
    await writeFile(join(dataDir, 'scratch', node, 'write-half', 'object'), 'half');
    const commit = 'a'.repeat(40) as Oid;
    const pusher = id<UserId>(1);
    const push = {
      projectId: project,
      changes: [{ ref: 'refs/heads/main' as RefName, oldOid: zeroOid, newOid: commit }],
      pushers: [pusher],
      passId: null,
      jobId: null,
      commits: [commit],
      skipCi: false,
      at: systemClock.now(),
      node: Number(node),
    };
    await first.store.transactor.write((tx) => first.store.forge.pushLog.prepare(tx, push));
    const left = async ({ store }: { readonly store: Store }) => ({
      pushes: (await store.forge.pushLog.unfinished(null)).length,
      pushers: [...(await store.forge.pushLog.pushersOf(null, project, [commit])).values()].flat(),
      scratch: (await readdir(join(dataDir, 'scratch'))).includes(node),
    });

    const second = await startTestServer({ dataDir, database });
    expect(await left(second)).toEqual({ pushes: 1, pushers: [pusher], scratch: true });
    expect(await readdir(join(dataDir, 'scratch', node, 'write-half'))).toEqual(['object']);
    await first.stop();
    const third = await startTestServer({ dataDir, database });
    expect(await left(third)).toEqual({ pushes: 0, pushers: [], scratch: false });
    await second.stop();
    await third.stop();
    await rm(dataDir, { recursive: true, force: true });
  });
});
