import { isoTime, isoTimeOrNull } from '../../base/clock.ts';
import { JobpassError } from '../../base/errors.ts';
import { type JobId, parseId } from '../../base/ids.ts';
import type { Jobs } from '../../jobs/jobs.ts';
import type { Directory } from '../../ports/directory.ts';
import type { RouteTable } from './route.ts';

export interface JobPassRouteDeps {
  readonly directory: Directory;
  readonly jobs: { readonly pipelines: Pick<Jobs['pipelines'], 'passes'> };
}

/** Ours: whose rights a job's passes intersect and why (DESIGN R3), and how they ended. Never a secret: only digests are kept. */
export function jobPassRoutes({ jobs: { pipelines }, directory }: JobPassRouteDeps): RouteTable {
  return {
    'GET /api/v4/projects/:id/jobs/:job_id/jobpass': async ({ grant, project, path }) => {
      const id = parseId<JobId>(path('job_id'));
      if (id === undefined) throw new JobpassError('not_found', {});
      const { rights, passes } = await pipelines.passes(grant, project.id, id);
      const principals = rights?.principals ?? [];
      const users = await directory.users(
        null,
        principals.map(({ userId }) => userId),
      );
      return {
        body: {
          job_id: id,
          principals: principals.map(({ userId, reason }) => ({ id: userId, username: users.get(userId)?.username ?? null, reason })),
          own_project_only: passes.some(({ ownProjectOnly }) => ownProjectOnly),
          chain_depth: passes[0]?.chainDepth ?? null,
          passes: passes.map((pass) => ({
            id: pass.id,
            kind: pass.kind,
            parent_id: pass.parentId,
            issued_at: isoTime(pass.issuedAt),
            expires_at: isoTime(pass.expiresAt),
            revoked_at: isoTimeOrNull(pass.revokedAt),
            revoked_reason: pass.revokedReason,
          })),
        },
      };
    },
  };
}
