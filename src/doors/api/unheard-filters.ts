import type { Answer } from './route.ts';
import { ParamError } from './errors.ts';
import type { Params } from './params.ts';

/** What narrows one or another list of a GitLab. What only orders one, or shows more of each, is not here. @see GitLab REST API, each "List …" */
const narrowing = [
  'action',
  'after',
  'approved_by_ids',
  'archived',
  'author',
  'author_id',
  'author_username',
  'before',
  'created_after',
  'created_before',
  'draft',
  'environment',
  'expires_after',
  'expires_before',
  'finished_after',
  'finished_before',
  'id_after',
  'id_before',
  'in',
  'last_activity_after',
  'last_activity_before',
  'last_used_after',
  'last_used_before',
  'milestone',
  'min_access_level',
  'my_reaction_emoji',
  'name',
  'not',
  'package_name',
  'package_type',
  'package_version',
  'path',
  'paused',
  'query',
  'ref',
  'ref_name',
  'regex',
  'reviewer_id',
  'reviewer_username',
  'revoked',
  'scope',
  'search',
  'sha',
  'since',
  'skip_groups',
  'skip_users',
  'source',
  'state',
  'states',
  'status',
  'tag_list',
  'target_type',
  'topic',
  'trailers',
  'type',
  'until',
  'updated_after',
  'updated_before',
  'user_id',
  'user_ids',
  'username',
  'visibility',
  'wip',
  'with_programming_language',
  'yaml_errors',
];
/** Flags that narrow a list where they are on, and ask for nothing where they are off. Others do either way: `draft`, `paused`, `revoked`. */
const narrowingWhenOn = ['active', 'blocked', 'external', 'first_parent', 'humans', 'membership', 'owned', 'starred', 'top_level_only'];

/**
 * A list that was asked for by something that nobody here reads would hold more than was meant, and who deletes what it names would delete too much (R13).
 * @throws ParamError
 */
export function refuseUnheardFilters(params: Params, { headers }: Answer): void {
  // Of an empty list nothing is left out.
  if (headers?.['x-total'] === undefined || headers['x-total'] === '0') return;
  const sent = (name: string, ...nothing: readonly string[]): boolean =>
    params.unread(name) && !['', ...nothing].includes(String(params.value(name)));
  const unheard = narrowing.find((name) => sent(name)) ?? narrowingWhenOn.find((name) => sent(name, 'false', '0'));
  if (unheard !== undefined) throw new ParamError(`${unheard} is not supported here: this list is not narrowed by it`);
}
