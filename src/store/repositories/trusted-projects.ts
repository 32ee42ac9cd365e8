import { id, type ProjectId } from '../../base/ids.ts';
import type { TrustedProjects } from '../../ports/trust.ts';
import type { Database } from '../database.ts';

export function trustedProjectRepository(db: Database): TrustedProjects {
  return {
    async has(tx, user, project) {
      const row = await db
        .on(tx)
        .selectFrom('trustedProjects')
        .select('at')
        .where('userId', '=', user)
        .where('projectId', '=', project)
        .executeTakeFirst();
      return row !== undefined;
    },
    async list(tx, user) {
      const rows = await db
        .on(tx)
        .selectFrom('trustedProjects')
        .select('projectId')
        .where('userId', '=', user)
        .orderBy('at')
        .orderBy('projectId')
        .execute();
      return rows.map((row) => id<ProjectId>(row.projectId));
    },
    async add(tx, user, project, at) {
      await db
        .on(tx)
        .insertInto('trustedProjects')
        .values({ userId: user, projectId: project, at })
        .onConflict((conflict) => conflict.columns(['userId', 'projectId']).doNothing())
        .execute();
    },
    async remove(tx, user, project) {
      const rows = await db
        .on(tx)
        .deleteFrom('trustedProjects')
        .where('userId', '=', user)
        .where('projectId', '=', project)
        .returning('at')
        .execute();
      return rows.length > 0;
    },
  };
}
