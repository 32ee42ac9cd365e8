import type { JobRecord, PipelineRecord, PipelineVariable } from '../ports/jobs.ts';
import type { JobsDeps } from './deps.ts';

/**
 * What was given with the pipelines above a downstream one, and to the bridges between, the nearest first. A bound that somebody set with a
 * pipeline holds below it, too, whatever its file forwards: else a child pipeline would be the way around it (R4, A50).
 */
export async function givenAbove(
  deps: Pick<JobsDeps, 'jobs'>,
  pipeline: PipelineRecord,
): Promise<readonly ((name: string) => string | undefined)[]> {
  const found: ((name: string) => string | undefined)[] = [];
  for (let current: PipelineRecord | undefined = pipeline; current?.upstream !== undefined && current.upstream !== null;) {
    const bridge: JobRecord | undefined = await deps.jobs.job(null, current.upstream.jobId);
    current = bridge === undefined ? undefined : await deps.jobs.pipeline(null, bridge.pipelineId);
    for (const given of [bridge?.variables ?? [], current?.variables ?? []]) if (given.length > 0) found.push(last(given));
  }
  return found;
}

function last(given: readonly PipelineVariable[]): (name: string) => string | undefined {
  return (name) => given.findLast(({ key }) => key === name)?.value;
}
