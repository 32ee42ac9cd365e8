import type { JobId } from '../../base/ids.ts';
import type { JobRights } from '../../ports/job-rights.ts';
import type { PassPrincipal } from '../../ports/passes.ts';
import { type Database, readJson } from '../database.ts';

export function jobRightsRepository(db: Database): JobRights {
  return {
    async record(tx, jobId, { principals, provable, sources }) {
      const values = { principals: JSON.stringify(principals), provable: provable ? 1 : 0, sources: JSON.stringify(sources) };
      await db
        .on(tx)
        .insertInto('jobRights')
        .values({ jobId, ...values })
        .onConflict((conflict) => conflict.column('jobId').doUpdateSet(values))
        .execute();
    },
    async of(tx, jobId) {
      const row = await db.on(tx).selectFrom('jobRights').selectAll().where('jobId', '=', jobId).executeTakeFirst();
      if (row === undefined) return undefined;
      return {
        principals: readJson<PassPrincipal[]>(row.principals),
        provable: row.provable === 1,
        sources: readJson<JobId[]>(row.sources),
      };
    },
  };
}
