import type { SelectQueryBuilder } from 'kysely';
import type { Page, Paged } from '../../ports/jobs.ts';
import type { Schema } from '../schema.ts';

/** Counts, then reads one page. @param read selects, orders and executes */
export async function paged<Table extends keyof Schema, Row, Result>(
  query: SelectQueryBuilder<Schema, Table, object>,
  page: Page,
  read: (query: SelectQueryBuilder<Schema, Table, object>) => Promise<readonly Row[]>,
  map: (row: Row) => Result,
): Promise<Paged<Result>> {
  const counted = await query.select((eb) => eb.fn.countAll<number>().as('count')).executeTakeFirstOrThrow();
  const rows = await read(query.limit(page.perPage).offset((page.page - 1) * page.perPage));
  return { rows: rows.map(map), total: Object.values(counted)[0] ?? 0 };
}
