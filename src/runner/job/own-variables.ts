import { readFile } from 'node:fs/promises';
import type { JobVariable } from '../../wire/runner.ts';
import type { RunnerEntry } from '../config.ts';
import { runnerVersion } from '../info.ts';

/** Go's names for what Node calls otherwise. */
const goNames: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' };

/**
 * What a runner tells a job of itself, under gitlab-runner's names. There is no CI_RUNNER_REVISION: a package has a version and no revision.
 * @param image that the job runs in, where it runs in one
 * @see GitLab CI/CD, "Predefined CI/CD variables reference"
 */
export async function ownVariables(
  entry: Pick<RunnerEntry, 'tlsCaFile'>,
  slot: number,
  image: string | undefined,
): Promise<readonly JobVariable[]> {
  const variable = (key: string, value: string, file = false): JobVariable => ({
    key,
    value,
    public: true,
    masked: false,
    raw: true,
    ...(file ? { file } : {}),
  });
  const ca = entry.tlsCaFile === undefined ? undefined : await readFile(entry.tlsCaFile, 'utf8').catch(() => undefined);
  return [
    variable('CI_RUNNER_VERSION', runnerVersion),
    variable('CI_RUNNER_EXECUTABLE_ARCH', `${process.platform}/${goNames[process.arch] ?? process.arch}`),
    // A slot has one job at a time, so its number is one among all jobs of the entry as among those of the project.
    variable('CI_CONCURRENT_ID', String(slot)),
    variable('CI_CONCURRENT_PROJECT_ID', String(slot)),
    ...(image === undefined ? [] : [variable('CI_JOB_IMAGE', image)]),
    ...(ca === undefined ? [] : [variable('CI_SERVER_TLS_CA_FILE', ca, true)]),
  ];
}
