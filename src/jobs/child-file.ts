import { isJobpassError } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import type { InputArguments } from '../pipeline/inputs.ts';
import type { TriggerInclude } from '../pipeline/plan.ts';
import type { Expander } from '../pipeline/variables.ts';
import type { JobRecord } from '../ports/jobs.ts';
import { BridgeRefusal } from './bridge-refusal.ts';
import type { CreateRequest } from './create.ts';
import type { JobsDeps } from './deps.ts';
import { artifactKey } from './keys.ts';
import { hasEnded } from './state.ts';
import { smallZipEntry } from './zip-entry.ts';

/** Where a child pipeline's file comes from. */
export interface ChildFile {
  readonly config: NonNullable<CreateRequest['config']>;
  /** For the `spec:inputs` of that file. */
  readonly inputs?: InputArguments;
  /** The job that made it: whoever stands behind that answers for the child (A57). */
  readonly from?: JobRecord;
}

/** @throws BridgeRefusal where it cannot be had */
export async function childFile(
  deps: JobsDeps,
  bridge: JobRecord,
  includes: readonly TriggerInclude[],
  expander: Expander,
): Promise<ChildFile> {
  const [first] = includes;
  if (first === undefined) throw no('A child pipeline is made from a file.');
  const inputs = first.inputs === undefined ? {} : { inputs: first.inputs };
  if (!('artifact' in first)) {
    const config = written(includes, expander);
    // The entries of a file that includes them have their own.
    return 'file' in config ? { config, ...inputs } : { config };
  }
  const [path, name] = [expander.text(first.artifact), expander.text(first.job)];
  const now = deps.clock.now();
  const from = (await deps.jobs.jobsOfPipeline(null, bridge.pipelineId)).find(
    (job) =>
      job.name === name &&
      job.retriedById === null &&
      hasEnded(job.status) &&
      job.artifactsFile !== null &&
      (job.artifactsExpireAt === null || now < job.artifactsExpireAt),
  );
  if (from === undefined) throw no(`The job ${name} has no artifacts: it must have ended before, with an archive.`);
  const key = artifactKey(from.id);
  const content = await smallZipEntry(
    (start, end) => deps.blobs.part(key, start, end),
    from.artifactsSizeBytes ?? 0,
    path,
    limits.ciFileBytes,
  ).catch((error: unknown) => {
    if (isJobpassError(error, 'invalid_input') || isJobpassError(error, 'too_large') || isJobpassError(error, 'not_found'))
      throw no(`The archive of ${name} cannot be read: it is damaged, or ${path} is larger than ${limits.ciFileBytes} bytes.`);
    throw error;
  });
  if (content === undefined) throw no(`The archive of ${name} has no file ${path}.`);
  return { config: { text: content.toString('utf8') }, ...inputs, from };
}

/** One file of the commit as it is; several, or another project's, as a file that includes them. */
function written(includes: readonly TriggerInclude[], expander: Expander): ChildFile['config'] {
  const [first, ...others] = includes;
  const rooted = (path: string): string => `/${expander.text(path).replace(/^\//, '')}`;
  if (first !== undefined && 'local' in first && others.length === 0) return { file: rooted(first.local).slice(1) };
  const include = includes.flatMap((one): readonly object[] => {
    if ('artifact' in one) return [];
    const inputs = one.inputs === undefined ? {} : { inputs: one.inputs };
    if ('local' in one) return [{ local: rooted(one.local), ...inputs }];
    const ref = one.ref === undefined ? {} : { ref: expander.text(one.ref) };
    return [{ project: expander.text(one.project), file: rooted(one.file), ...ref, ...inputs }];
  });
  // YAML holds JSON.
  return { text: JSON.stringify({ include }) };
}

function no(text: string): BridgeRefusal {
  return new BridgeRefusal('downstream_pipeline_creation_failed', text);
}
