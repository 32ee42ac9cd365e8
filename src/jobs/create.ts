import { errorCodes, isJobpassError, JobpassError } from '../base/errors.ts';
import { type JobId, type Oid, parseOid, type PassId, type UserId, zeroOid } from '../base/ids.ts';
import { limits } from '../base/limits.ts';
import type { RefsUpdated } from '../forge/forge.ts';
import type { Grant } from '../pass/grant.ts';
import { inheritedVariables } from '../pipeline/defaults.ts';
import type { InputArguments } from '../pipeline/inputs.ts';
import type { Plan } from '../pipeline/plan.ts';
import type { ProjectFacts } from '../ports/directory.ts';
import type { NewJob, PipelineRecord, PipelineSource, PipelineVariable, Upstream } from '../ports/jobs.ts';
import type { MergeRequestId } from '../ports/merge-requests.ts';
import type { Tx } from '../ports/tx.ts';
import { advance } from './advance.ts';
import { cancelRedundant } from './auto-cancel.ts';
import { type Configuration, configure } from './configuration.ts';
import type { JobsDeps } from './deps.ts';
import { environmentsFor } from './environment-rows.ts';
import { openRequests } from './open-requests.ts';
import { asSystem } from './system.ts';

const ciFile = '.gitlab-ci.yml';
/** As GitLab: a push of more refs than this starts nothing. */
const refsPerPush = 4;

/** What a pipeline is made from. */
export interface CreateRequest {
  readonly project: ProjectFacts;
  readonly ref: string;
  readonly tag: boolean;
  readonly sha: Oid;
  readonly beforeSha: Oid;
  readonly source: PipelineSource;
  /** Ordered; the first is the pipeline's user. */
  readonly creators: readonly UserId[];
  readonly parentJobId: JobId | null;
  /** The pass that started it; null = none did. */
  readonly passId: PassId | null;
  /** The pass that started the pipeline which triggers this one, or one above it. */
  readonly chainPassId?: PassId | null;
  readonly chainDepth: number;
  readonly variables: readonly PipelineVariable[];
  /** For the `spec:inputs` of its file. */
  readonly inputs?: InputArguments;
  /** What only its source knows of it (`NewPipeline`). */
  readonly sourceVariables?: Readonly<Record<string, string>>;
  readonly mergeRequestId?: MergeRequestId;
  /** Somebody wants this pipeline, and is told why there is none. Pushes and new merge requests only give the file a chance to want one. */
  readonly asked?: true;
  /** Asks the grant behind it again, in the transaction that makes the rows (R2). */
  readonly confirm?: (tx: Tx) => Promise<void>;
  /** In place of the project's own file: another of the same commit, or a text that a job made. */
  readonly config?: { readonly file: string } | { readonly text: string };
  readonly upstream?: Upstream;
  /** In the transaction that makes the rows, once they are there. */
  readonly made?: (tx: Tx, pipeline: PipelineRecord) => Promise<void>;
}

/** A configuration that comes to a pipeline. */
interface Configured extends Pick<Configuration, 'commits'> {
  readonly plan: Plan;
}

/**
 * Reads the file at the commit and makes the pipeline's rows. A mistake in the file makes a failed pipeline that says why.
 * @returns undefined where the commit has no file, and for a push that the file's workflow does not want
 */
export function createPipeline(deps: JobsDeps, request: CreateRequest): Promise<PipelineRecord | undefined> {
  const { project, sha } = request;
  return asSystem(deps, 'read_ci_file', project.id, `pipeline-${sha.slice(0, 12)}`, async (grant) => {
    const { config = { file: ciFile } } = request;
    const text =
      'text' in config
        ? config.text
        : await deps.forge.repository.textFile(grant, project.id, sha, config.file, limits.ciFileBytes).catch(tooLarge);
    if (text === undefined) return undefined;
    const planned =
      text === null ? `${nameOf(request)} is larger than ${limits.ciFileBytes} bytes.` : await plan(deps, grant, request, text);
    return planned === undefined ? undefined : insert(deps, request, planned);
  });
}

/** For people. */
function nameOf({ config }: CreateRequest): string {
  return config !== undefined && 'file' in config ? config.file : ciFile;
}

/** A file that is too large is a mistake in the file like any other. */
function tooLarge(error: unknown): null {
  if (isJobpassError(error, 'too_large')) return null;
  throw error;
}

async function plan(deps: JobsDeps, grant: Grant, request: CreateRequest, text: string): Promise<Configured | string | undefined> {
  const { plan: planned, errors, filtered, commits } = await configure(deps, grant, { ...request, kept: true }, nameOf(request), text);
  if (planned !== undefined) return { plan: planned, commits };
  // Who asked for the pipeline is told; who pushed asked for none.
  const unasked = request.source === 'push' || (request.source === 'merge_request_event' && request.asked !== true);
  return filtered && unasked ? undefined : errors.join('\n');
}

async function insert(deps: JobsDeps, request: CreateRequest, planned: Configured | string): Promise<PipelineRecord> {
  const { project, ref, tag, sha } = request;
  const [userId] = request.creators;
  if (userId === undefined) throw new JobpassError('internal', {}, new Error('a pipeline without a user'));
  const now = deps.clock.now();
  const failed = typeof planned === 'string';
  const pipeline = await deps.transactor.write(async (tx) => {
    await request.confirm?.(tx);
    const row = await deps.jobs.insertPipeline(tx, {
      projectId: project.id,
      ref,
      tag,
      sha,
      beforeSha: request.beforeSha,
      source: request.source,
      status: failed ? 'failed' : 'created',
      userId,
      creators: request.creators,
      parentJobId: request.parentJobId,
      passId: request.passId ?? request.chainPassId ?? null,
      chainDepth: request.chainDepth,
      variables: request.variables,
      sourceVariables: request.sourceVariables ?? {},
      inputs: request.inputs ?? {},
      upstream: request.upstream ?? null,
      mergeRequestId: request.mergeRequestId ?? null,
      yamlErrors: failed ? planned : null,
      ...(failed ? {} : { autoCancel: { onNewCommit: 'conservative', onJobFailure: 'none', ...planned.plan.autoCancel } }),
      ...(failed || planned.plan.name === undefined ? {} : { name: planned.plan.name }),
      createdAt: now,
    });
    if (failed) await deps.jobs.changePipeline(tx, row.id, { finishedAt: now });
    else {
      const { plan: made, commits } = planned;
      await deps.pipelineIncludes.put(tx, row.id, commits);
      const places = await environmentsFor(deps, tx, project.id, made.jobs, now);
      const jobs = made.jobs.map((job): NewJob => ({
        pipelineId: row.id,
        projectId: project.id,
        name: job.name,
        stage: job.stage,
        stageIndex: job.stageIndex,
        status: 'created',
        ref,
        tag,
        sha,
        userId,
        allowFailure: job.allowFailure,
        when: job.when,
        tags: job.tags,
        timeoutSeconds: job.timeoutSeconds ?? 3600,
        plan: JSON.stringify({
          job,
          globals: inheritedVariables(made.variables, job.inheritVariables),
          ...(made.rawVariables === undefined ? {} : { rawGlobals: made.rawVariables }),
        }),
        needs: job.needs ?? null,
        retriedById: null,
        createdAt: now,
        resourceGroup: job.resourceGroup ?? null,
        kind: job.trigger === undefined && job.upstreamProject === undefined ? 'build' : 'bridge',
        mirrors: job.trigger?.strategy === 'mirror' || job.upstreamProject !== undefined,
        environmentId: places.get(job.environment?.name ?? '') ?? null,
        environmentAction: job.environment?.action ?? null,
      }));
      for (const key of new Set(jobs.flatMap((job) => job.resourceGroup ?? []))) await deps.resourceGroups.ensure(tx, project.id, key, now);
      await deps.jobs.insertJobs(tx, jobs);
      await advance(deps, tx, row.id);
    }
    const made = (await deps.jobs.pipeline(tx, row.id)) ?? row;
    await request.made?.(tx, made);
    return made;
  });
  deps.log.info('pipeline.created', { pipeline: pipeline.id, project: project.id, status: pipeline.status, source: pipeline.source });
  deps.wakeup.changed();
  await cancelRedundant(deps, pipeline);
  return pipeline;
}

/** What a job hears that may start no other. */
export const startsNothing = 'This would be a job started by a job: the project does not allow that (jobpass_chain_depth is 0; R5).';

/** How deep the pipeline that a pass starts here would stand; undefined = not allowed (R5). */
export async function chainDepthFor(deps: JobsDeps, parentJob: JobId, target: ProjectFacts): Promise<number | undefined> {
  const parent = await deps.jobs.job(null, parentJob);
  const pipeline = parent === undefined ? undefined : await deps.jobs.pipeline(null, parent.pipelineId);
  const source = parent === undefined ? undefined : await deps.directory.project(null, parent.projectId);
  if (pipeline === undefined || source === undefined) return undefined;
  const depth = pipeline.chainDepth + 1;
  return depth <= Math.min(source.chainDepth, target.chainDepth) ? depth : undefined;
}

/**
 * Whoever a job's credential stands for, and all whose hands are in the job: what it starts is made by each of them (R3, A58).
 * @throws access_denied where they cannot be told
 */
export async function everybodyBehind(deps: JobsDeps, job: JobId, first: readonly UserId[]): Promise<readonly UserId[]> {
  const rights = await deps.jobRights.of(null, job);
  if (rights?.provable !== true)
    throw new JobpassError('access_denied', 'This job may start no pipeline: it cannot be told whose rights it intersects (R3).');
  return [...new Set([...first, ...rights.principals.map(({ userId }) => userId)])];
}

/** Pipelines of a push, web edit or API write; at most one for each ref. */
export async function pipelinesOfPush(deps: JobsDeps, event: RefsUpdated): Promise<void> {
  const project = await deps.directory.project(null, event.projectId);
  if (project === undefined || event.skipCi || event.pushers.length === 0) return;
  let chainDepth = 0;
  // What the ordinary job token wrote starts nothing (GitLab): there is no pass whose limits a child could have (R5).
  if (event.passId === null && event.jobId !== null) return;
  if (event.passId !== null) {
    const depth = event.jobId === null ? undefined : await chainDepthFor(deps, event.jobId, project);
    if (depth === undefined) {
      deps.log.info('pipeline.chain_stopped', { project: project.id, job: event.jobId });
      return;
    }
    chainDepth = depth;
  }
  const moved = event.changes.filter((change) => change.newOid !== zeroOid && /^refs\/(?:heads|tags)\//.test(change.ref));
  if (moved.length > refsPerPush) {
    deps.log.info('pipeline.push_too_wide', { project: project.id, refs: moved.length });
    return;
  }
  for (const change of moved) await unlessHopeless(deps, event, () => pipelineOfRef(deps, event, project, change, chainDepth));
}

/** Of one push: what may pass is tried again at the next start; what would be the same then is logged, and keeps no other pipeline from being made. */
export async function unlessHopeless(
  { log }: Pick<JobsDeps, 'log'>,
  { projectId, pushId }: RefsUpdated,
  make: () => Promise<unknown>,
): Promise<void> {
  try {
    await make();
  } catch (error) {
    if (!isJobpassError(error) || errorCodes[error.code].retryable) throw error;
    log.error('pipeline.not_created', { project: projectId, push: pushId }, error);
  }
}

async function pipelineOfRef(
  deps: JobsDeps,
  event: RefsUpdated,
  project: ProjectFacts,
  change: RefsUpdated['changes'][number],
  chainDepth: number,
): Promise<void> {
  // What was pushed, not what stands there now: the next push may be somebody else's.
  const commit = await asSystem(deps, 'read_ci_file', project.id, `push-${event.pushId}`, (grant) =>
    deps.forge.repository.commit(grant, project.id, change.newOid),
  );
  if (commit === undefined || /\[(?:ci[ -]skip|skip[ -]ci)\]/i.test(commit.message)) return;
  await createPipeline(deps, {
    project,
    ref: change.ref.replace(/^refs\/(?:heads|tags)\//, ''),
    tag: change.ref.startsWith('refs/tags/'),
    sha: commit.id,
    beforeSha: parseOid(change.oldOid) ?? zeroOid,
    source: 'push',
    creators: event.pushers,
    parentJobId: event.passId === null ? null : event.jobId,
    passId: event.passId,
    chainDepth,
    variables: [],
    ...(change.ref.startsWith('refs/heads/')
      ? { sourceVariables: await openRequests(deps, project.id, change.ref.slice('refs/heads/'.length)) }
      : {}),
  });
}
