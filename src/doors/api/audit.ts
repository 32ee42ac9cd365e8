import { type AuditId, type JobId, parseId, type ProjectId, type UserId } from '../../base/ids.ts';
import { limits } from '../../base/limits.ts';
import { ParamError } from './errors.ts';
import { auditRow } from './present.ts';
import type { ApiDeps, RouteTable } from './route.ts';
import type { Params } from './params.ts';

/** Ours: the audit trail (DESIGN R10). */
export function auditRoutes(deps: Pick<ApiDeps, 'audit'>): RouteTable {
  return {
    'GET /api/v4/jobpass/audit': async ({ params }) => {
      const limit = Math.min(params.integer('per_page') ?? 20, limits.pageSize);
      if (limit < 1) throw new ParamError('per_page does not have a valid value');
      const [userId, projectId, jobId, afterId] = [
        idParam<UserId>(params, 'user_id'),
        idParam<ProjectId>(params, 'project_id'),
        idParam<JobId>(params, 'job_id'),
        idParam<AuditId>(params, 'after_id'),
      ];
      const decision = params.oneOf('decision', ['allow', 'deny']);
      const rows = await deps.audit.query({
        limit,
        ...(userId === undefined ? {} : { userId }),
        ...(projectId === undefined ? {} : { projectId }),
        ...(jobId === undefined ? {} : { jobId }),
        ...(afterId === undefined ? {} : { afterId }),
        ...(decision === undefined ? {} : { decision }),
      });
      return { body: rows.map(auditRow) };
    },
  };
}

function idParam<Id extends AuditId | JobId | ProjectId | UserId>(params: Params, name: string): Id | undefined {
  const text = params.optionalText(name);
  if (text === undefined || text === '') return undefined;
  if (text === '0' && name === 'after_id') return undefined;
  const id = parseId<Id>(text);
  if (id === undefined) throw new ParamError(`${name} is invalid`);
  return id;
}
