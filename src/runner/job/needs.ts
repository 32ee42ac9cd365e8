import { Secret } from '../../base/secret.ts';
import type { JobImage, JobService } from '../../wire/runner.ts';
import type { ContainerNeeds, JobNeeds, ServiceNeeds } from '../executors/executor.ts';
import type { JobContext } from './context.ts';
import { expander, variablesOf } from './variables.ts';

/** What the executor has to know before there is a place: images, services, and the fetch pass for pulling them (R8). */
export function needsOf(
  { job, trace, control }: Pick<JobContext, 'job' | 'trace' | 'control'>,
  environment: ReadonlyMap<string, string>,
): JobNeeds {
  // Nothing of a pass is in these, whatever the job gets to see (R7).
  const variables = variablesOf(job, undefined, 'withhold', environment);
  const expand = expander(variables.all);
  const { extended_job_token: extended } = job;
  return {
    jobId: job.id,
    image: job.image === null ? undefined : containerOf(job.image, expand),
    services: job.services.map((service) => serviceOf(service, expand)),
    serviceEnvironment: Object.fromEntries(
      [...variables.all.values()].filter(({ file }) => file !== true).map(({ key, value }) => [key, value]),
    ),
    pulls:
      extended === undefined
        ? undefined
        : { registries: extended.hosts.registry, username: extended.username, password: new Secret(extended.fetch_token) },
    say: (text) => trace.line(text),
    signal: control.script,
  };
}

type Expand = (text: string) => string;

function containerOf(image: JobImage, expand: Expand): ContainerNeeds {
  const { user, platform } = image.executor_opts?.docker ?? {};
  return {
    name: expand(image.name),
    entrypoint: image.entrypoint,
    pullPolicy: image.pull_policy,
    user: user === undefined ? undefined : expand(user),
    platform: platform === undefined ? undefined : expand(platform),
  };
}

function serviceOf(service: JobService, expand: Expand): ServiceNeeds {
  return {
    ...containerOf(service, expand),
    aliases: expand(service.alias ?? '')
      .split(/[\s,]+/)
      .filter((alias) => alias !== ''),
    command: service.command,
    variables: Object.fromEntries((service.variables ?? []).map(({ key, value }) => [key, expand(value)])),
  };
}
