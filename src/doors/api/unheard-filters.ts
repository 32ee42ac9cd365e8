import type { Answer } from './route.ts';
import { ParamError } from './errors.ts';
import type { Params } from './params.ts';

/** What narrows one or another list of a GitLab. What only orders one, or shows more of each, is not here. @see GitLab REST API, each "List …" */
const narrowing = [
  'action',
  'active',
  'after',
  'archived',
  'author',
  'author_id',
  'author_username',
  'before',
  'blocked',
  'created_after',
  'created_before',
  'environment',
  'expires_after',
  'expires_before',
  'external',
  'finished_after',
  'finished_before',
  'first_parent',
  'humans',
  'id_after',
  'id_before',
  'last_activity_after',
  'last_activity_before',
  'last_used_after',
  'last_used_before',
  'membership',
  'min_access_level',
  'name',
  'owned',
  'package_name',
  'package_type',
  'package_version',
  'path',
  'paused',
  'query',
  'ref',
  'ref_name',
  'regex',
  'revoked',
  'scope',
  'search',
  'sha',
  'since',
  'skip_groups',
  'skip_users',
  'source',
  'starred',
  'state',
  'states',
  'status',
  'tag_list',
  'target_type',
  'top_level_only',
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
  'with_programming_language',
  'yaml_errors',
];

/**
 * A list that was asked for by something that nobody here reads would hold more than was meant, and who deletes what it names would delete too much (R13).
 * @throws ParamError
 */
export function refuseUnheardFilters(params: Params, { headers }: Answer): void {
  // Of an empty list nothing is left out.
  if (headers?.['x-total'] === undefined || headers['x-total'] === '0') return;
  const unheard = narrowing.find((name) => params.unread(name) && !['', 'false', '0', 'all'].includes(String(params.value(name))));
  if (unheard !== undefined) throw new ParamError(`${unheard} is not supported here: this list is not narrowed by it`);
}
