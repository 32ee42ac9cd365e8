import { Secret } from '../../base/secret.ts';
import { repositoryUrl } from '../git/urls.ts';
import { getSources, type SourcesOrder } from '../git/sources.ts';
import type { GitCredential } from '../git/environment.ts';
import { removeAs, runAs } from '../run-as.ts';
import type { JobContext } from './context.ts';

/** Puts the sources in place as GIT_STRATEGY and friends say. @see GitLab CI/CD, "Configure runners: Git strategy" */
export async function fetchSources(context: JobContext): Promise<void> {
  const { variables, job, workspace, trace, control } = context;
  const { place } = workspace;
  const asked = variables.get('GIT_STRATEGY');
  const strategy =
    asked === 'clone' || asked === 'fetch' || asked === 'none' || asked === 'empty' ? asked : job.allow_git_fetch ? 'fetch' : 'clone';
  if (strategy === 'none') return trace.line('Skipping Git repository setup');
  if (strategy === 'empty') {
    await removeAs(place, place.buildDir);
    await runAs(place, 'mkdir', ['-p', '--', place.buildDir], { cwd: place.slotDir });
    return trace.line('Skipping Git repository setup and creating an empty build directory');
  }
  const order = orderOf(context, strategy);
  const attempts = attemptsOf(variables.get('GET_SOURCES_ATTEMPTS'));
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await getSources(order);
    } catch (error) {
      if (attempt >= attempts || control.script.aborted) throw error;
      trace.line(`Getting the sources failed; trying again (${attempt + 1} of ${attempts})`);
    }
  }
}

function orderOf(context: JobContext, strategy: 'fetch' | 'clone'): SourcesOrder {
  const { variables, job, workspace, trace, control, entry } = context;
  const url = repositoryUrl(job.git_info.repo_url);
  const submodules = variables.get('GIT_SUBMODULE_STRATEGY');
  const onOutput = (bytes: Buffer): void => trace.append(bytes);
  const host = variables.get('CI_SERVER_SHELL_SSH_HOST') ?? variables.get('CI_SERVER_HOST') ?? url.hostname;
  const submoduleDepth = variables.get('GIT_SUBMODULE_DEPTH');
  return {
    room: {
      buildsDir: entry.buildsDir,
      trustKey: context.trustKey,
      slot: context.slot,
      caFile: entry.tlsCaFile,
      signal: control.script,
      onOutput,
    },
    place: workspace.place,
    url,
    sha: job.git_info.sha,
    ref: job.git_info.ref,
    refspecs: job.git_info.refspecs,
    depth: job.git_info.depth,
    credential: credentialOf(context, url),
    strategy,
    submodules: submodules === 'normal' || submodules === 'recursive' ? submodules : 'none',
    submoduleDepth: submoduleDepth !== undefined && /^\d{1,6}$/.test(submoduleDepth) ? Number(submoduleDepth) : job.git_info.depth,
    force: variables.get('GIT_SUBMODULE_FORCE_HTTPS') === 'true' ? { sshHost: host, httpBase: url.origin } : undefined,
    cleanFlags: cleanFlagsOf(variables.get('GIT_CLEAN_FLAGS')),
    checkout: variables.get('GIT_CHECKOUT') !== 'false',
    lfs: !['1', 'true', 'yes', 't', 'on'].includes((variables.get('GIT_LFS_SKIP_SMUDGE') ?? '').toLowerCase()),
    say: (text) => trace.line(text),
  };
}

/** The fetch pass for the forge's own addresses (R8); from a server without passes, the job token for the repository's. */
function credentialOf(context: JobContext, url: URL): GitCredential {
  const { extended_job_token: extended } = context.job;
  if (extended === undefined) return { username: 'gitlab-ci-token', password: context.token, origins: [url.origin] };
  const origins = extended.hosts.git.filter((host) => URL.canParse(host)).map((host) => new URL(host).origin);
  return { username: extended.username, password: new Secret(extended.fetch_token), origins };
}

function attemptsOf(text: string | undefined): number {
  return text !== undefined && /^(?:[1-9]|10)$/.test(text) ? Number(text) : 1;
}

function cleanFlagsOf(text: string | undefined): readonly string[] {
  if (text === 'none') return [];
  const flags = (text ?? '').split(/\s+/).filter((flag) => flag !== '');
  return flags.length === 0 ? ['-ffdx'] : flags;
}

/** Gives the fetch pass back before the first line of the script (R8): what the runner does not need any more, nobody can take from it. */
export async function returnFetchPass(context: JobContext): Promise<void> {
  const pass = context.job.extended_job_token?.fetch_token;
  if (pass === undefined) return;
  for (let attempt = 1; attempt <= 2; attempt += 1) {
    if (await context.client.revoke(new Secret(pass)).catch(() => false)) return;
  }
  context.log.warn('pass.not_returned');
  context.trace.line('jobpass: WARNING: the fetch pass could not be given back; it ends with the job.');
}
