import { id, millis } from '../../src/base/ids.ts';
import type { JobRecord } from '../../src/ports/jobs.ts';

/** A job that nothing has happened to, with changes. */
export function sampleJob(change: Partial<JobRecord> = {}): JobRecord {
  return {
    id: id(1),
    pipelineId: id(1),
    projectId: id(1),
    name: 'job',
    stage: 'test',
    stageIndex: 0,
    status: 'created',
    ref: 'main',
    tag: false,
    sha: 'a'.repeat(40),
    userId: id(1),
    allowFailure: false,
    when: 'on_success',
    tags: [],
    timeoutSeconds: 60,
    plan: '{}',
    needs: null,
    retriedById: null,
    createdAt: millis(0),
    runnerId: null,
    tokenDigest: null,
    failureReason: null,
    exitCode: null,
    queuedAt: null,
    startedAt: null,
    finishedAt: null,
    cancelingSince: null,
    contactAt: null,
    artifactsFile: null,
    artifactsSizeBytes: null,
    artifactsExpireAt: null,
    managerId: null,
    dotenv: null,
    ...change,
  };
}
