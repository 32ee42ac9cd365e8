import { isJobpassError } from '../base/errors.ts';
import { type JobId, type Oid, type PassId, type ProjectId, type RefName, type UserId, zeroOid } from '../base/ids.ts';
import { limits } from '../base/limits.ts';
import { isProtected } from '../base/refs.ts';
import type { Grant } from '../pass/grant.ts';
import type { FileSource, Origin } from '../pipeline/include-files.ts';
import { type Elsewhere, elsewhereKey, type RuleFacts, type WantedFacts } from '../pipeline/rule-facts.ts';
import type { ProjectFacts } from '../ports/directory.ts';
import type { IncludedCommit } from '../ports/includes.ts';
import type { PipelineSource } from '../ports/jobs.ts';
import type { JobsDeps } from './deps.ts';
import { asCreators } from './system.ts';

/** A commit whose files may be read under this grant. */
export interface Place extends Origin {
  readonly grant: Grant;
  readonly project: ProjectFacts;
  readonly sha: Oid;
  readonly ref: RefName | null;
}

/** Whose pipeline it is, and where it stands. */
export interface ConfigurationRequest {
  readonly project: ProjectFacts;
  readonly ref: string;
  readonly tag: boolean;
  readonly sha: Oid;
  readonly beforeSha: Oid;
  readonly source: PipelineSource;
  /** Ordered; the first is the pipeline's user. */
  readonly creators: readonly UserId[];
  /** The pass that started it bounds what they read for it (R5). */
  readonly passId: PassId | null;
  /** The job whose pass started it, or began the chain that led here. */
  readonly parentJobId: JobId | null;
  /** Whether the variables that are kept for the project count: not for whom they are none of their business. */
  readonly kept: boolean;
  /** What only its source knows of it. */
  readonly sourceVariables?: Readonly<Record<string, string>>;
}

/** Reads what a configuration includes: its own project at its own commit, others with the rights of everybody behind the pipeline (A57). */
export class IncludeSource implements FileSource<Place> {
  readonly here: Place;
  readonly #deps: JobsDeps;
  readonly #request: ConfigurationRequest;
  readonly #requestId: string;
  readonly #places = new Map<string, Promise<Place | 'no_ref' | undefined>>();
  readonly #paths = new Map<string, Promise<readonly string[] | null>>();
  readonly #grants: Grant[] = [];

  /** @param grant for reading the pipeline's own project */
  constructor(deps: JobsDeps, request: ConfigurationRequest, grant: Grant) {
    const { project, sha } = request;
    this.#deps = deps;
    this.#request = request;
    this.#requestId = grant.requestId;
    this.here = { label: '', key: keyOf(project.id, sha), grant, project, sha, ref: null };
  }

  project(path: string, ref: string | undefined): Promise<Place | 'no_ref' | undefined> {
    const key = JSON.stringify([path.toLowerCase(), ref]);
    const known = this.#places.get(key) ?? this.#look(path, ref);
    this.#places.set(key, known);
    return known;
  }

  async paths(place: Place): Promise<readonly string[] | undefined> {
    const known =
      this.#paths.get(place.key) ?? this.#deps.forge.repository.paths(place.grant, place.project.id, place.sha, limits.rulePaths);
    this.#paths.set(place.key, known);
    return (await known) ?? undefined;
  }

  async read({ grant, project, sha }: Place, path: string): Promise<{ readonly text: string } | 'too_large' | undefined> {
    try {
      const text = await this.#deps.forge.repository.textFile(grant, project.id, sha, path, limits.ciFileBytes);
      return text === undefined ? undefined : { text };
    } catch (error) {
      if (isJobpassError(error, 'too_large')) return 'too_large';
      throw error;
    }
  }

  async facts(wanted: WantedFacts, place: Place): Promise<RuleFacts | string> {
    const paths = wanted.paths ? await this.paths(place) : [];
    if (paths === undefined) return `rules:exists: the commit has more than ${limits.rulePaths} files`;
    const changed = new Map<string, readonly string[] | 'always'>();
    for (const name of wanted.compareTo) {
      const found = await this.#changedSince(name);
      if (found === 'no_ref') return `rules:changes: \`compare_to\`: there is no branch, tag or commit \`${name.slice(0, 100)}\``;
      if (found === null) return `rules:changes: more than ${limits.rulePaths} files differ`;
      changed.set(name, found);
    }
    const elsewhere = new Map<string, ReadonlySet<string>>();
    for (const wantedPlace of wanted.elsewhere) {
      const found = await this.#filesIn(wantedPlace);
      if (typeof found === 'string') return `rules:exists: ${found}`;
      elsewhere.set(elsewhereKey(wantedPlace), found);
    }
    return { paths: new Set(paths), changed, elsewhere };
  }

  /** As for an included file: everybody behind the pipeline must be able to read them. */
  async #filesIn({ project, ref }: Elsewhere): Promise<ReadonlySet<string> | string> {
    const place = await this.project(project, ref);
    const name = `project \`${project.slice(0, 100)}\``;
    if (place === undefined) return `${name} does not exist, or not everybody whose pipeline this is may read it`;
    if (place === 'no_ref') return `${name} has no \`${(ref ?? 'default branch').slice(0, 100)}\``;
    const paths = await this.paths(place);
    return paths === undefined ? `${name} has more than ${limits.rulePaths} files` : new Set(paths);
  }

  /** The commits that files came from, but for the pipeline's own, with who answers for each now. */
  async commits(places: readonly Place[]): Promise<readonly IncludedCommit[]> {
    const found = new Map<string, IncludedCommit>();
    for (const { key, project, sha, ref } of places) {
      const named = JSON.stringify([key, ref]);
      if (key === this.here.key || found.has(named)) continue;
      found.set(named, { projectId: project.id, sha, ref, movers: await this.#moversOf(project.id, sha, ref) });
    }
    return [...found.values()];
  }

  /** Settles what was granted. */
  async close(): Promise<void> {
    for (const grant of this.#grants) await this.#deps.gatekeeper.settle(grant, 'done');
  }

  async #look(path: string, ref: string | undefined): Promise<Place | 'no_ref' | undefined> {
    const { creators, passId, parentJobId } = this.#request;
    // Further down a chain that a pass began it is not known any more what bounds it (R5).
    if (parentJobId !== null && passId === null) return undefined;
    const project = await this.#deps.directory.projectByPath(null, path);
    if (project === undefined) return undefined;
    const grant = await asCreators(this.#deps, { users: creators, passId }, project.id, this.#requestId);
    if (grant === undefined) return undefined;
    this.#grants.push(grant);
    const found = await this.#deps.forge.repository.resolve(grant, project.id, ref ?? project.defaultBranch);
    if (found === undefined) return 'no_ref';
    return { label: path, key: keyOf(project.id, found.oid), grant, project, sha: found.oid, ref: found.ref };
  }

  /** What the request would bring to its target branch: its head is in the target project, also where it comes from a fork. */
  async #changedByRequest(to: Oid): Promise<readonly string[] | 'always' | null> {
    const { project, sourceVariables = {} } = this.#request;
    const { CI_MERGE_REQUEST_PROJECT_PATH: path, CI_MERGE_REQUEST_TARGET_BRANCH_NAME: branch } = sourceVariables;
    if (path === undefined || branch === undefined) return 'always';
    const place = path === project.path ? { ...this.here, sha: undefined } : await this.project(path, branch);
    if (place === undefined || place === 'no_ref') return 'always';
    const { repository } = this.#deps.forge;
    const from = place.sha ?? (await repository.resolve(place.grant, project.id, branch))?.oid;
    if (from === undefined) return 'always';
    const found = await repository.changedPaths(place.grant, place.project.id, { from, to, sinceFork: true }, limits.rulePaths);
    return found === 'unrelated' ? 'always' : found;
  }

  /** GitLab: a push that moves a branch is compared with where it stood; where there is no such push, every file counts as changed. */
  async #changedSince(name: string): Promise<readonly string[] | 'always' | 'no_ref' | null> {
    const { project, sha: to, beforeSha, source, tag } = this.#request;
    const { repository } = this.#deps.forge;
    const since = async (from: Oid, sinceFork: boolean) => {
      const found = await repository.changedPaths(this.here.grant, project.id, { from, to, sinceFork }, limits.rulePaths);
      return found === 'unrelated' ? 'always' : found;
    };
    if (name === '' && source === 'merge_request_event') return this.#changedByRequest(to);
    if (name === '') return source === 'push' && !tag && beforeSha !== zeroOid ? since(beforeSha, false) : 'always';
    const other = await repository.resolve(this.here.grant, project.id, name);
    return other === undefined ? 'no_ref' : since(other.oid, true);
  }

  /** Kept now: by the time a job runs, somebody else may have moved the ref on. */
  async #moversOf(project: ProjectId, sha: Oid, ref: RefName | null): Promise<readonly UserId[] | null> {
    const pushed = (await this.#deps.pushersOf(project, [sha])).get(sha) ?? [];
    const rules = await this.#deps.directory.protectedRefs(null, project);
    const [, kind, name] = /^refs\/(heads|tags)\/(.+)$/.exec(ref ?? '') ?? [];
    const watched = ref !== null && name !== undefined && isProtected(rules, kind === 'tags' ? 'tag' : 'branch', name);
    const moved = watched ? await this.#deps.lastPushers(project, ref) : pushed;
    return moved === undefined || moved.length === 0 ? null : [...new Set([...moved, ...pushed])];
  }
}

function keyOf(project: ProjectId, sha: Oid): string {
  return `${project}@${sha}`;
}
