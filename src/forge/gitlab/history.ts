import { isJobpassError, JobpassError } from '../../base/errors.ts';
import type { EpochMillis, Oid, PipelineId, ProjectId, UserId } from '../../base/ids.ts';
import { isProtected } from '../../base/refs.ts';
import type { Directory, ProtectedRef } from '../../ports/directory.ts';
import type { UpstreamHistory } from '../../ports/gateway.ts';
import type { UpstreamClient } from './client.ts';
import { fieldsOf, idOf, listOf, textOf } from './json.ts';
import { type Push, PushLog } from './push-log.ts';

/** Commits that are looked through for one job; beyond that nothing is provable. */
const most = 2000;
const remembered = 20_000;

/** Who moved what, by the forge's own commits and push events: these cover git over HTTP and SSH, the web editor and merges alike (R3). */
export function makeGitlabHistory(client: UpstreamClient, directory: Directory): UpstreamHistory {
  /** Parents of commits that were listed: they never change. */
  const parents = new Map<string, readonly string[]>();
  /** @param range a commit, or `SHA..SHA` @see GitLab API, "List repository commits", `ref_name` */
  const commitsOf = async (project: ProjectId, range: string): Promise<readonly string[]> => {
    const rows = await client.list(`/projects/${project}/repository/commits?ref_name=${encodeURIComponent(range)}`, most);
    return rows.flatMap((row) => {
      const commit = textOf(row['id']);
      if (commit === undefined) return [];
      const known = Array.isArray(row['parent_ids']) ? row['parent_ids'].filter((one) => typeof one === 'string') : [];
      parents.set(commit, known);
      if (parents.size > remembered) for (const oldest of parents.keys()) if (parents.delete(oldest)) break;
      return [commit];
    });
  };
  const log = new PushLog(client);

  /**
   * What a branch has not, of the commits that `sha` stands on; undefined = too many, or not told. An empty list alone proves nothing: a forge that knows no such revision
   * may answer with one.
   */
  const beyond = async (project: ProjectId, head: string, sha: string): Promise<readonly string[] | undefined> => {
    try {
      const refs = `refs%5B%5D=${head}&refs%5B%5D=${sha}`;
      if (fieldsOf(await client.find(`/projects/${project}/repository/merge_base?${refs}`))['id'] === sha) return [];
      const rest = await commitsOf(project, `${head}..${sha}`);
      return rest.includes(sha) ? rest : undefined;
    } catch (error) {
      if (isJobpassError(error, 'upstream_failed')) return undefined;
      throw error;
    }
  };

  return {
    async unprotectedCommits(project, sha, limit) {
      try {
        const main = (await directory.project(null, project))?.defaultBranch;
        const rules = await directory.protectedRefs(null, project);
        const heads = await protectedBranches(client, project, rules, main);
        // What a branch has not is as much as was worked on beside it; all that there is would be the whole history, of any length.
        const outside = new Map<string, ReadonlySet<string>>();
        let unprotected: readonly string[] | undefined;
        for (const [name, head] of heads) {
          if (unprotected?.length === 0) break;
          const rest = await beyond(project, head, sha);
          if (rest === undefined) continue;
          const set = new Set(rest);
          outside.set(name, set);
          unprotected = unprotected === undefined ? rest : unprotected.filter((commit) => set.has(commit));
        }
        // Where there is nothing protected, or it is not told, all that it stands on is not.
        unprotected ??= await commitsOf(project, sha);
        if (unprotected.length > limit || (outside.size === 0 && !unprotected.includes(sha))) return null;
        const bases = basesOf(parents, unprotected, sha, outside, main);
        return { commits: unprotected.map((commit) => commit as Oid), bases: bases.map((name) => `refs/heads/${name}`) };
      } catch (error) {
        // Too many, or not told: not provable, which is an answer.
        if (isJobpassError(error, 'upstream_failed')) return null;
        throw error;
      }
    },
    async pushersOf(project, commits) {
      const wanted = new Set<string>(commits);
      const found = new Map<Oid, UserId[]>();
      if (wanted.size === 0) return found;
      const { pushes, whole } = await log.read(project);
      // Who was first is among those that are not told.
      if (!whole) return found;
      /** May have brought what nobody is known to have pushed before. */
      const inBulk = new Set<UserId>();
      for (const push of pushes.toReversed()) {
        const { author, from, to } = push;
        if (author === undefined) continue;
        if (isBulk(push)) inBulk.add(author);
        if (to === undefined) continue;
        for (const commit of between(parents, wanted, from, to)) {
          const known = found.get(commit as Oid) ?? [...inBulk];
          if (!known.includes(author)) known.push(author);
          found.set(commit as Oid, known);
        }
      }
      return found;
    },
    async hasCommit(project, sha) {
      return fieldsOf(await client.find(`/projects/${project}/repository/commits/${sha}`))['id'] === sha;
    },
    async deployersOf(project, environment) {
      const name = textOf(fieldsOf(await client.find(`/projects/${project}/environments/${encodeURIComponent(environment)}`))['name']);
      if (name === undefined) return [];
      const query = new URLSearchParams({ environment: name, order_by: 'id', sort: 'desc', per_page: '100' }).toString();
      const rows = await client.find(`/projects/${project}/deployments?${query}`);
      if (!Array.isArray(rows)) throw new JobpassError('upstream_failed', 'The forge does not tell what was deployed.');
      const ids = listOf(rows).map((row) => idOf<PipelineId>(fieldsOf(fieldsOf(row['deployable'])['pipeline'])['id']));
      return [...new Set(ids.filter((id) => id !== undefined))];
    },
    async commitsTouching(project, branch, path) {
      const query = new URLSearchParams({ ref_name: branchRef(branch), path, per_page: '20' }).toString();
      const rows = listOf(await client.find(`/projects/${project}/repository/commits?${query}`));
      return rows.flatMap((row) => textOf(row['id']) ?? []).map((commit) => commit as Oid);
    },
    async requestSources({ projectId, sha, ref }) {
      const [, iid, kind] = /^refs\/merge-requests\/(\d+)\/(.+)$/.exec(ref) ?? [];
      if (iid === undefined) return [];
      const found = fieldsOf(await client.find(`/projects/${projectId}/merge_requests/${iid}`));
      const [source, branch] = [idOf<ProjectId>(found['source_project_id']), textOf(found['source_branch'])];
      const merged = kind === 'head' ? [] : fieldsOf(await client.find(`/projects/${projectId}/repository/commits/${sha}`))['parent_ids'];
      if (source === undefined || branch === undefined || !Array.isArray(merged)) return undefined;
      const shas = [sha, ...merged.filter((one) => typeof one === 'string')];
      return [
        { projectId: source, whats: shas.flatMap((one) => [one, `refs/heads/${branch}@${one}`]) },
        { projectId, whats: shas.flatMap((one) => [one, `refs/merge-requests/${iid}@${one}`]) },
      ];
    },
    async lastPushers(project, ref) {
      return (await moversOf(log, project, ref, undefined))?.movers;
    },
    moversSince: (project, ref, since) => moversOf(log, project, ref, since),
  };
}

/** How far the forge's clocks may be apart from each other. */
const skewMs = 60_000;

/** @param since whoever moved it after that counts, beside who last did before; undefined = who last did */
async function moversOf(log: PushLog, project: ProjectId, ref: string, since: EpochMillis | undefined) {
  const [, kind, name] = /^refs\/(heads|tags)\/(.+)$/.exec(ref) ?? [];
  const type = kind === 'tags' ? 'tag' : 'branch';
  const moves = (push: Push): boolean => push.ref === name && push.refType === type;
  const before = (push: Push): boolean =>
    moves(push) && !push.removes && (since === undefined || (push.at !== null && push.at < since - skewMs));
  const { pushes } = await log.read(project, before);
  const last = pushes.findIndex(before);
  if (last < 0) return undefined;
  // Who moved many since then may have moved this one, too.
  const later = pushes.slice(0, last).filter((push) => (isBulk(push) && push.refType === type) || (since !== undefined && moves(push)));
  const authors = [...later, ...pushes.slice(last, last + 1)].map(({ author }) => author);
  if (authors.includes(undefined)) return undefined;
  return { movers: [...new Set(authors.filter((one) => one !== undefined))], moved: later.length > 0 };
}

/** More of them are asked for no commit. */
const branchesAsked = 50;

/**
 * Those that are protected and what they stand at, the default branch first: by their names, and where a rule holds for many, as far as the forge lists such.
 * @throws upstream_failed
 */
async function protectedBranches(
  client: UpstreamClient,
  project: ProjectId,
  rules: readonly ProtectedRef[],
  main: string | undefined,
): Promise<ReadonlyMap<string, string>> {
  const at = `/projects/${project}/repository/branches`;
  const patterns = rules.flatMap(({ kind, pattern }) => (kind === 'branch' ? [pattern] : []));
  const named = [...(main === undefined || main === '' ? [] : [main]), ...patterns.filter((pattern) => !pattern.includes('*'))];
  const wanted = [...new Set(named)].filter((name) => isProtected(rules, 'branch', name)).slice(0, branchesAsked);
  const begins = new Set(patterns.flatMap((pattern) => (pattern.includes('*') ? [pattern.split('*', 1)[0] ?? ''] : [])));
  const listed = await Promise.all([
    ...wanted.map(async (name) => [fieldsOf(await client.find(`${at}/${encodeURIComponent(name)}`))]),
    ...[...begins].map(async (begin) =>
      listOf(await client.find(`${at}?per_page=100${begin === '' ? '' : `&search=${encodeURIComponent(`^${begin}`)}`}`)),
    ),
  ]);
  const found = listed.flat().map((row) => [textOf(row['name']) ?? '', textOf(fieldsOf(row['commit'])['id']) ?? ''] as const);
  return new Map(found.filter(([name, head]) => head !== '' && isProtected(rules, 'branch', name)).slice(0, branchesAsked));
}

/** In full: of a tag and a branch with the same name git takes the tag, which anybody with a role may have made. @see gitrevisions(7) */
function branchRef(name: string): string {
  return `refs/heads/${name}`;
}

/** A push of many refs is one event, which names neither refs nor commits. @see GitLab, "Push event activities limit" */
function isBulk({ removes, to }: Push): boolean {
  return !removes && to === undefined;
}

/** Of the protected branches those that have what the unprotected commits stand on. @param outside what each of them has not */
function basesOf(
  parents: ReadonlyMap<string, readonly string[]>,
  unprotected: readonly string[],
  sha: string,
  outside: ReadonlyMap<string, ReadonlySet<string>>,
  main: string | undefined,
): readonly string[] {
  const own = new Set(unprotected);
  const bases =
    unprotected.length === 0 ? [sha] : unprotected.flatMap((commit) => parents.get(commit) ?? []).filter((one) => !own.has(one));
  const beyondMain = main === undefined ? undefined : outside.get(main);
  if (main !== undefined && beyondMain !== undefined && bases.length > 0 && bases.every((base) => !beyondMain.has(base))) return [main];
  return [...outside].filter(([, commits]) => bases.some((base) => !commits.has(base))).map(([name]) => name);
}

/** The wanted commits that a push from `from` to `to` brought. */
function* between(
  parents: ReadonlyMap<string, readonly string[]>,
  wanted: ReadonlySet<string>,
  from: string | undefined,
  to: string,
): Generator<string> {
  const seen = new Set<string>();
  const queue = [to];
  for (const commit of queue) {
    if (commit === from || seen.has(commit) || !wanted.has(commit)) continue;
    seen.add(commit);
    yield commit;
    queue.push(...(parents.get(commit) ?? []));
  }
}
