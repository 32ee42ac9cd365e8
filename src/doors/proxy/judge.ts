import { parseId, type GroupId, type ProjectId, type UserId } from '../../base/ids.ts';
import { gatewayRoute, passRouteRefusal } from '../../pass/routes.ts';
import type { Access, Permission, Refusal, Resource } from '../../pass/subject.ts';

import type { Directory } from '../../ports/directory.ts';
import type { Channel } from '../../ports/gateway.ts';
import { lfsRoute } from '../git/lfs/route.ts';
import { decodeOnce } from '../paths.ts';

/** What a request with a pass asks for, and how it is carried on when it is allowed. */
export interface Wanted {
  /** Row of the endpoint table. */
  readonly endpoint: string;
  readonly accesses: readonly Access[];
  /** Asked as well where several people answer. */
  readonly ofSeveral?: readonly Access[];
  /** `job`: only the job's own token answers this upstream. */
  readonly channel: Channel | 'job';
  readonly kind: 'api' | 'git' | 'fetch' | 'push' | 'lfs' | 'lfs_batch' | 'lfs_unlock' | 'registry_token' | 'file';
  /** Changes something upstream. */
  readonly writes: boolean;
  /** The upstream filters it by one user only. */
  readonly list: boolean;
  /** The upstream answers it for one user only, in more than what the permissions say. */
  readonly personal: boolean;
  /** The project that it is about; 0 = none, or there is no such project. */
  readonly projectId: ProjectId;
  /** Path parameters by name, decoded once. */
  readonly params: ReadonlyMap<string, string>;
  /** Path to forward, where a name was resolved: the number that was decided, whatever the name means a moment later (R14). */
  readonly path?: string;
}

/** Asked about where there is no such thing, so that nobody can tell unknown from hidden (A41). */
const nobody = 0;

/** Their body is a file, which is streamed. */
const takesFile = /\/(?:uploads|packages\/(?:pypi|(?:generic|maven)\/.+))$/;

/** Path parameters that are numbers; a word in their place is another route to a GitLab (`environments/review_apps`). */
const isNumber = /^(?:iid|[a-z_]+_id)$/;

/** Rows whose accesses stand in their body; the embedded forge's own handlers read it, the gateway does not yet. */
const noLint =
  'The gateway does not carry this request with a pass: the forge would read what is included with all the rights of one user, without a ceiling.';
const notCarried = 'The gateway does not carry this request with a pass: its path does not say which project it is about.';

/**
 * Request → accesses by the one endpoint table; the path that is judged here is the path that is forwarded (A22).
 * @param path as on the request line, already free of what two readers could read in two ways
 * @returns a refusal for what is in no list, or never a pass's (R5, R13)
 */
export async function judge(directory: Directory, method: string, path: string, query: URLSearchParams): Promise<Wanted | Refusal> {
  if (path === '/jwt/auth') return login(method, path);
  const git = /^\/(.+?)\.git\/(info\/refs|git-upload-pack|git-receive-pack)$/.exec(path);
  if (git !== null) return judgeGit(directory, method, path, git[1] ?? '', git[2] ?? '', query);
  const lfs = lfsRoute(method, path);
  if (lfs !== undefined) {
    const { id } = (await directory.projectByPath(null, lfs.projectPath)) ?? { id: nobody as ProjectId };
    const kind = lfs.call.kind === 'batch' ? 'lfs_batch' : lfs.call.kind === 'unlock' ? 'lfs_unlock' : 'lfs';
    const writes = lfs.permission === 'code:push';
    return { ...wanted(lfs.endpoint, [access(lfs.permission, id)], writes ? 'git_write' : 'git_read', writes, id), kind };
  }
  return judgeApi(directory, method, path);
}

/** `docker login` and its like; the scopes are decided where they are read. */
function login(method: string, path: string): Wanted | Refusal {
  if (method !== 'GET') return passRouteRefusal(method, path);
  const accesses: Access[] = [{ permission: 'registry:login', resource: { kind: 'instance' } }];
  return { ...wanted('GET /jwt/auth', accesses, 'registry_read', false, nobody as ProjectId), kind: 'registry_token' };
}

async function judgeGit(
  directory: Directory,
  method: string,
  path: string,
  encoded: string,
  step: string,
  query: URLSearchParams,
): Promise<Wanted | Refusal> {
  // Of two, one reader takes the first and another the last.
  const service = step === 'info/refs' ? query.getAll('service').join() : step;
  const projectPath = decodeOnce(encoded);
  const right = step === 'info/refs' ? 'GET' : 'POST';
  if (projectPath === undefined || method !== right || (service !== 'git-upload-pack' && service !== 'git-receive-pack'))
    return passRouteRefusal(method, path);
  const { id } = (await directory.projectByPath(null, projectPath)) ?? { id: nobody as ProjectId };
  const pushes = service === 'git-receive-pack';
  const endpoint = step === 'info/refs' ? `GET /*.git/info/refs?service=${service}` : `POST /*.git/${service}`;
  const found = wanted(endpoint, [access(pushes ? 'code:push' : 'code:download', id)], pushes ? 'git_write' : 'git_read', pushes, id);
  if (step === 'info/refs') return { ...found, writes: false };
  return pushes ? { ...found, kind: 'push' } : { ...found, kind: 'fetch' };
}

async function judgeApi(directory: Directory, method: string, path: string): Promise<Wanted | Refusal> {
  const match = path.startsWith('/api/v4/') ? gatewayRoute(method, path) : undefined;
  // What is jobpass's own is answered by jobpass, never by the forge behind it.
  if (match === undefined || /\/jobpass(?:\/|$)/.test(match.endpoint.path)) return passRouteRefusal(method, path);
  const { endpoint, params } = match;
  const word = [...params].find(([name, value]) => isNumber.test(name) && parseId(value) === undefined)?.[0];
  if (word !== undefined) return { code: 'invalid_input', rule: 'R13', message: `The ${word} in the path is no number.` };
  // Archives that a job may take are its runner's errand, with the job's own token: no ceiling and no narrowing would count (R4, R9).
  if (endpoint.from === 'body' || endpoint.from === 'job' || endpoint.path === '/api/v4/jobs/:id/artifacts')
    return { code: 'unsupported', rule: 'R13', message: notCarried };
  // The forge would tell of the token that it hears: one that nobody is shown, or the administrator's own.
  if (endpoint.path === '/api/v4/personal_access_tokens/self')
    return { code: 'invalid_input', rule: 'R5', message: 'This is not a personal access token.' };
  if (endpoint.path.endsWith('/ci/lint')) return { code: 'unsupported', rule: 'R3', message: noLint };
  const resource = await resourceOf(directory, endpoint.from, params.get('id') ?? '');
  // What a body could ask for beside is asked for at once: less would be decided than done. Who may read an archive is for its job to say, which the forge knows: it
  // answers one person as that person may read it, and of several each has to be one who may read any (`artifacts:access`).
  const ofSeveral = endpoint.permissions.includes('artifact:read') || endpoint.path.endsWith('/trace');
  // A log in debug mode, which shows variables, is for developers.
  const more = endpoint.path.endsWith('/trace') ? (['artifact:read_developer'] as const) : (endpoint.more ?? []);
  const permissions = ofSeveral ? endpoint.permissions : [...endpoint.permissions, ...more];
  const writes = endpoint.method !== 'GET';
  const projectId = resource.kind === 'project' ? resource.id : (nobody as ProjectId);
  const self = endpoint.permissions.includes('job:self');
  return {
    endpoint: `${endpoint.method} ${endpoint.path}`,
    accesses: permissions.map((permission) => ({ permission, resource })),
    ...(ofSeveral && more.length > 0 ? { ofSeveral: more.map((permission) => ({ permission, resource })) } : {}),
    channel: self ? 'job' : writes ? 'api' : 'read_api',
    kind: writes && takesFile.test(endpoint.path) ? 'file' : 'api',
    writes,
    // A request closes issues of whatever projects its author may see.
    list:
      endpoint.list === true ||
      endpoint.permissions.some((permission) => permission.endsWith(':list')) ||
      endpoint.path.endsWith('/closes_issues'),
    personal: endpoint.personal === true,
    projectId,
    params,
    ...(resource.kind === 'project' || resource.kind === 'group' ? { path: byNumber(path, resource.id) } : {}),
  };
}

/** `/api/v4/projects/group%2Fname/…` → `/api/v4/projects/7/…` */
function byNumber(path: string, id: number): string {
  const parts = path.split('/');
  parts[4] = String(id);
  return parts.join('/');
}

/** `:id` as a number or a full path, as GitLab reads it. */
async function resourceOf(directory: Directory, from: 'project' | 'group' | 'user' | 'instance', given: string): Promise<Resource> {
  switch (from) {
    case 'project': {
      const number = parseId<ProjectId>(given);
      const path = number === undefined && given.includes('/') ? await directory.projectByPath(null, given) : undefined;
      return { kind: 'project', id: number ?? path?.id ?? (nobody as ProjectId) };
    }
    case 'group': {
      const number = parseId<GroupId>(given);
      return { kind: 'group', id: number ?? (await directory.groupByPath(null, given))?.id ?? (nobody as GroupId) };
    }
    case 'user':
      return { kind: 'user', id: parseId<UserId>(given) ?? (nobody as UserId) };
    case 'instance':
      return { kind: 'instance' };
  }
}

function wanted(endpoint: string, accesses: readonly Access[], channel: Channel, writes: boolean, projectId: ProjectId): Wanted {
  return { endpoint, accesses, channel, kind: 'git', writes, list: false, personal: false, projectId, params: new Map() };
}

function access(permission: Permission, id: ProjectId): Access {
  return { permission, resource: { kind: 'project', id } };
}

/** The door at which the embedded forge would have served it. */
export function doorOf(endpoint: string): string {
  if (endpoint.endsWith('/jwt/auth')) return 'registry';
  if (/\.git\/(?:info\/lfs|gitlab-lfs)\//.test(endpoint)) return 'lfs';
  return endpoint.includes('/*.git/') ? 'git' : 'api';
}
