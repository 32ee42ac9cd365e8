import type { JobId, PipelineId, ProjectId, RunnerId, UserId } from '../../base/ids.ts';
import type { UpstreamJob, UpstreamJobs, UpstreamRunner, UpstreamRunners } from '../../ports/gateway.ts';
import { JobpassError } from '../../base/errors.ts';
import { Cache } from './cache.ts';
import type { UpstreamClient } from './client.ts';
import { fieldsOf, idOf, textOf, timeOf } from './json.ts';

/** What the forge says of jobs and their runners. */
export function makeGitlabJobs(client: UpstreamClient): UpstreamJobs & UpstreamRunners {
  const runners = new Cache<UpstreamRunner>(60_000);
  return {
    async jobOf(token) {
      const { status, body } = await client.askAsJob(token, '/job');
      if (status === 401 || status === 403 || status === 404) return 'refused';
      const job = jobIn(body);
      if (status !== 200 || job === undefined) throw new JobpassError('upstream_failed', 'The forge does not tell whose job it is.');
      return job;
    },
    runnerOf: (token) =>
      // The digest, so that no secret is a key.
      runners.get(token.digest(), async () => {
        const { status, body } = await client.post('/runners/verify', { token: token.reveal() });
        const id = idOf<RunnerId>(fieldsOf(body)['id']);
        if (status !== 200 || id === undefined) return undefined;
        const type = textOf(fieldsOf(await client.find(`/runners/${id}`))['runner_type']);
        const scope = (['instance', 'group', 'project'] as const).find((one) => type === `${one}_type`);
        return scope === undefined ? undefined : { id, scope };
      }),
  };
}

function jobIn(value: unknown): UpstreamJob | undefined {
  const fields = fieldsOf(value);
  const [pipeline, commit] = [fieldsOf(fields['pipeline']), fieldsOf(fields['commit'])];
  const id = idOf<JobId>(fields['id']);
  const projectId = idOf<ProjectId>(pipeline['project_id']);
  const pipelineId = idOf<PipelineId>(pipeline['id']);
  const userId = idOf<UserId>(fieldsOf(fields['user'])['id']);
  const [status, ref, name] = [textOf(fields['status']), textOf(fields['ref']), textOf(fields['name'])];
  // The pipeline's own, where the job's commit is not shown.
  const sha = textOf(commit['id']) ?? textOf(pipeline['sha']);
  if (id === undefined || projectId === undefined || pipelineId === undefined || userId === undefined) return undefined;
  if (status === undefined || ref === undefined || name === undefined || sha === undefined || !/^[0-9a-f]{40,64}$/.test(sha))
    return undefined;
  return {
    id,
    name,
    status,
    projectId,
    pipelineId,
    pipelineSource: textOf(pipeline['source']) ?? '',
    userId,
    sha,
    ref,
    tag: fields['tag'] === true,
    createdAt: timeOf(fields['created_at']),
    runnerId: idOf<RunnerId>(fieldsOf(fields['runner'])['id']) ?? null,
  };
}
