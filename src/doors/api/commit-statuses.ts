import { isoTime, isoTimeOrNull } from '../../base/clock.ts';
import { isJobpassError } from '../../base/errors.ts';
import { parseId, type PipelineId, type ProjectId } from '../../base/ids.ts';
import { externalStates, type StatusFilter, type StatusLine } from '../../ports/commit-statuses.ts';
import type { User } from '../../forge/forge.ts';
import type { PipelineRecord } from '../../ports/jobs.ts';
import { ParamError } from './errors.ts';
import { presenter } from './job-presenter.ts';
import { pageHeaders, pageOf } from './pagination.ts';
import type { Params } from './params.ts';
import { userBrief } from './present.ts';
import type { ApiDeps, Call, RouteTable } from './route.ts';

const P = '/api/v4/projects/:id';

/** @see GitLab REST API, "Commits": "List commit statuses", "Set commit pipeline status" */
export function commitStatusRoutes(deps: ApiDeps): RouteTable {
  const { commitStatuses } = deps.jobs;
  const show = presenter(deps);
  return {
    [`GET ${P}/repository/commits/:sha/statuses`]: async (call) => {
      const page = pageOf(call.params);
      const found = await commitStatuses.list(call.grant, call.project.id, call.path('sha'), filterOf(call.params), page);
      const authors = await show.users(found.rows.map(({ userId }) => userId));
      return {
        body: found.rows.map((line) => commitStatus(deps.externalUrl, show.web(call), line, authors(line.userId))),
        headers: pageHeaders(page, found.total, call.url),
      };
    },
    [`POST ${P}/statuses/:sha`]: async (call) => {
      const { params } = call;
      const state = params.oneOf('state', externalStates);
      if (state === undefined) throw new ParamError('state is missing');
      const said = await commitStatuses.say(call.grant, call.project.id, call.path('sha'), {
        state,
        name: named(params) ?? 'default',
        ref: given(params, 'ref'),
        pipelineId: pipelineOf(params),
        targetUrl: cleared(params, 'target_url'),
        description: cleared(params, 'description'),
        coverage: params.given('coverage') ? (params.decimal('coverage') ?? null) : undefined,
      });
      const authors = await show.users([said.authorId]);
      const line = { ...said, kind: 'external', status: said.state, allowFailure: false, userId: said.authorId } as const;
      return { body: commitStatus(deps.externalUrl, show.web(call), line, authors(said.authorId)) };
    },
  };
}

/** The commit's newest pipeline, for who may see pipelines there; others hear null, as where there is none. */
export async function lastPipelineOf(deps: ApiDeps, { admit, project }: Call, sha: string): Promise<PipelineRecord | null> {
  const last = await deps.jobs.commitStatuses.lastPipeline(project.id, sha);
  // Nobody is asked about what is not there: most commits have no pipeline.
  return last !== undefined && (await sees(admit, project.id)) ? last : null;
}

async function sees(admit: Call['admit'], project: ProjectId): Promise<boolean> {
  try {
    await admit([{ permission: 'pipeline:read', resource: { kind: 'project', id: project } }]);
    return true;
  } catch (error) {
    const isNo = (['access_denied', 'not_found', 'credential_missing', 'scope_insufficient'] as const).some((code) =>
      isJobpassError(error, code),
    );
    if (isNo) return false;
    throw error;
  }
}

/** Empty means left out, as in GitLab. */
const given = (params: Params, field: string): string | undefined => {
  const text = params.optionalText(field);
  return text === '' ? undefined : text;
};
const named = (params: Params): string | undefined => given(params, 'name') ?? given(params, 'context');

function cleared(params: Params, field: string): string | null | undefined {
  return params.given(field) ? (given(params, field) ?? null) : undefined;
}

function pipelineOf(params: Params): PipelineId | undefined {
  const text = given(params, 'pipeline_id');
  if (text === undefined) return undefined;
  const number = parseId<PipelineId>(text);
  if (number === undefined) throw new ParamError('pipeline_id is invalid');
  return number;
}

function filterOf(params: Params): StatusFilter {
  const [ref, stage, name, pipelineId] = [given(params, 'ref'), given(params, 'stage'), given(params, 'name'), pipelineOf(params)];
  return {
    ...(ref === undefined ? {} : { ref }),
    ...(stage === undefined ? {} : { stage }),
    ...(name === undefined ? {} : { name }),
    ...(pipelineId === undefined ? {} : { pipelineId }),
    all: params.flag('all') ?? false,
    orderBy: params.oneOf('order_by', ['id', 'pipeline_id']) === 'pipeline_id' ? 'pipeline' : 'created',
    descending: params.oneOf('sort', ['asc', 'desc']) === 'desc',
  };
}

/** A job, or what another service said, among the statuses of a commit. */
function commitStatus(base: string, web: string, one: StatusLine, author: User) {
  return {
    id: one.id,
    sha: one.sha,
    ref: one.ref,
    status: one.status,
    name: one.name,
    target_url: one.kind === 'build' ? `${web}/-/jobs/${one.id}` : one.targetUrl,
    description: one.description,
    created_at: isoTime(one.createdAt),
    started_at: isoTimeOrNull(one.startedAt),
    finished_at: isoTimeOrNull(one.finishedAt),
    allow_failure: one.allowFailure,
    coverage: one.coverage,
    pipeline_id: one.pipelineId,
    author: userBrief(base, author),
  };
}
