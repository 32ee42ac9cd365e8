import type { CiFile, CiJob, CiRule } from './ci-file.ts';

/** What GitLab warns of in a file that it takes. @see GitLab, "Troubleshooting CI/CD": pipeline warnings */
export function warningsOf({ workflow, jobs }: CiFile): readonly string[] {
  if (workflow?.rules !== undefined) return [];
  const names = new Set(jobs.flatMap((job) => (endsOpen(job.rules) ? [writtenName(job)] : [])));
  return [...names].map(
    (name) =>
      `jobs:${name} may allow multiple pipelines to run for a single action due to \`rules:when\` clause with no \`workflow:rules\`` +
      ' - read more: https://docs.gitlab.com/ee/ci/troubleshooting.html#pipeline-warnings',
  );
}

/** Instances of a parallel job are one job of the file. */
export function writtenName({ name, variables }: CiJob): string {
  return variables['CI_NODE_TOTAL'] === undefined ? name : name.replace(/ \d+\/\d+$|: \[.*\]$/, '');
}

/** The last rule says `when` alone, and not `never`: pushes and merge requests both get the job. */
function endsOpen(rules: readonly CiRule[] | undefined): boolean {
  const last = rules?.at(-1);
  if (last?.when === undefined || last.when === 'never') return false;
  const { when: _when, variables, ...others } = last;
  return Object.keys(others).length === 0 && Object.keys(variables).length === 0;
}
