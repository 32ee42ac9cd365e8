import type { ApiClient } from './api-client.ts';
import { usage } from './command.ts';
import { fieldOf, numberOf, rowsOf, textOf } from './demo/http.ts';

/** More rows than a job may ever leave are not read. */
const pages = 1000;

/** What the full passes of a job were allowed, as the lines that bound the next one to just that (R4). */
export async function suggest(api: ApiClient, job: string | undefined): Promise<string> {
  if (job === undefined || !/^\d+$/.test(job)) return usage('--suggest needs --job ID');
  const permissions = new Set<string>();
  const projects = new Set<string>();
  const groups = new Set<string>();
  let after = 0;
  for (let page = 0; page < pages; page += 1) {
    const search = new URLSearchParams({ job_id: job, decision: 'allow', per_page: '100', after_id: String(after) });
    const rows = rowsOf(await api.call('GET', `/api/v4/jobpass/audit?${search.toString()}`));
    for (const row of rows) {
      after = numberOf(row, 'id');
      // A ref is decided beside the write that moves it.
      if (fieldOf(row, 'door') === 'ref') continue;
      // The runner's own pass is not bounded by the job.
      if (fieldOf(row, 'subject') !== 'pass' || fieldOf(row, 'pass_kind') === 'fetch') continue;
      for (const access of rowsOf(fieldOf(row, 'accesses'))) {
        const [, permission, kind, id] = /^([\w:]+)(?:@(project|group):(\d+))?/.exec(String(access)) ?? [];
        if (permission !== undefined && !always.has(permission)) permissions.add(permission);
        if (id !== undefined) (kind === 'group' ? groups : projects).add(id);
      }
    }
    if (rows.length < 100) break;
  }
  if (permissions.size === 0) return `# job ${job} did nothing with its full pass: it needs none\n`;
  const paths = await Promise.all([
    ...[...projects].map(async (id) => textOf(await api.call('GET', `/api/v4/projects/${id}`), 'path_with_namespace')),
    // A ceiling names a group with everything in it.
    ...[...groups].map(async (id) => `${textOf(await api.call('GET', `/api/v4/groups/${id}`), 'full_path')}/*`),
  ]);
  return [
    `# what job ${job} did with its pass, and no more`,
    'variables:',
    `  JOBPASS_PERMISSIONS: ${[...permissions].toSorted(byText).join(' ')}`,
    ...(paths.length === 0 ? [] : [`  JOBPASS_PROJECTS: ${paths.toSorted(byText).join(' ')}`]),
    '',
  ].join('\n');
}

/** Within every ceiling. */
const always = new Set(['pass:self', 'job:self', 'registry:login']);

function byText(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
