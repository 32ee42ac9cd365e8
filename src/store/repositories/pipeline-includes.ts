import { id, type ProjectId, type UserId, parseOid, parseRefName } from '../../base/ids.ts';
import { JobpassError } from '../../base/errors.ts';
import type { IncludedCommit, PipelineIncludes } from '../../ports/includes.ts';
import type { Database } from '../database.ts';

export function pipelineIncludeRepository(db: Database): PipelineIncludes {
  return {
    async of(tx, pipeline) {
      const rows = await db
        .on(tx)
        .selectFrom('pipelineIncludes')
        .selectAll()
        .where('pipelineId', '=', pipeline)
        .orderBy('projectId')
        .orderBy('sha')
        .orderBy('ref')
        .execute();
      return rows.map(recordOf);
    },
    async put(tx, pipeline, included) {
      if (included.length === 0) return;
      const rows = included.map(({ projectId, sha, ref, movers }) => ({
        pipelineId: pipeline,
        projectId,
        sha,
        ref: ref ?? '',
        movers: movers === null ? null : JSON.stringify(movers),
      }));
      await db.on(tx).insertInto('pipelineIncludes').values(rows).execute();
    },
  };
}

/** @throws store_unavailable for a row that cannot be read: whose rights count must not be guessed */
function recordOf(row: { projectId: number; sha: string; ref: string; movers: string | null }): IncludedCommit {
  const sha = parseOid(row.sha);
  const ref = row.ref === '' ? null : parseRefName(row.ref);
  const movers: unknown = row.movers === null ? null : JSON.parse(row.movers);
  if (sha === undefined || ref === undefined || (movers !== null && !Array.isArray(movers)))
    throw new JobpassError('store_unavailable', 'A row of what a pipeline includes cannot be read.');
  return {
    projectId: id<ProjectId>(row.projectId),
    sha,
    ref,
    movers: movers === null ? null : movers.map((one) => id<UserId>(Number(one))),
  };
}
