import type { Kysely } from 'kysely';
import type { ProjectId } from '../../base/ids.ts';
import { limits } from '../../base/limits.ts';
import type { Schema } from '../schema.ts';

/** The path leads to the project from now on; of many the oldest are forgotten. */
export async function rememberPath(on: Kysely<Schema>, path: string, projectId: ProjectId): Promise<void> {
  await forgetPath(on, path);
  await on.insertInto('formerPaths').values({ pathKey: path.toLowerCase(), projectId }).execute();
  const kept = on.selectFrom('formerPaths').select('id').where('projectId', '=', projectId).orderBy('id', 'desc').limit(limits.formerPaths);
  const ids = (await kept.execute()).map(({ id }) => id);
  await on.deleteFrom('formerPaths').where('projectId', '=', projectId).where('id', 'not in', ids).execute();
}

/** Something has the path itself now: nothing is led away from it, also once that is gone again (A38). */
export async function forgetPath(on: Kysely<Schema>, path: string): Promise<void> {
  await on.deleteFrom('formerPaths').where('pathKey', '=', path.toLowerCase()).execute();
}
