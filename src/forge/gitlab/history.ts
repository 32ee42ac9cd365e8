import { isJobpassError } from '../../base/errors.ts';
import type { Oid, ProjectId, UserId } from '../../base/ids.ts';
import { isProtected } from '../../base/refs.ts';
import type { Directory } from '../../ports/directory.ts';
import type { UpstreamHistory } from '../../ports/gateway.ts';
import type { UpstreamClient } from './client.ts';
import { type Fields, fieldsOf, idOf, listOf, textOf } from './json.ts';

/** Commits or events that are looked through for one job; beyond that nothing is provable. */
const most = 2000;
const remembered = 20_000;

/** Who moved what, by the forge's own commits and push events: these cover git over HTTP and SSH, the web editor and merges alike (R3). */
export function makeGitlabHistory(client: UpstreamClient, directory: Directory): UpstreamHistory {
  /** Parents of commits that were listed: they never change. */
  const parents = new Map<string, readonly string[]>();
  const commitsOf = async (project: ProjectId, ref: string, until?: (id: string) => boolean): Promise<readonly string[]> => {
    const path = `/projects/${project}/repository/commits?ref_name=${encodeURIComponent(ref)}`;
    const rows = await client.list(path, most, until === undefined ? undefined : (row) => until(textOf(row['id']) ?? ''));
    return rows.flatMap((row) => {
      const commit = textOf(row['id']);
      if (commit === undefined) return [];
      const known = Array.isArray(row['parent_ids']) ? row['parent_ids'].filter((one) => typeof one === 'string') : [];
      parents.set(commit, known);
      if (parents.size > remembered) for (const oldest of parents.keys()) if (parents.delete(oldest)) break;
      return [commit];
    });
  };
  const pushes = (project: ProjectId): Promise<readonly Fields[]> => client.list(`/projects/${project}/events?action=pushed`, most);

  return {
    async unprotectedCommits(project, sha, limit) {
      try {
        const all = await commitsOf(project, sha);
        const unprotected = new Set(all);
        const rules = await directory.protectedRefs(null, project);
        const branches = listOf(await client.find(`/projects/${project}/repository/branches?per_page=100`));
        for (const branch of branches) {
          const name = textOf(branch['name']);
          if (name === undefined || !isProtected(rules, 'branch', name) || unprotected.size === 0) continue;
          for (const commit of await commitsOf(project, name)) unprotected.delete(commit);
        }
        return unprotected.size > limit ? null : [...unprotected].map((commit) => commit as Oid);
      } catch (error) {
        // Too many, or not told: not provable, which is an answer.
        if (isJobpassError(error, 'upstream_failed')) return null;
        throw error;
      }
    },
    async pushersOf(project, commits) {
      const wanted = new Set<string>(commits);
      const found = new Map<Oid, UserId[]>();
      for (const event of wanted.size === 0 ? [] : await pushes(project)) {
        const author = idOf<UserId>(event['author_id']) ?? idOf<UserId>(fieldsOf(event['author'])['id']);
        const data = fieldsOf(event['push_data']);
        const [from, to] = [textOf(data['commit_from']), textOf(data['commit_to'])];
        if (author === undefined || to === undefined) continue;
        for (const commit of between(parents, wanted, from, to)) {
          const known = found.get(commit as Oid) ?? [];
          if (!known.includes(author)) found.set(commit as Oid, [...known, author]);
        }
      }
      return found;
    },
    async hasCommit(project, sha) {
      return fieldsOf(await client.find(`/projects/${project}/repository/commits/${sha}`))['id'] === sha;
    },
    async commitsTouching(project, branch, path) {
      const query = new URLSearchParams({ ref_name: branch, path, per_page: '20' }).toString();
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
      const [, kind, name] = /^refs\/(heads|tags)\/(.+)$/.exec(ref) ?? [];
      const last = (await pushes(project)).find((event) => {
        const data = fieldsOf(event['push_data']);
        return data['ref'] === name && data['ref_type'] === (kind === 'tags' ? 'tag' : 'branch') && data['action'] !== 'removed';
      });
      const author = last === undefined ? undefined : (idOf<UserId>(last['author_id']) ?? idOf<UserId>(fieldsOf(last['author'])['id']));
      return author === undefined ? undefined : [author];
    },
  };
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
