import type { EpochMillis, JobId, PipelineId, ProjectId, UserId } from '../../base/ids.ts';
import type { UpstreamJob, UpstreamPipeline, UpstreamPipelines } from '../../ports/gateway.ts';

/** Where something runs. */
export interface RunPlace {
  /** Of the job; 0 for a pipeline. */
  readonly id: number;
  readonly projectId: ProjectId;
  readonly pipelineId: PipelineId;
  readonly sha: string;
  readonly ref: string;
  readonly tag: boolean;
  /** null = not told. */
  readonly createdAt: EpochMillis | null;
}

/** A pipeline that started another one. */
export interface Ancestor {
  readonly place: RunPlace;
  readonly creator: UserId;
  /** Jobs of it whose artifacts a pipeline below can be made of; undefined = not told. */
  readonly artifactJobs: readonly JobId[] | undefined;
}

/** What is known of where a job's pipeline comes from. */
export interface Lineage {
  /** The job's own; undefined = not told. */
  readonly pipeline: UpstreamPipeline | undefined;
  /** Nearest first. */
  readonly ancestors: readonly Ancestor[];
  /** What cannot be told, in words for the trace. */
  readonly unknown: readonly string[];
}

/** Deeper than the forge lets pipelines start each other. */
const deepest = 10;
const startedByAnother = /^(?:parent_pipeline|pipeline)$/;

/** Follows a job's pipeline up to the one that no pipeline started (R3, A6). @throws upstream_failed */
export async function lineageOf(upstream: UpstreamPipelines, job: UpstreamJob): Promise<Lineage> {
  const pipeline = await upstream.pipeline(job.projectId, job.pipelineId);
  const ancestors: Ancestor[] = [];
  const no = (why: string): Lineage => ({ pipeline, ancestors, unknown: [why] });
  if (pipeline === undefined) return no('the forge does not tell who made the pipeline');
  if (job.pipelineSource === '') return no('the forge does not tell how the pipeline came about');
  let [below, source] = [pipeline, job.pipelineSource];
  while (startedByAnother.test(source)) {
    if (ancestors.length === deepest) return no(`more than ${deepest} pipelines started each other`);
    const parent = await upstream.parentOf(below);
    if (parent === undefined) return no('the pipeline was started by another one, and the forge does not tell which');
    const { projectId, id, sha, ref, tag, createdAt } = parent;
    const place = { id: 0, projectId, pipelineId: id, sha, ref, tag, createdAt };
    ancestors.push({ place, creator: parent.creator, artifactJobs: await upstream.artifactJobs(projectId, id) });
    [below, source] = [parent, parent.source];
    if (source === '') return no('the forge does not tell how a pipeline above came about');
  }
  return { pipeline, ancestors, unknown: [] };
}

export function placeOf({ id, projectId, pipelineId, sha, ref, tag, createdAt }: UpstreamJob): RunPlace {
  return { id, projectId, pipelineId, sha, ref, tag, createdAt };
}
