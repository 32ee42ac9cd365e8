import { JobpassError } from '../base/errors.ts';
import { id, type ProjectId, type UserId, zeroOid } from '../base/ids.ts';
import { isProtected } from '../base/refs.ts';
import type { RefsUpdated } from '../forge/forge.ts';
import { type Grant, jobBehind, verifyGrant } from '../pass/grant.ts';
import type { PipelineRecord } from '../ports/jobs.ts';
import type { MergeRequestId, MergeRequestRecord } from '../ports/merge-requests.ts';
import type { ProjectFacts } from '../ports/directory.ts';
import type { MaybeTx, Tx } from '../ports/tx.ts';
import { chainDepthFor, createPipeline, type CreateRequest, everybodyBehind, startsNothing, unlessHopeless } from './create.ts';
import type { JobsDeps } from './deps.ts';
import { openRequests } from './open-requests.ts';
import { slug } from './predefined.ts';
import { mayRunOn, refText } from './ref-rights.ts';

/** Pipelines of merge requests: `detached` ones, on the head as it is. @see GitLab, "Merge request pipelines" */
export interface MergeRequestPipelines {
  /** After the request was made with this grant: a pipeline where the file wants one. What goes wrong is logged: the request stands. */
  opened(grant: Grant, request: MergeRequestId): Promise<void>;
  /**
   * On demand, in the project of the request: merge_request:read and pipeline:create there. Who pushed the commits of a fork is a principal (R3).
   * @throws not_found, invalid_input (the file has no jobs for it), access_denied
   */
  create(grant: Grant, project: ProjectId, iid: number): Promise<PipelineRecord>;
  /** Newest first, at most 100; merge_request:read and pipeline:read. */
  list(grant: Grant, project: ProjectId, iid: number): Promise<readonly PipelineRecord[] | undefined>;
  /** The newest of its head; with a grant that shows the request. */
  head(request: MergeRequestId): Promise<PipelineRecord | undefined>;
}

type Started = Pick<CreateRequest, 'parentJobId' | 'passId' | 'chainDepth' | 'confirm' | 'asked'> & {
  readonly creators: readonly UserId[];
};

export function makeMergeRequestPipelines(deps: JobsDeps): MergeRequestPipelines {
  const { mergeRequests, jobs, directory } = deps;

  async function starting(grant: Grant, project: ProjectFacts): Promise<Started | undefined> {
    const { identity } = grant;
    const byJob = jobBehind(identity);
    if (byJob === undefined) return { creators: grant.principals, parentJobId: null, passId: null, chainDepth: 0 };
    const chainDepth = await chainDepthFor(deps, byJob, project);
    if (chainDepth === undefined) return undefined;
    const passId = identity.kind === 'pass' ? identity.passId : null;
    return { creators: await everybodyBehind(deps, byJob, grant.principals), parentJobId: byJob, passId, chainDepth };
  }

  return {
    async opened(grant, requestId) {
      const request = await mergeRequests.byId(null, requestId);
      const project = request === undefined ? undefined : await directory.project(null, request.sourceProjectId);
      if (request === undefined || project === undefined) return;
      const started = await starting(grant, project);
      if (started === undefined) return deps.log.info('pipeline.chain_stopped', { project: project.id, mergeRequest: requestId });
      // Opening one takes less than running jobs on a protected branch does.
      const ref = project.id === request.projectId ? headOf(request) : request.sourceBranch;
      const may = (tx: MaybeTx) =>
        mayRunOn(deps, tx, started.creators, project.id, { name: ref, tag: false }, started.parentJobId === null);
      if (!(await may(null))) return;
      const confirm = async (tx: Tx): Promise<void> => {
        await grant.confirm(tx);
        if (!(await may(tx))) throw new JobpassError('access_denied', refText);
      };
      await start(deps, request, project, { ...started, confirm }).catch((error: unknown) =>
        deps.log.error('merge_request.no_pipeline', { mergeRequest: requestId }, error),
      );
    },
    async create(grant, projectId, iid) {
      verifyGrant(grant, 'pipeline:create', { kind: 'project', id: projectId });
      verifyGrant(grant, 'merge_request:read', { kind: 'project', id: projectId });
      const request = await mergeRequests.byIid(null, projectId, iid);
      const project = await directory.project(null, projectId);
      if (request === undefined || project === undefined) throw new JobpassError('not_found', {});
      if (request.state !== 'opened') throw new JobpassError('unprocessable', 'The merge request is not open.');
      const started = await starting(grant, project);
      if (started === undefined) throw new JobpassError('access_denied', startsNothing);
      const made = await start(deps, request, project, {
        ...started,
        asked: true,
        async confirm(tx) {
          await grant.confirm(tx);
          if (
            !(await mayRunOn(deps, tx, grant.principals, projectId, { name: headOf(request), tag: false }, grant.identity.kind === 'user'))
          )
            throw new JobpassError('access_denied', refText);
        },
      });
      if (made === undefined) throw new JobpassError('invalid_input', { fields: { base: ['Missing CI config file: .gitlab-ci.yml'] } });
      if (made.yamlErrors !== null) throw new JobpassError('invalid_input', { fields: { base: made.yamlErrors.split('\n') } });
      return made;
    },
    async list(grant, projectId, iid) {
      verifyGrant(grant, 'merge_request:read', { kind: 'project', id: projectId });
      verifyGrant(grant, 'pipeline:read', { kind: 'project', id: projectId });
      const request = await mergeRequests.byIid(null, projectId, iid);
      // Those of a fork are for who may see the fork.
      return request === undefined
        ? undefined
        : (await jobs.ofMergeRequest(null, request.id, 100)).filter((one) => one.projectId === projectId);
    },
    async head(requestId) {
      const [newest] = await jobs.ofMergeRequest(null, requestId, 1);
      return newest;
    },
  };
}

/** After a push that moved heads of open requests, by whoever pushed (A2). */
export async function pipelinesOfHeads(deps: JobsDeps, event: RefsUpdated): Promise<void> {
  const { mergeRequests = [] } = event;
  if (mergeRequests.length === 0 || event.skipCi || event.pushers.length === 0) return;
  const project = await deps.directory.project(null, event.projectId);
  if (project === undefined) return;
  let chainDepth = 0;
  if (event.passId !== null) {
    const depth = event.jobId === null ? undefined : await chainDepthFor(deps, event.jobId, project);
    if (depth === undefined) return;
    chainDepth = depth;
  }
  for (const number of mergeRequests) {
    const request = await deps.mergeRequests.byId(null, id<MergeRequestId>(number));
    if (request?.state !== 'opened') continue;
    const parentJobId = event.passId === null ? null : event.jobId;
    await unlessHopeless(deps, event, () =>
      start(deps, request, project, { creators: event.pushers, parentJobId, passId: event.passId, chainDepth }),
    );
  }
}

const headOf = ({ iid }: MergeRequestRecord): string => `refs/merge-requests/${iid}/head`;

/** In the request's own project on its head; in a fork on the branch that it comes from, with what is the fork's (GitLab). */
async function start(
  deps: JobsDeps,
  request: MergeRequestRecord,
  project: ProjectFacts,
  { creators, ...how }: Started,
): Promise<PipelineRecord | undefined> {
  return createPipeline(deps, {
    ...how,
    project,
    ref: project.id === request.projectId ? headOf(request) : request.sourceBranch,
    tag: false,
    sha: request.headSha,
    beforeSha: zeroOid,
    source: 'merge_request_event',
    // Its title, description and labels stand in the jobs' variables: whoever wrote them steers the jobs (R3, A56).
    creators: [...new Set([...creators, ...request.writers])],
    variables: [],
    mergeRequestId: request.id,
    sourceVariables: await mergeRequestVariables(deps, request, project),
  });
}

/** GitLab cuts the description there. */
const longestDescription = 2700;

async function mergeRequestVariables(
  deps: JobsDeps,
  request: MergeRequestRecord,
  project: ProjectFacts,
): Promise<Readonly<Record<string, string>>> {
  const { directory, instance } = deps;
  const target = await directory.project(null, request.projectId);
  const source = await directory.project(null, request.sourceProjectId);
  const people = await directory.users(null, request.assigneeIds);
  const isGuarded = async (id: ProjectId, branch: string): Promise<string> =>
    String(isProtected(await directory.protectedRefs(null, id), 'branch', branch));
  const url = (path: string | undefined): string => `${instance.addresses.url}/${path ?? ''}`;
  return {
    ...(await openRequests(deps, request.sourceProjectId, request.sourceBranch)),
    CI_COMMIT_REF_NAME: request.sourceBranch,
    CI_COMMIT_REF_SLUG: slug(request.sourceBranch),
    CI_MERGE_REQUEST_ID: String(request.id),
    CI_MERGE_REQUEST_IID: String(request.iid),
    CI_MERGE_REQUEST_REF_PATH: headOf(request),
    CI_MERGE_REQUEST_PROJECT_ID: String(request.projectId),
    CI_MERGE_REQUEST_PROJECT_PATH: target?.path ?? '',
    CI_MERGE_REQUEST_PROJECT_URL: url(target?.path),
    CI_MERGE_REQUEST_TARGET_BRANCH_NAME: request.targetBranch,
    CI_MERGE_REQUEST_TARGET_BRANCH_PROTECTED: await isGuarded(request.projectId, request.targetBranch),
    CI_MERGE_REQUEST_TARGET_BRANCH_SHA: '',
    CI_MERGE_REQUEST_SOURCE_PROJECT_ID: String(request.sourceProjectId),
    CI_MERGE_REQUEST_SOURCE_PROJECT_PATH: source?.path ?? '',
    CI_MERGE_REQUEST_SOURCE_PROJECT_URL: url(source?.path),
    CI_MERGE_REQUEST_SOURCE_BRANCH_NAME: request.sourceBranch,
    CI_MERGE_REQUEST_SOURCE_BRANCH_PROTECTED: await isGuarded(request.sourceProjectId, request.sourceBranch),
    CI_MERGE_REQUEST_SOURCE_BRANCH_SHA: '',
    CI_MERGE_REQUEST_TITLE: request.title,
    CI_MERGE_REQUEST_DESCRIPTION: request.description.slice(0, longestDescription),
    CI_MERGE_REQUEST_DESCRIPTION_IS_TRUNCATED: String(request.description.length > longestDescription),
    CI_MERGE_REQUEST_ASSIGNEES: [...people.values()].map(({ username }) => username).join(', '),
    CI_MERGE_REQUEST_LABELS: request.labels.join(','),
    CI_MERGE_REQUEST_SQUASH_ON_MERGE: String(request.squash),
    CI_MERGE_REQUEST_EVENT_TYPE: 'detached',
    ...(project.id === request.projectId
      ? { CI_MERGE_REQUEST_DRAFT: String(/^(?:draft:|\[draft\]|\(draft\)|draft -)/i.test(request.title)) }
      : {}),
  };
}
