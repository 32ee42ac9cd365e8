import type { ProjectId } from '../base/ids.ts';
import type { JobsDeps } from './deps.ts';

/** At most that many are named (GitLab). */
const named = 4;

/** `CI_OPEN_MERGE_REQUESTS` of a branch, by which files avoid running twice. */
export async function openRequests(
  { mergeRequests, directory }: Pick<JobsDeps, 'mergeRequests' | 'directory'>,
  project: ProjectId,
  branch: string,
): Promise<Readonly<Record<string, string>>> {
  const open = (await mergeRequests.openFrom(null, project, branch)).slice(0, named);
  if (open.length === 0) return {};
  const names = await Promise.all(open.map(async (one) => `${(await directory.project(null, one.projectId))?.path ?? ''}!${one.iid}`));
  return { CI_OPEN_MERGE_REQUESTS: names.join(',') };
}
