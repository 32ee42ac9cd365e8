import { newBudget } from '../../../base/budget.ts';
import { JobpassError } from '../../../base/errors.ts';
import { matchesGlob, readGlob } from '../../../base/glob.ts';
import { type Engine, inspected } from '../../engine/engine.ts';
import { isTable, type Table, tableIn, textIn, textsIn } from '../../parsed.ts';
import type { JobNeeds } from '../executor.ts';
import { type DockerConfig, policyOf, type PullPolicy } from './config.ts';
import { type ImageReference, isIn, isNamed, parseReference } from './reference.ts';

/** An image that is there now, by its id: a tag that another job moves meanwhile changes nothing (A63). */
export interface PulledImage {
  readonly id: string;
  readonly reference: ImageReference;
  /** The image's own user; empty for root. */
  readonly user: string;
  /** `80/tcp` and the like. */
  readonly ports: readonly string[];
}

/** Brings an image, authorised anew for this job. @throws upstream_failed {what: 'Image'}, invalid_input */
export async function bringImage(
  engine: Engine,
  config: DockerConfig,
  needs: JobNeeds,
  name: string,
  asked: readonly string[] | undefined,
  platform: string | undefined,
): Promise<PulledImage> {
  const reference = parseReference(name);
  if (reference === undefined)
    throw new JobpassError('invalid_input', `The image name ${JSON.stringify(name.slice(0, 200))} is malformed.`);
  const ours = needs.pulls !== undefined && isIn(reference, needs.pulls.registries);
  const policies = allowedPolicies(config, asked);
  let last: JobpassError | undefined;
  for (const policy of policies) {
    try {
      return await bringBy(policy, ours);
    } catch (error) {
      if (!(error instanceof JobpassError) || needs.signal.aborted) throw error;
      last = error;
      needs.say(`WARNING: ${policy}: ${error.message}`);
    }
  }
  throw new JobpassError('upstream_failed', {
    what: 'Image',
    message: `The image ${reference.full} cannot be had: ${last?.message ?? 'no pull policy is left'}`,
  });

  async function bringBy(policy: PullPolicy, authorised: boolean): Promise<PulledImage> {
    // A local copy says nothing about who may use it: the forge's own registry is asked each time, and what it answers is what runs (R8, A34).
    if (policy === 'never' && authorised)
      throw new JobpassError('upstream_failed', 'an image of this forge is never taken without asking its registry');
    if (policy !== 'always' && !authorised) {
      const present = await local();
      if (present !== undefined) return present;
      if (policy === 'never') throw new JobpassError('upstream_failed', 'it is not on this machine');
    }
    return pull(authorised);
  }

  async function pull(authorised: boolean): Promise<PulledImage> {
    const { full = name, qualified = name } = reference ?? {};
    const { pulls } = needs;
    needs.say(authorised ? `Pulling docker image ${full} with the job's fetch pass …` : `Pulling docker image ${full} …`);
    const credential =
      authorised && pulls !== undefined
        ? { username: pulls.username, password: pulls.password.reveal(), serveraddress: reference?.registry ?? '' }
        : undefined;
    let digest: string | undefined;
    await engine.pull(
      qualified,
      platform,
      credential,
      ({ status }) => (digest = /^Digest: (sha256:[0-9a-f]{64})$/.exec(status)?.[1] ?? digest),
      needs.signal,
    );
    const found = (digest === undefined ? undefined : await inspect(byDigest(qualified, digest))) ?? (await inspect(qualified));
    if (found === undefined) throw new JobpassError('upstream_failed', 'the engine pulled it and does not have it');
    needs.say(`Using docker image ${found.id.slice(7, 19)} for ${full}${digest === undefined ? '' : ` with digest ${digest}`} …`);
    return found;
  }

  /** A copy that is here; a name without a registry is also that of an image that podman built here. */
  async function local(): Promise<PulledImage | undefined> {
    const { full = name, qualified = name, registry } = reference ?? {};
    const built = registry === 'docker.io' && !full.startsWith('docker.io/') && needs.pulls?.registries.includes('localhost') !== true;
    return (await inspect(qualified)) ?? (built ? await inspect(`localhost/${full}`) : undefined);
  }

  async function inspect(what: string): Promise<PulledImage | undefined> {
    const wanted = parseReference(what);
    const image = await inspected(engine, `/images/${encodeURIComponent(what)}/json`);
    if (!isTable(image) || reference === undefined || wanted === undefined) return undefined;
    if (!isNamed(wanted, textsIn(image, 'RepoTags'), textsIn(image, 'RepoDigests'))) return undefined;
    const settings: Table = tableIn(image, 'Config') ?? {};
    const user = textIn(settings, 'User') ?? '';
    return {
      id: textIn(image, 'Id') ?? '',
      reference,
      user: ['0', 'root', '0:0', 'root:root'].includes(user) ? '' : user,
      ports: Object.keys(tableIn(settings, 'ExposedPorts') ?? {}),
    };
  }
}

/** `name@digest` of a name with or without a tag. */
function byDigest(full: string, digest: string): string {
  return `${full.replace(/@.*$/, '').replace(/:[^:/]+$/, '')}@${digest}`;
}

function allowedPolicies(config: DockerConfig, asked: readonly string[] | undefined): readonly PullPolicy[] {
  const wanted =
    asked === undefined || asked.length === 0 ? config.pullPolicy : asked.map(policyOf).filter((policy) => policy !== undefined);
  const allowed = wanted.filter((policy) => config.allowedPullPolicies.includes(policy));
  if (allowed.length > 0) return allowed;
  throw new JobpassError(
    'invalid_input',
    `pull_policy ${wanted.join(', ')} is not allowed by this runner; it allows ${config.allowedPullPolicies.join(', ')}.`,
  );
}

/** gitlab-runner's rule: patterns over the name as it is written; none = any; the runner's own default is always fine. */
export function checkAllowed(name: string, patterns: readonly string[], own: string | undefined, what: 'image' | 'service'): void {
  const budget = newBudget();
  const allowed = (pattern: string): boolean => pattern === name || matchesGlob(readGlob(pattern, true), name, budget);
  if (patterns.length === 0 || name === own || patterns.some(allowed)) return;
  throw new JobpassError(
    'invalid_input',
    `The ${what} ${JSON.stringify(name.slice(0, 200))} is not allowed by this runner; allowed are: ${patterns.join(', ')}.`,
  );
}

/** Labels by which what a killed runner left behind is found. */
export const ownerLabel = 'com.jobpass.runner';
export const jobLabel = 'com.jobpass.job';
/** The runner's process: another of the same token may be at work. */
export const processLabel = 'com.jobpass.process';

/** What an engine lists, as tables. */
export function rowsOf(value: unknown): readonly Table[] {
  return Array.isArray(value) ? value.filter(isTable) : [];
}
