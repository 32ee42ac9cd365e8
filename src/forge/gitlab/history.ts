import { isJobpassError, JobpassError } from '../../base/errors.ts';
import type { Oid, PipelineId, ProjectId, UserId } from '../../base/ids.ts';
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
  /** Newest first; no further page is asked for once `stop` found what it looks for. */
  const pushes = (project: ProjectId, stop?: (event: Fields) => boolean): Promise<readonly Fields[]> =>
    client.list(`/projects/${project}/events?action=pushed`, most, stop);

  return {
    async unprotectedCommits(project, sha, limit) {
      try {
        const all = await commitsOf(project, sha);
        const unprotected = new Set(all);
        const rules = await directory.protectedRefs(null, project);
        const branches = listOf(await client.find(`/projects/${project}/repository/branches?per_page=100`));
        const main = (await directory.project(null, project))?.defaultBranch;
        const names = branches.flatMap((branch) => textOf(branch['name']) ?? []).filter((name) => isProtected(rules, 'branch', name));
        const held = new Map<string, ReadonlySet<string>>();
        for (const name of names.toSorted((one, other) => Number(other === main) - Number(one === main))) {
          if (unprotected.size === 0) continue;
          const commits = new Set(await commitsOf(project, branchRef(name)));
          held.set(name, commits);
          for (const commit of commits) unprotected.delete(commit);
        }
        if (unprotected.size > limit) return null;
        const commits = [...unprotected].map((commit) => commit as Oid);
        return { commits, bases: basesOf(parents, commits, sha, held, main).map((name) => `refs/heads/${name}`) };
      } catch (error) {
        // Too many, or not told: not provable, which is an answer.
        if (isJobpassError(error, 'upstream_failed')) return null;
        throw error;
      }
    },
    async pushersOf(project, commits) {
      const wanted = new Set<string>(commits);
      const found = new Map<Oid, UserId[]>();
      /** May have brought what nobody is known to have pushed before. */
      const inBulk = new Set<UserId>();
      for (const event of wanted.size === 0 ? [] : (await pushes(project)).toReversed()) {
        const author = authorOf(event);
        const data = fieldsOf(event['push_data']);
        const [from, to] = [textOf(data['commit_from']), textOf(data['commit_to'])];
        if (author === undefined) continue;
        if (isBulk(event)) inBulk.add(author);
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
      const [, kind, name] = /^refs\/(heads|tags)\/(.+)$/.exec(ref) ?? [];
      const type = kind === 'tags' ? 'tag' : 'branch';
      const moves = (event: Fields): boolean => {
        const data = fieldsOf(event['push_data']);
        return data['ref'] === name && data['ref_type'] === type && data['action'] !== 'removed';
      };
      const events = await pushes(project, moves);
      const last = events.findIndex(moves);
      if (last < 0) return undefined;
      // Who moved many since then may have moved this one, too.
      const since = events.slice(0, last).filter((event) => isBulk(event) && fieldsOf(event['push_data'])['ref_type'] === type);
      const authors = [...since, ...events.slice(last, last + 1)].map(authorOf);
      return authors.includes(undefined) ? undefined : [...new Set(authors.filter((one) => one !== undefined))];
    },
  };
}

/** In full: of a tag and a branch with the same name git takes the tag, which anybody with a role may have made. @see gitrevisions(7) */
function branchRef(name: string): string {
  return `refs/heads/${name}`;
}

function authorOf(event: Fields): UserId | undefined {
  return idOf<UserId>(event['author_id']) ?? idOf<UserId>(fieldsOf(event['author'])['id']);
}

/** A push of many refs is one event, which names neither refs nor commits. @see GitLab, "Push event activities limit" */
function isBulk(event: Fields): boolean {
  const { action, commit_to: to } = fieldsOf(event['push_data']);
  return action !== 'removed' && typeof to !== 'string';
}

/** Of the protected branches those that have what the unprotected commits stand on. */
function basesOf(
  parents: ReadonlyMap<string, readonly string[]>,
  unprotected: readonly string[],
  sha: string,
  held: ReadonlyMap<string, ReadonlySet<string>>,
  main: string | undefined,
): readonly string[] {
  const own = new Set(unprotected);
  const bases =
    unprotected.length === 0 ? [sha] : unprotected.flatMap((commit) => parents.get(commit) ?? []).filter((one) => !own.has(one));
  const ofMain = main === undefined ? undefined : held.get(main);
  if (main !== undefined && ofMain !== undefined && bases.length > 0 && bases.every((base) => ofMain.has(base))) return [main];
  return [...held].filter(([, commits]) => bases.some((base) => commits.has(base))).map(([name]) => name);
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
