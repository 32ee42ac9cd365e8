import { dirname } from 'node:path';
import { Secret } from '../../base/secret.ts';
import { repositoryUrl } from '../git/urls.ts';
import { getSources, type SourcesOrder } from '../git/sources.ts';
import type { GitCredential } from '../git/environment.ts';
import { removeAs, runAs } from '../run-as.ts';
import type { JobContext } from './context.ts';
import { type GitSettings, gitSettings } from './git-settings.ts';
import { runHook } from './hooks.ts';

/** Puts the sources in place as GIT_STRATEGY and friends say. @see GitLab CI/CD, "Configure runners: Git strategy" */
export async function fetchSources(context: JobContext): Promise<void> {
  const { variables, job, workspace, trace, control } = context;
  const { place } = workspace;
  const settings = gitSettings(variables, job.allow_git_fetch);
  await runHook(context, 'pre_get_sources_script');
  // What the hook left running could watch the git that holds the fetch pass (R8).
  await workspace.endProcesses();
  if (settings.strategy === 'none') return trace.line('Skipping Git repository setup');
  if (settings.strategy === 'empty') {
    await removeAs(place, place.buildDir);
    await runAs(place, 'mkdir', ['-p', '--', place.buildDir], { cwd: place.slotDir });
    return trace.line('Skipping Git repository setup and creating an empty build directory');
  }
  const order = orderOf(context, settings, settings.strategy);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await getSources(order);
    } catch (error) {
      if (attempt >= settings.attempts || control.script.aborted) throw error;
      trace.line(`Getting the sources failed; trying again (${attempt + 1} of ${settings.attempts})`);
    }
  }
}

function orderOf(context: JobContext, settings: GitSettings, strategy: 'fetch' | 'clone'): SourcesOrder {
  const { variables, job, workspace, trace, control, entry } = context;
  const url = repositoryUrl(job.git_info.repo_url);
  const host = variables.get('CI_SERVER_SHELL_SSH_HOST') ?? variables.get('CI_SERVER_HOST') ?? url.hostname;
  const { fetch } = settings;
  return {
    room: {
      buildsDir: entry.buildsDir,
      trustKey: context.trustKey,
      runnerDir: dirname(workspace.place.slotDir),
      caFile: entry.tlsCaFile,
      flags: fetch.passedOn,
      signal: control.script,
      onOutput: (bytes) => trace.append(bytes),
    },
    place: workspace.place,
    url,
    sha: job.git_info.sha,
    ref: job.git_info.ref,
    refspecs: fetch.tags ? [...job.git_info.refspecs, '+refs/tags/*:refs/tags/*'] : job.git_info.refspecs,
    depth: fetch.depth > 0 ? fetch.depth : job.git_info.depth,
    credential: credentialOf(context, url),
    strategy,
    submodules: settings.submodules,
    submoduleDepth: settings.submoduleDepth ?? job.git_info.depth,
    wanted: settings.wanted,
    force: settings.forceHttps ? { sshHost: host, httpBase: url.origin } : undefined,
    cleanFlags: settings.cleanFlags,
    checkout: settings.checkout,
    lfs: settings.lfs,
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

/**
 * Gives the fetch pass back before the first line of the script (R8): what the runner does not need any more, nobody can take from it.
 * `pre_get_sources_script` alone runs before; it sees nothing of the pass.
 */
export async function returnFetchPass(context: JobContext): Promise<void> {
  const pass = context.job.extended_job_token?.fetch_token;
  if (pass === undefined) return;
  for (let attempt = 1; attempt <= 2; attempt += 1) {
    if (await context.client.revoke(new Secret(pass)).catch(() => false)) return;
  }
  context.log.warn('pass.not_returned');
  context.trace.line('jobpass: WARNING: the fetch pass could not be given back; it ends with the job.');
}
