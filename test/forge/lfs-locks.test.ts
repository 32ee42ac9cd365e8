import { afterAll, beforeAll, expect, test } from 'vitest';
import { type AuditId, id, type JobId, millis, type PassId, type PipelineId, type ProjectId, type UserId } from '../../src/base/ids.ts';
import { makeLfsForge } from '../../src/forge/embedded/lfs/lfs-forge.ts';
import { type Grant, makeGrant } from '../../src/pass/grant.ts';
import { startImages, type TestImages } from './oci/images.ts';

let images: TestImages;
beforeAll(async () => {
  images = await startImages();
});
afterAll(() => images.close());

const project = id<ProjectId>(7);
const [alice, mallory] = [id<UserId>(1), id<UserId>(2)];
const passOf = (job: number, ...principals: UserId[]): Grant =>
  makeGrant({
    identity: {
      kind: 'pass',
      passId: id<PassId>(1),
      passKind: 'full',
      jobId: id<JobId>(job),
      pipelineId: id<PipelineId>(1),
      projectId: project,
      sha: '0'.repeat(40),
      chainDepth: 0,
      ownProjectOnly: false,
      principals,
    },
    accesses: [{ permission: 'code:push', resource: { kind: 'project', id: project } }],
    auditId: id<AuditId>(1),
    requestId: 'request',
    filter: null,
    signal: new AbortController().signal,
    confirm: () => Promise.resolve(),
  });

test('R3 a pass takes back a lock of its first principal only where nobody else stands behind it, or its own job locked it', async () => {
  const { deps, store } = images;
  const forge = makeLfsForge({
    ...deps,
    lfs: store.forge.lfs,
    directory: store.directory,
    clock: { now: () => millis(1), monotonic: () => 1 },
  });
  const { lock } = await forge.lock(passOf(1, alice), project, 'art.psd', alice);
  await expect(forge.unlock(passOf(2, alice, mallory), project, lock.id, alice, false)).rejects.toMatchObject({ code: 'access_denied' });
  expect((await forge.unlock(passOf(3, alice), project, lock.id, alice, false)).id).toBe(lock.id);
  const { lock: jobs } = await forge.lock(passOf(2, alice, mallory), project, 'art.psd', alice);
  await expect(forge.unlock(passOf(4, alice, mallory), project, jobs.id, alice, false)).rejects.toMatchObject({ code: 'access_denied' });
  expect((await forge.unlock(passOf(2, alice, mallory), project, jobs.id, alice, false)).id).toBe(jobs.id);
});
