import type { Included } from '../../pipeline/include-files.ts';
import { writeYaml } from '../../pipeline/yaml.ts';
import type { Place } from '../../jobs/include-source.ts';
import type { LintedJob, LintRequest } from '../../jobs/lint.ts';
import type { ApiDeps, Answer, Call, RouteTable } from './route.ts';

const P = '/api/v4/projects/:id';

/** @see GitLab REST API, "CI Lint" */
export function lintRoutes(deps: ApiDeps): RouteTable {
  return {
    [`GET ${P}/ci/lint`]: (call) => {
      const contentRef = call.params.optionalText('content_ref') ?? call.params.optionalText('sha');
      const ref = call.params.optionalText('dry_run_ref') ?? call.params.optionalText('ref');
      return answer(deps, call, { ...(contentRef === undefined ? {} : { contentRef }), ...(ref === undefined ? {} : { ref }) });
    },
    [`POST ${P}/ci/lint`]: (call) => {
      // Clients send an empty one for none.
      const ref = call.params.optionalText('ref') || undefined;
      return answer(deps, call, { content: call.params.text('content'), ...(ref === undefined ? {} : { ref }) });
    },
  };
}

async function answer(deps: ApiDeps, call: Call, request: Omit<LintRequest, 'dryRun'>): Promise<Answer> {
  const { params } = call;
  const result = await deps.jobs.lint.check(call.grant, call.project.id, { ...request, dryRun: params.flag('dry_run') ?? false });
  return {
    status: 200,
    body: {
      valid: result.errors.length === 0,
      errors: result.errors,
      warnings: result.warnings,
      merged_yaml: result.merged === undefined ? null : writeYaml(result.merged),
      includes: result.included.map((one) => includeJson(deps, one)),
      ...(params.flag('include_jobs') === true ? { jobs: result.jobs.map(jobJson) } : {}),
    },
  };
}

/** There are no pages for people: `blob` is null, `raw` the file over the API. */
function includeJson({ externalUrl }: ApiDeps, { path, place, project, by }: Included<Place>): unknown {
  const raw = `${externalUrl}/api/v4/projects/${place.project.id}/repository/files/${encodeURIComponent(path)}/raw?ref=${place.sha}`;
  return {
    type: project === undefined ? 'local' : 'file',
    location: path,
    blob: null,
    raw,
    extra: project === undefined ? {} : { project: place.project.path, ref: project.ref ?? 'HEAD' },
    context_project: by.project.path,
    context_sha: by.sha,
  };
}

function jobJson(job: LintedJob): unknown {
  return {
    name: job.name,
    stage: job.stage,
    before_script: job.beforeScript ?? [],
    script: job.script,
    after_script: job.afterScript ?? [],
    tag_list: job.tags ?? [],
    only: null,
    except: null,
    environment: null,
    when: job.when ?? 'on_success',
    allow_failure: job.allowFailure ?? false,
    needs: job.needs?.map(({ job: name, artifacts }) => ({ name, artifacts })) ?? null,
  };
}
