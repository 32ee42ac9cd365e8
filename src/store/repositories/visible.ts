import { type RawBuilder, sql } from 'kysely';
import type { Viewers } from '../../forge/embedded/ports.ts';

/**
 * Rows that every principal may see (R3), as one condition on a table with `id`, `visibility` and a namespace.
 * @param kind whose rows: `projects` (namespace in `namespaceId`) or `namespaces` (itself)
 */
export function visibleTo(kind: 'projects' | 'namespaces', viewers: Viewers): RawBuilder<boolean> {
  const minLevel = viewers.minLevel;
  const conditions: RawBuilder<unknown>[] = [];
  if (viewers.principals.length === 0) conditions.push(minLevel === undefined ? sql`"visibility" = 'public'` : sql`1 = 0`);
  for (const principal of viewers.principals) {
    const member = memberCondition(kind, principal, minLevel ?? 10, viewers.now);
    conditions.push(minLevel === undefined ? sql`("visibility" in ('public', 'internal') or ${member})` : member);
  }
  for (const place of viewers.within ?? []) conditions.push(withinCondition(kind, place));
  return sql<boolean>`(${sql.join(conditions, sql` and `)})`;
}

/** The named projects, and everything in the named groups. */
function withinCondition(
  kind: 'projects' | 'namespaces',
  { projectIds, groupIds }: NonNullable<Viewers['within']>[number],
): RawBuilder<unknown> {
  const namespace = kind === 'projects' ? sql`"projects"."namespaceId"` : sql`"namespaces"."id"`;
  const either: RawBuilder<unknown>[] = [sql`1 = 0`];
  if (kind === 'projects' && projectIds.length > 0) either.push(sql`"projects"."id" in (${sql.join([...projectIds])})`);
  if (groupIds.length > 0)
    either.push(
      sql`exists (select 1 from "namespaceAncestors" "w" where "w"."namespaceId" = ${namespace} and "w"."ancestorId" in (${sql.join([...groupIds])}))`,
    );
  return sql`(${sql.join(either, sql` or `)})`;
}

function memberCondition(kind: 'projects' | 'namespaces', user: number, level: number, now: number): RawBuilder<unknown> {
  const namespace = kind === 'projects' ? sql`"projects"."namespaceId"` : sql`"namespaces"."id"`;
  const direct = kind === 'projects' ? sql`("m"."sourceKind" = 'project' and "m"."sourceId" = "projects"."id") or` : sql``;
  return sql`(exists (select 1 from "members" "m" where "m"."userId" = ${user} and "m"."accessLevel" >= ${level} and ("m"."expiresAt" is null or "m"."expiresAt" > ${now})
      and (${direct} ("m"."sourceKind" = 'group' and "m"."sourceId" in (select "a"."ancestorId" from "namespaceAncestors" "a" where "a"."namespaceId" = ${namespace}))))
    or exists (select 1 from "namespaces" "o" where "o"."id" = ${namespace} and "o"."ownerUserId" = ${user}))`;
}
