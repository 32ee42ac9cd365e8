import type { Api } from './http.ts';
import { fieldOf, numberOf, rowsOf, textOf } from './http.ts';

/** What is asked of no project. */
const ofInstance: Readonly<Record<string, string>> = {
  'pass:self': 'itself: given back before the script',
  'self:read': 'who am I (GET /user)',
  'registry:login': 'the registry: login',
};

/** One line of the closing table, made from what the audit trail says that a pass did. */
export interface Reached {
  readonly what: string;
  readonly permission: string;
  readonly pass: string;
  readonly as: string;
  readonly decision: string;
}

/**
 * What the passes of these jobs were granted and refused, each (permission, resource) once, in order.
 * @param names project id → path
 */
export async function reached(
  root: Api,
  jobIds: readonly number[],
  names: ReadonlyMap<number, string>,
  users: ReadonlyMap<number, string>,
): Promise<readonly Reached[]> {
  const lines = new Map<string, Reached>();
  for (const job of jobIds) {
    const rows = await auditOf(root, job);
    for (const row of rows) {
      if (fieldOf(row, 'subject') !== 'pass') continue;
      // What was tried after the job's end has lines of its own.
      if (fieldOf(row, 'decision') === 'deny' && fieldOf(row, 'rule') === 'R2') continue;
      const principals = rowsOf(fieldOf(row, 'principals')).map((principal) => users.get(Number(principal)) ?? String(principal));
      for (const access of rowsOf(fieldOf(row, 'accesses')).map(String)) {
        const [permission = '', resource = ''] = access.split('@');
        if (resource.startsWith('job:')) continue;
        const decision = String(fieldOf(row, 'decision'));
        const project = /^project:(\d+)$/.exec(resource);
        const what = project === null ? (ofInstance[permission] ?? resource) : (names.get(Number(project[1])) ?? resource);
        const pass = textOf(row, 'pass_kind');
        const key = `${permission} ${what} ${pass} ${decision}`;
        if (!lines.has(key))
          lines.set(key, {
            what,
            permission,
            pass,
            as: principals.join(' ∩ '),
            decision,
          });
      }
    }
  }
  return [...lines.values()];
}

const pageSize = 100;

/** All rows of a job, oldest first. */
async function auditOf(root: Api, job: number): Promise<readonly unknown[]> {
  const rows: unknown[] = [];
  for (let after = 1; ;) {
    const page = rowsOf(await root.get(`/api/v4/jobpass/audit?job_id=${job}&per_page=${pageSize}&after_id=${after}`));
    rows.push(...page);
    const last = page.at(-1);
    if (page.length < pageSize || last === undefined) return rows;
    after = numberOf(last, 'id');
  }
}
