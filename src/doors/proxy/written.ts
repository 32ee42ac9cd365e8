import { JobpassError } from '../../base/errors.ts';
import type { ProjectId } from '../../base/ids.ts';
import type { UpstreamHistory } from '../../ports/gateway.ts';
import type { Wanted } from './judge.ts';
import { Lanes } from './lanes.ts';
import type { PushCommand } from './push-prefix.ts';

/** Of the forge, for one push. */
const askedAtOnce = 8;

type History = Pick<UpstreamHistory, 'hasCommit' | 'commitsTouching' | 'deployersOf'>;

/**
 * What a push makes, in the words of `madeBy`: commits that the forge has not yet, and the names of tags; a branch at a commit that was there is that pair only. What
 * was deployed from a branch is stopped when it goes.
 */
export async function pushed(history: History, project: ProjectId, commands: readonly PushCommand[]): Promise<readonly string[]> {
  const moved = commands.filter(({ newOid }) => !/^0+$/.test(newOid));
  const lanes = new Lanes(askedAtOnce);
  const found = await Promise.all(
    moved.map(async ({ newOid, ref }) => {
      const isNew = !(await lanes.run('', () => history.hasCommit(project, newOid)));
      const named = ref.startsWith('refs/tags/') ? ref : `${ref}@${newOid}`;
      return isNew ? [newOid, named] : [named];
    }),
  );
  const gone = commands.filter(({ newOid, ref }) => /^0+$/.test(newOid) && ref.startsWith('refs/heads/'));
  return [...found.flat(), ...gone.map(({ ref }) => `ends:${ref}`)];
}

/** What a write over the API makes that its answer does not say. */
export interface WriteTrace {
  /** Known before it is sent. */
  before(): Promise<readonly string[]>;
  /** Found once it was answered. */
  after(): Promise<readonly string[]>;
}

/**
 * GitLab answers a write of a file without its commit, and a job that is played, or stops an environment, is one that was there before.
 * @param said the parsed body
 */
export function traceOf(history: History, { endpoint, projectId, params }: Wanted, said: unknown, query: URLSearchParams): WriteTrace {
  const none = { before: () => Promise.resolve([]), after: () => Promise.resolve([]) };
  const job = params.get('job_id');
  if (endpoint.endsWith('/play') && job !== undefined) return { ...none, before: () => Promise.resolve([`job:${job}`]) };
  const environment = params.get('environment_id');
  if (endpoint.endsWith('/stop') && environment !== undefined)
    return { ...none, before: async () => (await history.deployersOf(projectId, environment)).map((id) => `pipeline:${id}`) };
  const branch = params.get('branch');
  if (endpoint.startsWith('DELETE ') && branch !== undefined)
    return { ...none, before: () => Promise.resolve([`ends:refs/heads/${branch}`]) };
  const path = params.get('file_path');
  if (path === undefined) return none;
  const named = (name: string): readonly string[] => [...new Set([...query.getAll(name), ...textsIn(said, name)])];
  // A new branch begins with what the other one has.
  const branches = named('branch');
  const known = new Set<string>();
  const listed = async (names: readonly string[]): Promise<readonly string[]> =>
    (await Promise.all(names.map((branch) => history.commitsTouching(projectId, branch, path)))).flat();
  return {
    async before() {
      // Where it was written cannot be told otherwise.
      if (branches.length === 0 || branches.length > 2) throw new JobpassError('invalid_input', 'Name one branch.');
      for (const sha of await listed([...branches, ...named('start_branch')])) known.add(sha);
      return [];
    },
    after: async () => (await listed(branches)).filter((sha) => !known.has(sha)),
  };
}

/** @throws invalid_input for what is no text: a forge reads numbers and the like as text, in its own way */
function textsIn(said: unknown, name: string): readonly string[] {
  const value: unknown = typeof said === 'object' && said !== null ? Object.entries(said).find(([key]) => key === name)?.[1] : undefined;
  const given: readonly unknown[] = value === undefined || value === null ? [] : Array.isArray(value) ? value : [value];
  return given.map((one) => {
    if (typeof one !== 'string') throw new JobpassError('invalid_input', `${name} is no text.`);
    return one;
  });
}
