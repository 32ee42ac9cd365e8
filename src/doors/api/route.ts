import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../../base/clock.ts';
import { isJobpassError, JobpassError } from '../../base/errors.ts';
import { type GroupId, parseId, type ProjectId, type UserId } from '../../base/ids.ts';
import type { Log } from '../../base/log.ts';
import type { Forge } from '../../forge/forge.ts';
import { limits } from '../../base/limits.ts';
import { Secret } from '../../base/secret.ts';
import type { Jobs } from '../../jobs/jobs.ts';
import type { Grant } from '../../pass/grant.ts';
import type { Revoker } from '../../pass/revoke.ts';
import { passRouteRefusal } from '../../pass/routes.ts';
import type { Access, Gatekeeper, Resource, Subject } from '../../pass/subject.ts';
import { type Endpoint, endpoints } from '../../policy/endpoints.ts';
import type { AuditStore } from '../../ports/audit.ts';
import type { Directory, FormerPaths, GroupFacts, ProjectFacts, UserFacts } from '../../ports/directory.ts';
import { credentialOf, holdsPass } from '../credential.ts';
import type { OpenGits } from '../git/open-gits.ts';
import { factsOf } from '../http.ts';
import { queryOf } from '../paths.ts';
import { answerFor, errorOfRefusal, MovedProject, ParamError } from './errors.ts';
import { Params } from './params.ts';
import { refuseUnheardFilters } from './unheard-filters.ts';

/** What any API route of ours needs to be asked and answered. */
export interface RouteDeps {
  readonly gatekeeper: Gatekeeper;
  readonly directory: Directory;
  /** Left out in front of another forge, which leads its clients itself. */
  readonly formerPaths?: FormerPaths;
  /** Left out in front of another forge, whose gits are its own. */
  readonly openGits?: OpenGits;
  readonly log: Log;
  /** External address without a final slash, for every URL in an answer. */
  readonly externalUrl: string;
}

export interface ApiDeps extends RouteDeps {
  readonly forge: Forge;
  readonly jobs: Jobs;
  readonly audit: AuditStore;
  readonly revoker: Revoker;
  readonly clock: Clock;
  /** Every origin that is this server. */
  readonly externalUrls: readonly string[];
  /** `host[:port]` by which images are named. */
  readonly registry: string;
  readonly version: string;
}

/** What a handler gets once its accesses were granted. */
export interface Call {
  readonly grant: Grant;
  readonly params: Params;
  /** A path parameter, decoded once. */
  path(name: string): string;
  /** The resource that `:id` names; throws internal where the endpoint has none of that kind. */
  readonly project: ProjectFacts;
  readonly group: GroupFacts;
  readonly user: UserFacts;
  /** Asks for more than the endpoint's row, decided together; the outcome is settled with the request's. */
  admit(accesses: readonly Access[]): Promise<Grant>;
  /** External URL of this request. */
  readonly url: URL;
  readonly method: string;
  /** The request as it comes in; for routes that stream their body. */
  readonly incoming: IncomingMessage;
}

export interface Answer {
  readonly status?: number;
  readonly body?: unknown;
  readonly stream?: Readable;
  readonly headers?: Readonly<Record<string, string>>;
}
export type Handler = (call: Call) => Promise<Answer>;

/** `GET /api/v4/…` as it stands in the endpoint table. */
export type RouteTable = Readonly<Record<string, Handler>>;

const rows = new Map(endpoints.map((endpoint) => [`${endpoint.method} ${endpoint.path}`, endpoint]));

/** Registers handlers under their rows; a route without a row does not start (R13). */
export function registerRoutes(app: FastifyInstance, deps: RouteDeps, table: RouteTable): void {
  for (const [name, handler] of Object.entries(table)) {
    const endpoint = rows.get(name);
    if (endpoint === undefined) throw new JobpassError('internal', {}, new Error(`the route ${name} is not in the endpoint table`));
    app.route({
      method: endpoint.method,
      url: endpoint.path,
      // Bodies are read before anybody is known: only what carries files may be large.
      bodyLimit: /\/repository\/(?:files|commits)/.test(endpoint.path) ? limits.fileBodyBytes : limits.jsonBodyBytes,
      handler: (request, reply) => serve(deps, endpoint, handler, request, reply),
    });
  }
}

async function serve(
  deps: RouteDeps,
  endpoint: Endpoint,
  handler: Handler,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const granted: Grant[] = [];
  let answer: Answer;
  let leave: (() => void) | undefined;
  try {
    const call = await prepare(deps, endpoint, request, granted);
    if (endpoint.path.includes('/repository/')) leave = deps.openGits?.enter(call.grant.identity);
    answer = await handler(call);
    refuseUnheardFilters(call.params, answer);
    if (request.method === 'HEAD' && answer.stream !== undefined) answer = headOf(answer, answer.stream);
    if (answer.stream !== undefined) follow(deps, granted, answer.stream);
  } catch (error) {
    leave?.();
    const moved = error instanceof MovedProject;
    const refused = moved || isJobpassError(error) || error instanceof ParamError;
    await settleAll(deps, granted, moved && error.location !== undefined ? 'done' : refused ? 'refused' : 'failed');
    return answerError(deps, error, request, reply);
  }
  if (answer.stream === undefined) leave?.();
  else answer.stream.once('close', () => leave?.());
  void reply.code(answer.status ?? (endpoint.method === 'POST' ? 201 : 200)).headers(answer.headers ?? {});
  if (answer.stream !== undefined) return reply.send(answer.stream);
  await settleAll(deps, granted, 'done');
  if (answer.status === 204) return reply.send();
  return reply.type('application/json').send(JSON.stringify(answer.body ?? null));
}

/** Without its body, which nobody hears: gigabytes would be read for a few bytes of headers. */
function headOf(answer: Answer, body: Readable): Answer {
  body.once('error', () => undefined).destroy();
  return { ...answer, stream: Readable.from([]) };
}

/** A stream settles when it ends, and is cut when the pass dies (R2). @throws pass_dead where it died before the first byte */
function follow(deps: RouteDeps, granted: readonly Grant[], stream: Readable): void {
  for (const { signal } of granted) {
    // A signal that has fired tells no listener any more.
    if (signal.aborted) {
      stream.destroy();
      throw new JobpassError('pass_dead');
    }
    signal.addEventListener('abort', () => stream.destroy(new JobpassError('pass_dead')), { once: true });
  }
  let settled = false;
  const settle = (outcome: 'done' | 'cut'): void => {
    if (settled) return;
    settled = true;
    settleAll(deps, granted, outcome).catch((error: unknown) => deps.log.error('audit.settle_failed', {}, error));
  };
  stream.once('end', () => settle('done'));
  stream.once('close', () => settle('cut'));
}

async function settleAll(deps: RouteDeps, granted: readonly Grant[], outcome: 'done' | 'failed' | 'refused' | 'cut'): Promise<void> {
  await Promise.all(granted.map((grant) => deps.gatekeeper.settle(grant, outcome)));
}

export async function answerError(
  deps: Pick<RouteDeps, 'log'>,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  if (error instanceof ParamError)
    return reply
      .code(400)
      .type('application/json')
      .send(JSON.stringify({ error: error.message }));
  if (error instanceof MovedProject) {
    const { location } = error;
    if (location !== undefined)
      return reply.code(301).header('location', location).type('application/json').send('{"message":"301 Moved Permanently"}');
    const message = 'Non GET methods are not allowed for moved projects';
    return reply.code(405).header('allow', 'GET, HEAD').type('application/json').send(JSON.stringify({ message }));
  }
  const known = isJobpassError(error) ? error : new JobpassError('internal', {}, error);
  if (known.code === 'internal') deps.log.error('api.failed', { requestId: factsOf(request.raw).requestId }, known);
  const answer = answerFor(known);
  return reply.code(answer.status).headers(answer.headers).type('application/json').send(JSON.stringify(answer.body));
}

/** The subject of a request. @throws credential_misplaced, credential_invalid */
export function subjectOf(request: FastifyRequest, endpoint?: Endpoint): { subject: Subject; query: URLSearchParams } {
  const query = new URLSearchParams(queryOf(request.raw.url));
  const read = credentialOf(request.headers, request.raw.rawHeaders, query);
  if ('refusal' in read) throw errorOfRefusal(read.refusal);
  if (holdsPass(request.body instanceof URLSearchParams ? [...request.body] : request.body)) {
    throw new JobpassError(
      'credential_misplaced',
      'A pass is not accepted in a body; send it in the PRIVATE-TOKEN header. Treat this one as leaked.',
    );
  }
  if (endpoint?.path.endsWith('/trigger/pipeline') === true)
    return { subject: withTrigger(read.subject, new Params(query, request.body)), query };
  return { subject: read.subject, query };
}

/**
 * GitLab's field `token` of this one route: a trigger token or a job token, in query, form or JSON. A pass was refused there before.
 * @throws credential_misplaced beside another credential (R17), credential_invalid
 */
function withTrigger(subject: Subject, params: Params): Subject {
  const text = params.optionalText('token');
  if (text === undefined || text === '') return subject;
  if (subject.kind !== 'anonymous')
    throw new JobpassError('credential_misplaced', 'Send one credential only: this request has a token in a header, too.');
  if (text.length > limits.credentialBytes) throw new JobpassError('credential_invalid', 'The token is too long.');
  const carrier = text.startsWith('glcbt-') ? 'job_token' : 'trigger_token';
  return { kind: 'secret', secret: new Secret(text), carrier };
}

async function prepare(deps: RouteDeps, endpoint: Endpoint, request: FastifyRequest, granted: Grant[]): Promise<Call> {
  const { requestId, secure } = factsOf(request.raw);
  const { subject, query } = subjectOf(request, endpoint);
  const context = { door: 'api', endpoint: `${endpoint.method} ${endpoint.path}`, requestId, secure };
  const admit = async (accesses: readonly Access[]): Promise<Grant> => {
    const admission = await deps.gatekeeper.admit(subject, accesses, context);
    if (!admission.ok) throw errorOfRefusal(admission.refusal);
    granted.push(admission.grant);
    return admission.grant;
  };
  const pathParams = request.params as Readonly<Record<string, string>>;
  const path = (name: string): string => pathParams[name] ?? '';
  const target = await targetOf(deps, endpoint, path('id'));
  if (target === undefined) {
    // Nobody may learn from the difference between "unknown" and "hidden"; a bad credential is still a bad credential.
    await admit(
      endpoint.permissions.map((permission) => ({
        permission,
        resource: { kind: endpoint.from === 'group' ? 'group' : endpoint.from === 'user' ? 'user' : 'project', id: nobody } as Resource,
      })),
    );
    throw new JobpassError('not_found', { what: endpoint.from === 'group' ? 'Group' : endpoint.from === 'user' ? 'User' : 'Project' });
  }
  const grant =
    endpoint.from === 'body'
      ? undefined
      : await admit(endpoint.permissions.map((permission) => ({ permission, resource: target.resource })));
  // Only now: who may not know of the project hears nothing of where it is.
  if (target.movedTo !== undefined) throw new MovedProject(locationOf(request, endpoint, target.movedTo));
  const missing = (what: string): never => {
    throw new JobpassError('internal', {}, new Error(`the endpoint ${context.endpoint} has no ${what}`));
  };
  return {
    get grant() {
      return grant ?? granted.at(-1) ?? missing('grant');
    },
    params: new Params(query, request.body),
    path,
    get project() {
      return target.project ?? missing('project');
    },
    get group() {
      return target.group ?? missing('group');
    },
    get user() {
      return target.user ?? missing('user');
    },
    admit,
    url: new URL(request.raw.url ?? '/', deps.externalUrl),
    method: request.method,
    incoming: request.raw,
  };
}

/** An id that no row ever has: what is asked of it is refused as "not there", after the credential was checked. */
export const nobody = 0;

interface Target {
  readonly resource: Resource;
  readonly project?: ProjectFacts;
  /** Its number, where it was asked for by a path that it had before. */
  readonly movedTo?: ProjectId;
  readonly group?: GroupFacts;
  readonly user?: UserFacts;
}

/** `:id` as a number or a full path; a bare name is not looked up (GitLab). */
async function targetOf(deps: RouteDeps, endpoint: Endpoint, id: string): Promise<Target | undefined> {
  switch (endpoint.from) {
    case 'project': {
      const number = parseId<ProjectId>(id);
      const project =
        number === undefined
          ? id.includes('/')
            ? await deps.directory.projectByPath(null, id)
            : undefined
          : await deps.directory.project(null, number);
      if (project !== undefined) return { resource: { kind: 'project', id: project.id }, project };
      const moved = number === undefined && id.includes('/') ? await deps.formerPaths?.projectAt(null, id) : undefined;
      return moved === undefined ? undefined : { resource: { kind: 'project', id: moved.id }, movedTo: moved.id };
    }
    case 'group': {
      const number = parseId<GroupId>(id);
      const group = number === undefined ? await deps.directory.groupByPath(null, id) : await deps.directory.group(null, number);
      return group === undefined || group.kind !== 'group' ? undefined : { resource: { kind: 'group', id: group.id }, group };
    }
    case 'user': {
      const number = parseId<UserId>(id);
      const user = number === undefined ? undefined : (await deps.directory.users(null, [number])).get(number);
      return user === undefined ? undefined : { resource: { kind: 'user', id: user.id }, user };
    }
    case 'job':
    case 'instance':
    case 'body':
      return { resource: { kind: 'instance' } };
  }
}

/** This request by the project's number, for a GET. No token of its query goes into an answer. */
function locationOf({ method, raw }: FastifyRequest, endpoint: Endpoint, project: ProjectId): string | undefined {
  if (method !== 'GET' && method !== 'HEAD') return undefined;
  const [path = '', ...query] = (raw.url ?? '/').split('?');
  const parts = path.split('/');
  parts[endpoint.path.split('/').indexOf(':id')] = String(project);
  const kept = query
    .join('?')
    .split('&')
    .filter((pair) => pair !== '' && !/^(?:private_token|access_token|job_token)(?:=|$)/.test(pair));
  return parts.join('/') + (kept.length === 0 ? '' : `?${kept.join('&')}`);
}

/** What a path that no route serves answers: 404 to people, and to a pass the rule that refuses it. */
export async function answerUnknownRoute(deps: RouteDeps, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  try {
    const { subject } = subjectOf(request);
    const path = (request.raw.url ?? '').split('?')[0] ?? '';
    if (subject.kind === 'secret') {
      const { requestId, secure } = factsOf(request.raw);
      const admission = await deps.gatekeeper.admit(subject, [{ permission: 'pass:self', resource: { kind: 'instance' } }], {
        door: 'api',
        endpoint: `${request.method} (unlisted)`,
        requestId,
        secure,
      });
      if (admission.ok) {
        await deps.gatekeeper.settle(admission.grant, 'refused', passRouteRefusal(request.method, path).code);
        throw errorOfRefusal(passRouteRefusal(request.method, path));
      }
      if (admission.refusal.code !== 'access_denied') throw errorOfRefusal(admission.refusal);
    }
    return await reply.code(404).type('application/json').send('{"error":"404 Not Found"}');
  } catch (error) {
    return answerError(deps, error, request, reply);
  }
}
