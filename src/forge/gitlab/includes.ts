import { matchesWildcard } from '../../base/glob.ts';
import { newBudget } from '../../base/budget.ts';
import type { ProjectId } from '../../base/ids.ts';
import type { Directory } from '../../ports/directory.ts';
import type { IncludedPlace, UpstreamIncludes, UpstreamConfigurations } from '../../ports/gateway.ts';
import { Cache } from './cache.ts';
import type { UpstreamClient } from './client.ts';
import { entryOfPath, type IncludeEntry, includesIn } from './include-entries.ts';
import { fieldsOf, textOf } from './json.ts';

/** GitLab's own bound. */
const mostFiles = 150;
/** Of a commit, where a path has a wildcard. */
const mostPaths = 5000;
/** Jobs of one pipeline come together. */
const keptMs = 60_000;
const byDefault = '.gitlab-ci.yml';

interface Place {
  readonly projectId: ProjectId;
  readonly sha: string;
}

/** Where configurations come from, by the files themselves: GitLab tells of no pipeline what it was made of. */
export function makeGitlabIncludes(client: UpstreamClient, directory: Directory): UpstreamConfigurations {
  const kept = new Cache<UpstreamIncludes>(keptMs);
  return {
    async includesOf(projectId, sha) {
      const ask = (): Promise<UpstreamIncludes> => new Walk(client, directory).from({ projectId, sha });
      return (await kept.get(`${projectId}@${sha}`, ask)) ?? { places: [], unknown: [] };
    },
  };
}

class Walk {
  readonly #client: UpstreamClient;
  readonly #directory: Directory;
  readonly #places = new Map<string, IncludedPlace>();
  readonly #unknown = new Set<string>();
  readonly #seen = new Set<string>();

  constructor(client: UpstreamClient, directory: Directory) {
    this.#client = client;
    this.#directory = directory;
  }

  async from(home: Place): Promise<UpstreamIncludes> {
    const path = textOf(fieldsOf(await this.#client.find(`/projects/${home.projectId}`))['ci_config_path']) ?? '';
    const queue: (readonly [Place, IncludeEntry])[] = [[home, entryOfPath(path === '' ? byDefault : path)]];
    for (const [place, entry] of queue) {
      if (entry.kind === 'unknown') {
        this.#unknown.add(entry.why);
        continue;
      }
      const [at, paths] =
        entry.kind === 'local' ? [place, await this.#local(place, entry.path)] : [await this.#placeOf(entry), entry.paths];
      if (at === undefined) continue;
      for (const path of paths) {
        const key = `${at.projectId}@${at.sha}:${path}`;
        if (this.#seen.has(key)) continue;
        this.#seen.add(key);
        if (this.#seen.size > mostFiles) return { places: [], unknown: [`more than ${mostFiles} files`] };
        // One that is not there was not taken in.
        for (const inner of includesIn((await this.#text(at, path)) ?? '')) queue.push([at, inner]);
      }
    }
    const places = [...this.#places.values()].filter(({ projectId, sha }) => projectId !== home.projectId || sha !== home.sha);
    return { places, unknown: [...this.#unknown] };
  }

  async #text({ projectId, sha }: Place, path: string): Promise<string | undefined> {
    const file = fieldsOf(await this.#client.find(`/projects/${projectId}/repository/files/${encodeURIComponent(path)}?ref=${sha}`));
    return Buffer.from(textOf(file['content']) ?? '', 'base64').toString('utf8');
  }

  async #local({ projectId, sha }: Place, given: string): Promise<readonly string[]> {
    const path = given.replace(/^\/+/, '');
    if (!path.includes('*')) return [path];
    const rows = await this.#client.list(`/projects/${projectId}/repository/tree?ref=${sha}&recursive=true`, mostPaths);
    const budget = newBudget();
    return rows.flatMap((row) => textOf(row['path']) ?? []).filter((one) => matchesWildcard(path, one, budget));
  }

  async #placeOf({ project: path, ref }: Extract<IncludeEntry, { kind: 'project' }>): Promise<Place | undefined> {
    const project = await this.#directory.projectByPath(null, path.toLowerCase());
    const name = ref ?? project?.defaultBranch ?? '';
    const found = project === undefined || name === '' ? undefined : await this.#commitAt(project.id, name);
    if (project === undefined || found === undefined) {
      this.#unknown.add(`something of ${path} that the forge does not tell`);
      return undefined;
    }
    const key = `${project.id}@${found.sha}@${name}`;
    this.#places.set(key, { name: `${project.path}@${name}`, projectId: project.id, ref: name, ...found });
    return { projectId: project.id, sha: found.sha };
  }

  /** As git reads it: a tag before a branch of the same name. */
  async #commitAt(project: ProjectId, ref: string): Promise<Pick<IncludedPlace, 'sha' | 'kind'> | undefined> {
    const at = `/projects/${project}/repository`;
    const named = encodeURIComponent(ref);
    const sha = textOf(fieldsOf(await this.#client.find(`${at}/commits/${named}`))['id']);
    if (sha === undefined || sha === ref) return sha === undefined ? undefined : { sha, kind: 'commit' };
    const standsAt = async (kind: 'tags' | 'branches'): Promise<boolean> =>
      textOf(fieldsOf(fieldsOf(await this.#client.find(`${at}/${kind}/${named}`))['commit'])['id']) === sha;
    if (await standsAt('tags')) return { sha, kind: 'tag' };
    return { sha, kind: (await standsAt('branches')) ? 'branch' : 'commit' };
  }
}
