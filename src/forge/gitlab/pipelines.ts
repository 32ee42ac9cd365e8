import { type JobId, type PipelineId, parseId, type ProjectId, type UserId } from '../../base/ids.ts';
import type { UpstreamPipeline, UpstreamPipelines } from '../../ports/gateway.ts';
import type { UpstreamClient } from './client.ts';
import { type Fields, fieldsOf, idOf, listOf, textOf, timeOf } from './json.ts';

/** Jobs and pipelines that are looked through for one answer; beyond that nothing is provable. */
const most = 1000;
const candidates = 20;
const pipelinesKept = 200;

/** undefined = not told. */
interface Run {
  readonly id: JobId;
  readonly name: string | undefined;
  readonly user: UserId | undefined;
}

const upstreamOf = `query($path: ID!, $id: CiPipelineID!) {
  project(fullPath: $path) { pipeline(id: $id) { upstream { id project { id } } } }
}`;

const variablesOf = `query($path: ID!, $id: JobID!) {
  project(fullPath: $path) { job(id: $id) { manualVariables { nodes { key } } } }
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

  /** All of a pipeline, retried ones too; undefined = too many, or not told. */
  const jobsOf = async (
    project: ProjectId,
    id: PipelineId,
  ): Promise<readonly { readonly id: JobId; readonly row: Fields }[] | undefined> => {
    const found: { readonly id: JobId; readonly row: Fields }[] = [];
    for (let page = 1; found.length <= most; page += 1) {
      const rows = await client.find(`/projects/${project}/pipelines/${id}/jobs?include_retried=true&per_page=100&page=${page}`);
      if (!Array.isArray(rows)) return undefined;
      for (const row of listOf(rows)) {
        const job = idOf<JobId>(row['id']);
        if (job === undefined) return undefined;
        found.push({ id: job, row });
      }
      if (rows.length < 100) return found;
    }
    return undefined;
  };

  /** A list that has a job has every earlier one, by whom it was run; all jobs of a pipeline come together, and a retry is a new one. */
  const listed = new Map<string, Promise<readonly Run[] | undefined>>();
  const runsOf = async (project: ProjectId, pipelineId: PipelineId, job: JobId): Promise<readonly Run[] | undefined> => {
    const key = `${project}:${pipelineId}`;
    const known = listed.get(key);
    const found = await known?.catch(() => undefined);
    if (found?.some(({ id }) => id === job) === true) return found;
    const others = listed.get(key);
    const asking = others !== undefined && others !== known ? others : jobsOf(project, pipelineId).then((jobs) => jobs?.map(runIn));
    listed.delete(key);
    listed.set(key, asking);
    if (listed.size > pipelinesKept) for (const oldest of listed.keys()) if (listed.delete(oldest)) break;
    return asking;
  };

  const pathOf = async (project: ProjectId): Promise<string | undefined> =>
    textOf(fieldsOf(await client.find(`/projects/${project}`))['path_with_namespace']);

  return {
    pipeline,
    async parentOf(child) {
      if (child.source === 'parent_pipeline') {
        const parent = await parentHere(child);
        return parent === undefined ? undefined : pipeline(child.projectId, parent);
      }
      // Of another project: REST does not tell, GraphQL does.
      const path = await pathOf(child.projectId);
      if (path === undefined) return undefined;
      const answer = await client.graphql(upstreamOf, { path, id: `gid://gitlab/Ci::Pipeline/${child.id}` });
      const found = fieldsOf(fieldsOf(fieldsOf(fieldsOf(fieldsOf(answer)['data'])['project'])['pipeline'])['upstream']);
      const parent = globalId<PipelineId>('Ci::Pipeline', found['id']);
      const project = globalId<ProjectId>('Project', fieldsOf(found['project'])['id']);
      return parent === undefined || project === undefined ? undefined : pipeline(project, parent);
    },
    async artifactJobs(project, id) {
      const rows = await jobsOf(project, id);
      return rows?.filter(({ row }) => leavesArtifacts(row)).map((job) => job.id);
    },
    async earlierStarters({ id, name, projectId, pipelineId }) {
      const runs = await runsOf(projectId, pipelineId, id);
      const users = runs?.filter((run) => run.id < id && run.name === name).map(({ user }) => user);
      return users === undefined || users.includes(undefined) ? undefined : [...new Set(users.filter((user) => user !== undefined))];
    },
    async hasOwnVariables(project, job) {
      const path = await pathOf(project);
      if (path === undefined) return undefined;
      const answer = await client.graphql(variablesOf, { path, id: `gid://gitlab/Ci::Build/${job}` });
      const found = fieldsOf(fieldsOf(fieldsOf(fieldsOf(answer)['data'])['project'])['job']);
      const { nodes } = fieldsOf(found['manualVariables']);
      return Array.isArray(nodes) ? nodes.length > 0 : undefined;
    },
  };
}

function runIn({ id, row }: { readonly id: JobId; readonly row: Fields }): Run {
  return { id, name: textOf(row['name']), user: idOf<UserId>(fieldsOf(row['user'])['id']) };
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
