import { JobpassError } from '../../base/errors.ts';
import type { EpochMillis, ProjectId, UserId } from '../../base/ids.ts';
import type { UpstreamClient } from './client.ts';
import { type Fields, fieldsOf, idOf, textOf, timeOf } from './json.ts';

/** One push event. @see GitLab API, "Events", `push_data` */
export interface Push {
  /** undefined = the forge does not tell. */
  readonly author: UserId | undefined;
  /** null = not told. */
  readonly at: EpochMillis | null;
  readonly removes: boolean;
  readonly refType: string | undefined;
  /** Short, `main`; undefined for a push of many refs. */
  readonly ref: string | undefined;
  readonly from: string | undefined;
  /** undefined for a push of many refs, which names no commits. */
  readonly to: string | undefined;
}

/** Events of one project that are read; beyond that nothing is provable. */
const most = 10_000;
const perPage = 100;
/** Of so many at once: of each some megabytes at most. */
const projects = 20;

interface Kept {
  /** Newest first, by number. */
  readonly pushes: ReadonlyMap<number, Push>;
  /** They go back to the first. */
  readonly whole: boolean;
}
const nothing: Kept = { pushes: new Map(), whole: false };

/**
 * The push events of projects. They are told page by page and never change, so what was read is kept, and only what came since is asked for: a project that is worked
 * on has thousands.
 */
export class PushLog {
  readonly #client: UpstreamClient;
  readonly #kept = new Map<ProjectId, Promise<Kept>>();

  constructor(client: UpstreamClient) {
    this.#client = client;
  }

  /**
   * @param stop true for the push behind which no more is wanted
   * @returns newest first; `whole` = back to the first, or to that push @throws upstream_failed
   */
  async read(project: ProjectId, stop?: (push: Push) => boolean): Promise<{ readonly pushes: readonly Push[]; readonly whole: boolean }> {
    // One after the other: each goes on where the last one ended.
    const before = this.#kept.get(project) ?? Promise.resolve(nothing);
    const reading = before.catch(() => nothing).then((kept) => this.#further(project, kept, stop));
    this.#kept.delete(project);
    this.#kept.set(project, reading);
    if (this.#kept.size > projects) for (const oldest of this.#kept.keys()) if (this.#kept.delete(oldest)) break;
    const { pushes, whole } = await reading;
    const rows = [...pushes.values()];
    return { pushes: rows, whole: whole || (stop !== undefined && rows.some(stop)) };
  }

  /** What came since, and behind what is known as much as is wanted. */
  async #further(project: ProjectId, kept: Kept, stop: ((push: Push) => boolean) | undefined): Promise<Kept> {
    const found = new Map<number, Push>();
    for (let page = 1; found.size < most; page += 1) {
      const rows = await this.#page(project, page);
      const fresh = rows.filter(([id]) => !kept.pushes.has(id));
      for (const [id, push] of fresh) found.set(id, push);
      // From here on all is known.
      if (fresh.length < rows.length) return this.#older(project, { pushes: new Map([...found, ...kept.pushes]), whole: kept.whole }, stop);
      if (rows.length < perPage) return { pushes: found, whole: true };
      if (has(found, stop)) break;
    }
    return { pushes: found, whole: false };
  }

  async #older(project: ProjectId, kept: Kept, stop: ((push: Push) => boolean) | undefined): Promise<Kept> {
    const found = new Map(kept.pushes);
    for (let page = Math.floor(found.size / perPage) + 1; !kept.whole && found.size < most && !has(found, stop); page += 1) {
      const rows = await this.#page(project, page);
      for (const [id, push] of rows) found.set(id, push);
      if (rows.length < perPage) return { pushes: found, whole: true };
    }
    return { pushes: found, whole: kept.whole };
  }

  async #page(project: ProjectId, page: number): Promise<readonly (readonly [number, Push])[]> {
    return (await this.#client.page(`/projects/${project}/events?action=pushed&per_page=${perPage}&page=${page}`)).map(pushIn);
  }
}

function has(pushes: ReadonlyMap<number, Push>, stop: ((push: Push) => boolean) | undefined): boolean {
  return stop !== undefined && [...pushes.values()].some(stop);
}

/** By its number. @throws upstream_failed for one without: what is left out could be what matters */
function pushIn(event: Fields): readonly [number, Push] {
  const { id } = event;
  if (typeof id !== 'number') throw new JobpassError('upstream_failed', 'The forge tells an event without its number.');
  const data = fieldsOf(event['push_data']);
  const author = idOf<UserId>(event['author_id']) ?? idOf<UserId>(fieldsOf(event['author'])['id']);
  const [from, to] = [textOf(data['commit_from']), textOf(data['commit_to'])];
  const at = timeOf(event['created_at']);
  return [id, { author, at, removes: data['action'] === 'removed', refType: textOf(data['ref_type']), ref: textOf(data['ref']), from, to }];
}
