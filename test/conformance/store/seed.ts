import { createHash, randomBytes } from 'node:crypto';
import { id, type JobId, millis, type ProjectId, type SecretDigest, type UserId } from '../../../src/base/ids.ts';
import type { Visibility } from '../../../src/base/levels.ts';
import type { GroupRecord, ProjectRecord, UserRecord } from '../../../src/forge/embedded/ports.ts';
import type { NewAuditRow } from '../../../src/ports/audit.ts';
import type { JobRecord, JobStatus, NewJob, NewPipeline } from '../../../src/ports/jobs.ts';
import type { NewRunner, RunnerRecord } from '../../../src/ports/runners.ts';
import type { NewPass, PassRecord } from '../../../src/ports/passes.ts';
import type { Store } from '../../../src/store/open.ts';

/** A time past 2^31 seconds in milliseconds: it must survive both engines. */
export const now = millis(1_795_000_000_123);
export const firstPage = { page: 1, perPage: 100 };
const sha = 'a'.repeat(40);

export function digestOf(text: string = randomBytes(8).toString('hex')): SecretDigest {
  return createHash('sha256').update(text).digest('hex') as SecretDigest;
}

/** A name that no other test of the same store uses. */
export function uniqueName(prefix = 'n'): string {
  return `${prefix}${randomBytes(5).toString('hex')}`;
}

export function addUser(store: Store, username = uniqueName('user')): Promise<UserRecord> {
  const user = { username, name: `Name of ${username}`, email: `${username}@Example.org`, isAdmin: false, createdAt: now };
  return store.transactor.write((tx) => store.forge.users.insert(tx, user));
}

export function addGroup(
  store: Store,
  parent: GroupRecord | null = null,
  visibility: Visibility = 'private',
  slug = uniqueName('group'),
): Promise<GroupRecord> {
  const group = { name: slug, slug, description: '', visibility, parentId: parent?.id ?? null, createdAt: now };
  return store.transactor.write((tx) => store.forge.groups.insert(tx, group));
}

export function addProject(
  store: Store,
  namespace: Pick<GroupRecord, 'id'>,
  creatorId: UserId,
  visibility: Visibility = 'private',
  slug = uniqueName('project'),
): Promise<ProjectRecord> {
  const project = {
    name: slug,
    slug,
    namespaceId: namespace.id,
    description: '',
    visibility,
    defaultBranch: 'main',
    creatorId,
    createdAt: now,
  };
  return store.transactor.write((tx) => store.forge.projects.insert(tx, project));
}

export function newPipeline(projectId: ProjectId, userId: UserId, change: Partial<NewPipeline> = {}): NewPipeline {
  return {
    projectId,
    ref: 'main',
    tag: false,
    sha,
    beforeSha: '0'.repeat(40),
    source: 'push',
    status: 'pending',
    userId,
    creators: [userId],
    parentJobId: null,
    chainDepth: 0,
    variables: [{ key: 'KEY', value: 'välue' }],
    sourceVariables: { CI_PIPELINE_SCHEDULE_DESCRIPTION: 'nightly' },
    yamlErrors: null,
    createdAt: now,
    ...change,
  };
}

export function newJob(pipeline: { id: NewJob['pipelineId']; projectId: ProjectId; userId: UserId }, change: Partial<NewJob> = {}): NewJob {
  return {
    pipelineId: pipeline.id,
    projectId: pipeline.projectId,
    name: 'build',
    stage: 'test',
    stageIndex: 0,
    status: 'pending',
    ref: 'main',
    tag: false,
    sha,
    userId: pipeline.userId,
    allowFailure: false,
    when: 'on_success',
    tags: [],
    timeoutSeconds: 3600,
    plan: '{"script":["true"]}',
    needs: null,
    retriedById: null,
    createdAt: now,
    ...change,
  };
}

/** A project of its own user, with one pipeline of `count` jobs. */
export async function addJobs(store: Store, count: number, change: Partial<NewJob> = {}) {
  const user = await addUser(store);
  const project = await addProject(store, { id: user.namespaceId }, user.id);
  return store.transactor.write(async (tx) => {
    const pipeline = await store.jobs.insertPipeline(tx, newPipeline(project.id, user.id));
    const made = Array.from({ length: count }, (_, index) => newJob(pipeline, { name: `job ${index}`, ...change }));
    return { user, project, pipeline, jobs: await store.jobs.insertJobs(tx, made) };
  });
}

/** One job in the given state. */
export async function addJob(store: Store, status: JobStatus): Promise<JobRecord> {
  const { jobs } = await addJobs(store, 1, { status });
  const [job] = jobs;
  if (job === undefined) throw new Error('no job was made');
  return job;
}

export function addRunner(store: Store, creatorId: UserId, change: Partial<NewRunner> = {}): Promise<RunnerRecord> {
  const runner: NewRunner = {
    scope: 'instance',
    scopeId: null,
    description: 'runner',
    tags: ['linux'],
    runUntagged: true,
    protectedOnly: false,
    paused: false,
    tokenDigest: digestOf(),
    creatorId,
    createdAt: now,
    ...change,
  };
  return store.transactor.write((tx) => store.runners.insert(tx, runner));
}

export async function addPass(store: Store, job: JobRecord, change: Partial<NewPass> = {}): Promise<PassRecord> {
  const pass: NewPass = {
    kind: 'full',
    digest: digestOf(),
    jobId: job.id,
    pipelineId: job.pipelineId,
    projectId: job.projectId,
    sha: job.sha,
    parentId: null,
    principals: [{ userId: job.userId, reason: 'starter' }],
    ownProjectOnly: false,
    chainDepth: 0,
    limits: [],
    issuedAt: now,
    expiresAt: millis(now + 3_600_000),
    ...change,
  };
  const passId = await store.transactor.write((tx) => store.passes.insert(tx, pass));
  return { ...pass, id: passId, revokedAt: null, revokedReason: null };
}

export function auditRow(change: Partial<NewAuditRow> = {}): NewAuditRow {
  return {
    at: now,
    decision: 'allow',
    subject: 'pass',
    passId: null,
    passKind: 'full',
    jobId: null,
    pipelineId: null,
    jobProjectId: null,
    principals: [],
    accesses: [],
    door: 'api',
    endpoint: 'GET /api/v4/projects/:id',
    rule: 'R1',
    reason: 'the user may',
    requestId: 'request-1',
    count: 1,
    ...change,
  };
}

/** An id that no row has. */
export const unknownId = 2_000_000_000;
export const unknownJob = id<JobId>(unknownId);
