import { isJobpassError, JobpassError } from '../base/errors.ts';
import { type Oid, type UserId, zeroOid } from '../base/ids.ts';
import { limits } from '../base/limits.ts';
import type { BridgeIdentity, Grant } from '../pass/grant.ts';
import type { Principals } from '../pass/principals.ts';
import type { Refusal } from '../pass/subject.ts';
import { secretText } from '../pipeline/given.ts';
import type { PlanJob, PlanTrigger } from '../pipeline/plan.ts';
import type { Expander } from '../pipeline/variables.ts';
import type { ProjectFacts } from '../ports/directory.ts';
import type { JobRecord, PipelineRecord, PipelineVariable, Upstream } from '../ports/jobs.ts';
import type { Tx } from '../ports/tx.ts';
import { advance } from './advance.ts';
import { BridgeRefusal } from './bridge-refusal.ts';
import { bridgeIdentity } from './bridge-rights.ts';
import { type BridgeVariables, bridgeVariables, targetOf } from './bridge-variables.ts';
import { childFile, type ChildFile } from './child-file.ts';
import { type CreateRequest, createPipeline } from './create.ts';
import { dependenciesOf } from './dependencies.ts';
import { deployed } from './deployment.ts';
import type { JobsDeps } from './deps.ts';
import { addressOf } from './job-values.ts';
import { keptVariables, unopened } from './kept-variables.ts';
import { mayRunOn, refText } from './ref-rights.ts';
import { subscribe } from './subscribe.ts';
import { principalsOfJob, refProtected } from './whose.ts';

const atOnce = 50;
/** The number that no project has: what is not there is asked for like what is hidden (A41). */
const nobody = 0 as ProjectFacts['id'];

/** Triggers what the waiting bridges name. Each is found in its row until it has moved, in the transaction that makes the downstream pipeline. */
export async function startBridges(deps: JobsDeps): Promise<void> {
  for (const bridge of await deps.flow.pendingBridges(null, atOnce)) {
    try {
      await trigger(deps, bridge);
    } catch (error) {
      if (isJobpassError(error, 'store_unavailable') || isJobpassError(error, 'audit_unavailable')) throw error;
      // Another node was faster, or somebody canceled it.
      if (isJobpassError(error, 'conflict')) continue;
      if (!(error instanceof BridgeRefusal)) deps.log.error('bridge.broken', { job: bridge.id }, error);
      const unknown = new BridgeRefusal('downstream_pipeline_creation_failed', 'The downstream pipeline could not be made.');
      await fail(deps, bridge, error instanceof BridgeRefusal ? error : unknown);
    }
  }
}

/** Everything about the hop that is known before the transaction that makes it. */
interface Hop {
  readonly bridge: JobRecord;
  readonly project: ProjectFacts;
  readonly pipeline: PipelineRecord;
  readonly plan: PlanTrigger;
  readonly expander: Expander;
  readonly forwardedTo: BridgeVariables['forwardedTo'];
  readonly setters: readonly UserId[];
  readonly dependencies: readonly JobRecord[];
  /** Where people find what it deployed; null = it names no address. */
  readonly url: string | null;
}

async function trigger(deps: JobsDeps, bridge: JobRecord): Promise<void> {
  const { job: planned }: { job: PlanJob } = JSON.parse(bridge.plan);
  if (planned.upstreamProject !== undefined) return subscribe(deps, bridge, planned.upstreamProject);
  const hop = await prepare(deps, bridge);
  const target = hop.plan.include === undefined ? await otherProject(deps, hop) : hop.project;
  const child = hop.plan.include === undefined ? undefined : await childFile(deps, bridge, hop.plan.include, hop.expander);
  const upstream = upstreamOf(hop, child !== undefined);
  const rootId = upstream.rootId;
  if ((await deps.flow.treeSize(null, rootId)) >= limits.downstreamPipelines)
    throw new BridgeRefusal(
      'reached_max_pipeline_hierarchy_size',
      `Below one pipeline there are at most ${limits.downstreamPipelines} others.`,
    );
  const artifactJobs = [...hop.dependencies, ...(child?.from === undefined ? [] : [child.from])];
  const principals = await principalsOfJob(deps, hop.project, hop.pipeline, bridge, null, artifactJobs, hop.setters);
  const identity = await bridgeIdentity(deps, bridge, hop.pipeline, principals, child !== undefined);
  const admission = await deps.gatekeeper.admit(
    identity,
    [{ permission: 'pipeline:create', resource: { kind: 'project', id: target?.id ?? nobody } }],
    { door: 'jobs', endpoint: 'trigger', requestId: `job-${bridge.id}`, secure: true },
  );
  if (!admission.ok) throw refusedBy(admission.refusal);
  const { grant } = admission;
  try {
    if (target === undefined) throw refusedBy({ code: 'not_found', message: '404 Project Not Found', rule: 'R11' });
    await make(deps, hop, {
      grant,
      identity,
      target,
      child,
      upstream: { ...upstream, unprovable: principals.ownProjectOnly },
      principals,
    });
    await deps.gatekeeper.settle(grant, 'done');
  } catch (error) {
    await deps.gatekeeper.settle(grant, error instanceof BridgeRefusal || isJobpassError(error) ? 'refused' : 'failed');
    throw error;
  }
}

async function prepare(deps: JobsDeps, bridge: JobRecord): Promise<Hop> {
  const no = (text: string): BridgeRefusal => new BridgeRefusal('insufficient_bridge_permissions', text);
  const project = await deps.directory.project(null, bridge.projectId);
  const pipeline = await deps.jobs.pipeline(null, bridge.pipelineId);
  const user = (await deps.directory.users(null, [bridge.userId])).get(bridge.userId);
  if (project === undefined || pipeline === undefined || user === undefined) throw no('Its project, pipeline or user is gone.');
  if (project.archived) throw no('Its project is archived.');
  // The right that it was started with may be gone by now (A7).
  if (!(await mayRunOn(deps, null, [bridge.userId], bridge.projectId, { name: bridge.ref, tag: bridge.tag }, true))) throw no(refText);
  const { job: plan }: { job: PlanJob } = JSON.parse(bridge.plan);
  if (plan.trigger === undefined) throw new BridgeRefusal('invalid_bridge_trigger', 'It says nothing to trigger.');
  const dependencies = (await dependenciesOf(deps, bridge, plan)).filter(({ dotenv }) => dotenv !== null);
  const at = { protected: await refProtected(deps, bridge), environment: plan.environment?.name };
  const kept = await keptVariables(deps, project.id, at).catch(unopened);
  if (kept instanceof JobpassError) throw new BridgeRefusal('downstream_pipeline_creation_failed', kept.message);
  const { values, forwardedTo } = await bridgeVariables(deps, { project, pipeline, bridge, user, kept, dependencies });
  for (const [keyword, texts] of [
    ['trigger', textsOf(plan.trigger)],
    ['environment:url', [plan.environment?.url ?? '']],
  ] as const) {
    const secret = texts.flatMap((text) => values.secretIn(text) ?? [])[0];
    if (secret !== undefined) throw new BridgeRefusal('invalid_bridge_trigger', `${keyword}: ${secretText(secret)}.`);
  }
  const setters = kept.flatMap(({ setBy }) => setBy ?? []);
  const url = plan.environment?.url === undefined ? null : addressOf(values.text(plan.environment.url));
  return { bridge, project, pipeline, plan: plan.trigger, expander: values, forwardedTo, setters, dependencies, url };
}

/** What it says in words that variables are put in. */
function textsOf({ project, branch, include = [] }: PlanTrigger): readonly string[] {
  return [project ?? '', branch ?? '', ...include.flatMap((one) => Object.values(one).filter((text) => typeof text === 'string'))];
}

/** @throws BridgeRefusal */
function forwarded({ forwardedTo, project }: Hop, target: ProjectFacts): readonly PipelineVariable[] {
  const variables = forwardedTo(targetOf(project, target));
  if (typeof variables === 'string') throw new BridgeRefusal('invalid_bridge_trigger', variables);
  if (variables.length > limits.variablesPerPipeline)
    throw new BridgeRefusal('invalid_bridge_trigger', `A pipeline is given at most ${limits.variablesPerPipeline} variables.`);
  return variables;
}

/** @returns undefined where there is no such project: that is answered like one that is hidden */
async function otherProject(deps: JobsDeps, { plan, expander, project }: Hop): Promise<ProjectFacts | undefined> {
  const found = await deps.directory.projectByPath(null, expander.text(plan.project ?? ''));
  if (found?.id === project.id)
    throw new BridgeRefusal('invalid_bridge_trigger', 'A job triggers a pipeline of its own project with `trigger:include`.');
  return found;
}

/** Where the new pipeline will stand below the others. */
function upstreamOf({ bridge, pipeline }: Hop, isChild: boolean): Omit<Upstream, 'unprovable'> {
  const hops = (pipeline.upstream?.hops ?? 0) + 1;
  const childDepth = isChild ? (pipeline.source === 'parent_pipeline' ? (pipeline.upstream?.childDepth ?? 0) : 0) + 1 : 0;
  if (hops > limits.downstreamHops || childDepth > limits.childDepth)
    throw new BridgeRefusal(
      'reached_max_descendant_pipelines_depth',
      `Pipelines trigger each other over at most ${limits.downstreamHops} steps, and child pipelines over ${limits.childDepth}.`,
    );
  return { jobId: bridge.id, rootId: pipeline.upstream?.rootId ?? pipeline.id, hops, childDepth };
}

/** What the caller may know of a refusal is all that there is to tell (R11). */
function refusedBy({ code, message }: Refusal): BridgeRefusal {
  return code === 'not_found'
    ? new BridgeRefusal('downstream_bridge_project_not_found', 'There is no such project.')
    : new BridgeRefusal('insufficient_bridge_permissions', message);
}

interface Destination {
  readonly grant: Grant;
  readonly identity: BridgeIdentity;
  readonly target: ProjectFacts;
  readonly child: ChildFile | undefined;
  readonly upstream: Upstream;
  readonly principals: Principals;
}

async function make(deps: JobsDeps, hop: Hop, { grant, identity, target, child, upstream, principals }: Destination): Promise<void> {
  const { bridge, project, pipeline } = hop;
  // A chain that a pass began goes on here only as deep as both projects let passes start jobs (R5).
  if (pipeline.chainDepth > 0 && pipeline.chainDepth > Math.min(project.chainDepth, target.chainDepth))
    throw new BridgeRefusal(
      'insufficient_bridge_permissions',
      'Its pipeline was started by a pass, and the project does not allow jobs that jobs start (jobpass_chain_depth; R5).',
    );
  const at = child === undefined ? await refOf(deps, hop, grant, target) : { ref: bridge.ref, tag: bridge.tag, sha: bridge.sha as Oid };
  // Who last wrote to the protected ref counts outside the top-level group only, and in a child is found there anew (R3).
  const exempt = target.rootGroupId === project.rootGroupId ? identity.outsideOnly : [];
  const counted = identity.principals.filter((user) => !exempt.includes(user));
  const request: CreateRequest = {
    ...at,
    project: target,
    beforeSha: child === undefined ? zeroOid : (pipeline.beforeSha as Oid),
    source: child === undefined ? 'pipeline' : 'parent_pipeline',
    creators: child === undefined ? identity.principals : counted,
    parentJobId: pipeline.parentJobId,
    passId: null,
    chainPassId: pipeline.passId,
    chainDepth: pipeline.chainDepth,
    variables: forwarded(hop, target),
    inputs: (child === undefined ? hop.plan.inputs : child.inputs) ?? {},
    upstream,
    ...(child === undefined ? {} : { config: child.config }),
    confirm: (tx) => confirm(deps, tx, bridge, grant, { users: counted, target, name: at.ref, tag: at.tag }),
    async made(tx, row) {
      // Whose hands were in it is told to the jobs of a child (R3).
      const provable = !principals.ownProjectOnly && deps.instance.principals === 'intersect';
      await deps.jobRights.record(tx, bridge.id, { principals: principals.list, provable, sources: hop.dependencies.map(({ id }) => id) });
      await settle(deps, tx, hop, row);
    },
  };
  const made = await createPipeline(deps, request).catch((error: unknown) => {
    if (isJobpassError(error, 'access_denied') || isJobpassError(error, 'not_found'))
      throw refusedBy({ code: error.code === 'not_found' ? 'not_found' : 'access_denied', message: messageOf(error), rule: 'R2' });
    throw error;
  });
  if (made === undefined) {
    const what = child === undefined ? 'There is no .gitlab-ci.yml on that branch or tag.' : 'There is no such file at this commit.';
    throw new BridgeRefusal('downstream_pipeline_creation_failed', what);
  }
  deps.log.info('bridge.triggered', { job: bridge.id, pipeline: made.id, project: target.id });
}

function messageOf(error: JobpassError): string {
  return typeof error.detail === 'string' ? error.detail : refText;
}

async function refOf(deps: JobsDeps, { plan, expander }: Hop, grant: Grant, target: ProjectFacts) {
  const branch = plan.branch === undefined ? target.defaultBranch : expander.text(plan.branch);
  const found = await deps.forge.repository.resolve(grant, target.id, branch).catch(() => undefined);
  if (found === undefined || found.ref === null)
    throw new BridgeRefusal('downstream_pipeline_creation_failed', 'There is no such branch or tag in the project.');
  return { ref: found.ref.replace(/^refs\/(?:heads|tags)\//, ''), tag: found.ref.startsWith('refs/tags/'), sha: found.oid };
}

/** The second question, with the bridge's pipeline locked: does it still wait, and may everybody still start this there? (R2, A6) */
async function confirm(
  deps: JobsDeps,
  tx: Tx,
  bridge: JobRecord,
  grant: Grant,
  { users, target, name, tag }: { users: readonly UserId[]; target: ProjectFacts; name: string; tag: boolean },
): Promise<void> {
  await deps.jobs.lockPipeline(tx, bridge.pipelineId);
  if ((await deps.jobs.job(tx, bridge.id))?.status !== 'pending') throw new JobpassError('conflict', 'The job waits no longer.');
  await grant.confirm(tx);
  if (!(await mayRunOn(deps, tx, users, target.id, { name, tag }, false))) throw new JobpassError('access_denied', refText);
}

/** The bridge moves in the commit that makes its downstream pipeline: never two of them, never one that nobody knows of. */
async function settle(deps: JobsDeps, tx: Tx, { bridge, plan, project, url }: Hop, row: PipelineRecord): Promise<void> {
  const { jobs, clock } = deps;
  const now = clock.now();
  const begun = await jobs.changeJob(tx, bridge.id, ['pending'], { status: 'running', startedAt: now, downstreamId: row.id });
  if (!begun) throw new JobpassError('conflict', 'The job waits no longer.');
  if (row.yamlErrors !== null) {
    // What stands in another project's file is for those who may see it.
    const text = row.projectId === project.id ? row.yamlErrors : `Pipeline ${row.id} has mistakes in its file.`;
    const failed = { status: 'failed', finishedAt: now, failureReason: 'downstream_pipeline_creation_failed', failureText: text } as const;
    await jobs.changeJob(tx, bridge.id, ['running'], failed);
  } else if (plan.strategy === undefined) {
    await jobs.changeJob(tx, bridge.id, ['running'], { status: 'success', finishedAt: now });
    await deployed(deps, tx, bridge, url, now);
  }
  await advance(deps, tx, bridge.pipelineId);
}

async function fail(deps: JobsDeps, bridge: JobRecord, { reason, message }: BridgeRefusal): Promise<void> {
  const { jobs, transactor, clock } = deps;
  await transactor.write(async (tx) => {
    await jobs.lockPipeline(tx, bridge.pipelineId);
    const change = { status: 'failed', finishedAt: clock.now(), failureReason: reason, failureText: message } as const;
    if (await jobs.changeJob(tx, bridge.id, ['pending'], change)) await advance(deps, tx, bridge.pipelineId);
  });
  deps.log.info('bridge.failed', { job: bridge.id, reason });
  deps.wakeup.changed();
}
