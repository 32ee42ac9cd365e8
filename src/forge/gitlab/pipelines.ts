import { type JobId, type PipelineId, parseId, type ProjectId, type UserId } from '../../base/ids.ts';
import type { UpstreamPipeline, UpstreamPipelines } from '../../ports/gateway.ts';
import type { UpstreamClient } from './client.ts';
import { fieldsOf, idOf, listOf, textOf, timeOf } from './json.ts';

/** Jobs and pipelines that are looked through for one answer; beyond that nothing is provable. */
const most = 300;
const candidates = 20;

const upstreamOf = `query($path: ID!, $id: CiPipelineID!) {
  project(fullPath: $path) { pipeline(id: $id) { upstream { id project { id } } } }
}`;

/** What the forge says of pipelines, and of those that started them. */
export function makeGitlabPipelines(client: UpstreamClient): UpstreamPipelines {
  const pipeline = async (project: ProjectId, id: PipelineId): Promise<UpstreamPipeline | undefined> => {
    const path = `/projects/${project}/pipelines/${id}`;
    const [found, variables] = await Promise.all([client.find(path), client.find(`${path}/variables`)]);
    return pipelineOf(project, id, found, variables);
  };

  /** A pipeline that one of the same project started runs on its commit; the bridges of that one name it. */
  const parentHere = async ({ projectId, id, sha }: UpstreamPipeline): Promise<PipelineId | undefined> => {
    const at = `/projects/${projectId}/pipelines`;
    // Pipelines that others started are listed only where they are asked for.
    const lists = [`${at}?sha=${sha}&per_page=100`, `${at}?sha=${sha}&source=parent_pipeline&per_page=100`];
    const rows = (await Promise.all(lists.map(async (list) => listOf(await client.find(list))))).flat();
    const ids = new Set(rows.map((row) => idOf<PipelineId>(row['id'])).filter((one) => one !== undefined && one !== id));
    for (const candidate of [...ids].slice(0, candidates)) {
      const bridges = listOf(await client.find(`${at}/${candidate}/bridges?per_page=100`));
      if (bridges.some((bridge) => fieldsOf(bridge['downstream_pipeline'])['id'] === id)) return candidate;
    }
    return undefined;
  };

  return {
    pipeline,
    async parentOf(child) {
      if (child.source === 'parent_pipeline') {
        const parent = await parentHere(child);
        return parent === undefined ? undefined : pipeline(child.projectId, parent);
      }
      // Of another project: REST does not tell, GraphQL does.
      const path = textOf(fieldsOf(await client.find(`/projects/${child.projectId}`))['path_with_namespace']);
      if (path === undefined) return undefined;
      const answer = await client.graphql(upstreamOf, { path, id: `gid://gitlab/Ci::Pipeline/${child.id}` });
      const found = fieldsOf(fieldsOf(fieldsOf(fieldsOf(fieldsOf(answer)['data'])['project'])['pipeline'])['upstream']);
      const parent = globalId<PipelineId>('Ci::Pipeline', found['id']);
      const project = globalId<ProjectId>('Project', fieldsOf(found['project'])['id']);
      return parent === undefined || project === undefined ? undefined : pipeline(project, parent);
    },
    async artifactJobs(project, id) {
      const found: JobId[] = [];
      for (let page = 1; found.length <= most; page += 1) {
        const rows = await client.find(`/projects/${project}/pipelines/${id}/jobs?include_retried=true&per_page=100&page=${page}`);
        if (!Array.isArray(rows)) return undefined;
        for (const row of listOf(rows)) {
          const job = idOf<JobId>(row['id']);
          if (job === undefined) return undefined;
          if (leavesArtifacts(row)) found.push(job);
        }
        if (rows.length < 100) return found;
      }
      return undefined;
    },
  };
}

/** A trace is none that a pipeline could be made of. */
function leavesArtifacts(row: Readonly<Record<string, unknown>>): boolean {
  const files = listOf(row['artifacts']).map((file) => textOf(file['file_type']));
  return files.some((type) => type !== 'trace' && type !== 'metadata') || fieldsOf(row['artifacts_file'])['filename'] !== undefined;
}

function pipelineOf(project: ProjectId, id: PipelineId, value: unknown, variables: unknown): UpstreamPipeline | undefined {
  const fields = fieldsOf(value);
  const creator = idOf<UserId>(fieldsOf(fields['user'])['id']);
  const [sha, ref] = [textOf(fields['sha']), textOf(fields['ref'])];
  if (fields['id'] !== id || creator === undefined || sha === undefined || ref === undefined || !Array.isArray(variables)) return undefined;
  const given = listOf(variables).map((one) => [textOf(one['key']) ?? '', textOf(one['value']) ?? ''] as const);
  const at = { tag: fields['tag'] === true, createdAt: timeOf(fields['created_at']) };
  return { id, projectId: project, creator, variables: new Map(given), source: textOf(fields['source']) ?? '', sha, ref, ...at };
}

/** `gid://gitlab/Project/7` */
function globalId<Id extends PipelineId | ProjectId>(kind: string, value: unknown): Id | undefined {
  const [, found, id = ''] = /^gid:\/\/gitlab\/([A-Za-z:]+)\/(\d{1,15})$/.exec(textOf(value) ?? '') ?? [];
  return found === kind ? parseId<Id>(id) : undefined;
}
