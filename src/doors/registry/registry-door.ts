import type { IncomingMessage, ServerResponse } from 'node:http';
import { isJobpassError, JobpassError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { Forge } from '../../forge/forge.ts';
import type { Access, Permission, Refusal, Subject } from '../../pass/subject.ts';
import { credentialOf } from '../credential.ts';
import type { Door, RawContext } from '../door.ts';
import { deleteBlob, deleteUpload, getBlob, getUpload, patchUpload, postUpload, putUpload } from './blobs.ts';
import { answer, type Call, OciError } from './call.ts';
import { challenge } from './challenge.ts';
import { answerOci, ociAnswer } from './errors.ts';
import { deleteManifest, getManifest, listReferrers, listTags, putManifest } from './manifests.ts';
import { isRepositoryName, type NamedPlace, parseRegistryPath, placeOf, type RegistryPath } from './names.ts';
import { serveToken, type TokenDeps } from './token.ts';
import { lingerUnread } from '../unread.ts';

export interface RegistryDoorDeps extends TokenDeps {
  readonly forge: Pick<Forge, 'registry'>;
  /** The configured address that a request's Host names (A17). */
  readonly originFor: (host: string | undefined) => string;
  readonly log: Log;
}

/** The container registry: `/v2/` and its tokens. @see OCI distribution-spec 1.1 */
export function makeRegistryDoor(deps: RegistryDoorDeps): Door {
  return {
    kind: 'raw',
    name: 'registry',
    boundsBodies: true,
    matches: (path) => path === '/v2' || path.startsWith('/v2/') || path === '/jwt/auth',
    async handle(request, response, context) {
      response.setHeader('docker-distribution-api-version', 'registry/2.0');
      // Nobody listens for it, so that node ends the connection itself; the next request on it starts without.
      request.setTimeout(limits.registryIdleMs);
      try {
        await serve(deps, request, response, context);
      } catch (error) {
        fail(deps, request, response, context, error);
      }
    },
  };
}

function fail(deps: RegistryDoorDeps, request: IncomingMessage, response: ServerResponse, context: RawContext, error: unknown): void {
  // Who hung up hears nothing, and is no failure of ours.
  if (request.destroyed && !request.complete) return void response.destroy();
  const known = isJobpassError(error) ? error : new JobpassError('internal', {}, error);
  if (known.code === 'internal' || known.code === 'upstream_failed')
    deps.log.error('registry.failed', { requestId: context.requestId }, known);
  if (response.headersSent) return void response.destroy();
  lingerUnread(request, response);
  const said = ociAnswer(known, known instanceof OciError ? known.oci : undefined);
  const headers =
    known.code === 'pass_dead' || known.code === 'credential_invalid'
      ? { ...said.headers, 'www-authenticate': challenge(deps.originFor(request.headers.host), undefined, 'invalid_token') }
      : said.headers;
  answerOci(response, { ...said, headers });
}

async function serve(deps: RegistryDoorDeps, request: IncomingMessage, response: ServerResponse, context: RawContext): Promise<void> {
  const read = credentialOf(request.headers, request.rawHeaders, context.query);
  if ('refusal' in read) return refuse(deps, request, response, read.refusal, false, undefined);
  const { subject } = read;
  if (context.path === '/jwt/auth') {
    // GitLab answers 404 to the POST form; docker then asks by GET.
    if (request.method !== 'GET') throw new OciError('UNSUPPORTED', 'not_found', 'Ask by GET.');
    return serveToken(deps, response, context.query, subject, context);
  }
  const path = parseRegistryPath(context.path);
  if (path === undefined) throw new OciError('UNSUPPORTED', 'not_found', 'There is no such route.');
  if (path.kind === 'malformed') throw malformed(path.what, request.method ?? '');
  if (path.kind === 'base') return serveBase(deps, request, response, context, subject);
  // Nobody lists every repository here: the REST API of a project lists its own.
  if (path.kind === 'catalog') throw new JobpassError('unsupported', 'The catalog is not served; ask for the repositories of a project.');
  await serveRepository(deps, request, response, context, subject, path);
}

/** `GET /v2/`: tells clients where tokens are had, and whether theirs is good. */
async function serveBase(
  deps: RegistryDoorDeps,
  request: IncomingMessage,
  response: ServerResponse,
  context: RawContext,
  subject: Subject,
): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') throw new JobpassError('unsupported', 'Use GET.');
  const admission = await deps.gatekeeper.admit(subject, [{ permission: 'registry:login', resource: { kind: 'instance' } }], {
    door: 'registry',
    endpoint: 'GET /v2',
    requestId: context.requestId,
    secure: context.secure,
  });
  if (!admission.ok) return refuse(deps, request, response, admission.refusal, admission.anonymous === true, undefined);
  await deps.gatekeeper.settle(admission.grant, 'done');
  answer(response, 200, { 'content-type': 'application/json' }, '{}');
}

type InRepository = Extract<RegistryPath, { readonly name: string }>;

async function serveRepository(
  deps: RegistryDoorDeps,
  request: IncomingMessage,
  response: ServerResponse,
  context: RawContext,
  subject: Subject,
  path: InRepository,
): Promise<void> {
  const route = routeOf(request.method ?? '', path);
  if (route === undefined) throw new JobpassError('unsupported', `${request.method ?? ''} is not served here.`);
  const place = await placeOf(deps.directory, path.name);
  const ask = { door: 'registry', endpoint: route.endpoint, requestId: context.requestId, secure: context.secure };
  const access = (permission: Permission, at: NamedPlace): Access => ({ permission, resource: { kind: 'project', id: at.projectId } });
  const from = path.kind === 'uploads' ? await mountSource(deps, context.query) : undefined;
  let admission = await deps.gatekeeper.admit(
    subject,
    [access(route.permission, place), ...(from === undefined ? [] : [access('container:read', from)])],
    ask,
  );
  let source = admission.ok ? from : undefined;
  // A mount that may not read its source is an ordinary upload, in every case and with the same answer (A13).
  if (!admission.ok && from !== undefined) admission = await deps.gatekeeper.admit(subject, [access(route.permission, place)], ask);
  if (!admission.ok) {
    const scope = `repository:${path.name}:${route.scope}${from === undefined ? '' : ` repository:${String(context.query.get('from'))}:pull`}`;
    return refuse(deps, request, response, admission.refusal, admission.anonymous === true, scope);
  }
  const { grant } = admission;
  if (place.project === undefined) throw new JobpassError('not_found', {});
  if (source?.project === undefined) source = undefined;
  const cut = (): void => {
    response.destroy();
    request.destroy();
  };
  grant.signal.addEventListener('abort', cut, { once: true });
  let outcome: 'done' | 'failed' | 'refused' = 'failed';
  try {
    await route.run({ registry: deps.forge.registry, request, response, query: context.query, grant, place, name: path.name }, source);
    outcome = 'done';
  } catch (error) {
    if (isJobpassError(error) && error.code !== 'internal') outcome = 'refused';
    throw error;
  } finally {
    grant.signal.removeEventListener('abort', cut);
    await deps.gatekeeper.settle(grant, grant.signal.aborted ? 'cut' : outcome);
  }
}

interface Route {
  readonly endpoint: string;
  readonly permission: Permission;
  /** docker's words for what a token needs. */
  readonly scope: string;
  run(call: Call, from: NamedPlace | undefined): Promise<void>;
}

const pull = { permission: 'container:read', scope: 'pull' } as const;
const push = { permission: 'container:push', scope: 'pull,push' } as const;
const remove = { permission: 'container:admin', scope: 'delete' } as const;

function routeOf(method: string, path: InRepository): Route | undefined {
  const reads = method === 'GET' || method === 'HEAD';
  const at = `${method === 'HEAD' ? 'GET' : method} /v2/*/`;
  switch (path.kind) {
    case 'blob':
      if (reads) return { ...pull, endpoint: `${at}blobs/:digest`, run: (call) => getBlob(call, path.digest) };
      return method === 'DELETE' ? { ...remove, endpoint: `${at}blobs/:digest`, run: (call) => deleteBlob(call, path.digest) } : undefined;
    case 'uploads':
      return method === 'POST' ? { ...push, endpoint: `${at}blobs/uploads`, run: (call, from) => postUpload(call, from) } : undefined;
    case 'upload': {
      const work = new Map([
        ['GET', getUpload],
        ['HEAD', getUpload],
        ['PATCH', patchUpload],
        ['PUT', putUpload],
        ['DELETE', deleteUpload],
      ]).get(method);
      return work === undefined ? undefined : { ...push, endpoint: `${at}blobs/uploads/:id`, run: (call) => work(call, path.id) };
    }
    case 'manifest': {
      const endpoint = `${at}manifests/:reference`;
      if (reads) return { ...pull, endpoint, run: (call) => getManifest(call, path.reference) };
      if (method === 'PUT') return { ...push, endpoint, run: (call) => putManifest(call, path.reference) };
      return method === 'DELETE' ? { ...remove, endpoint, run: (call) => deleteManifest(call, path.reference) } : undefined;
    }
    case 'tags':
      return reads ? { ...pull, endpoint: `${at}tags/list`, run: listTags } : undefined;
    case 'referrers':
      return reads ? { ...pull, endpoint: `${at}referrers/:digest`, run: (call) => listReferrers(call, path.digest) } : undefined;
  }
}

async function mountSource(deps: RegistryDoorDeps, query: URLSearchParams): Promise<NamedPlace | undefined> {
  const from = query.get('from');
  return query.has('mount') && from !== null && isRepositoryName(from) ? placeOf(deps.directory, from) : undefined;
}

/** @param scope what a token would need, for the challenge */
function refuse(
  deps: RegistryDoorDeps,
  request: IncomingMessage,
  response: ServerResponse,
  refusal: Refusal,
  anonymous: boolean,
  scope: string | undefined,
): void {
  lingerUnread(request, response);
  const said = ociAnswer(refusal);
  // Whoever sent no token is asked for one, whether or not there is such a repository (A14, A41).
  const asks = anonymous && (refusal.code === 'not_found' || refusal.code === 'access_denied' || refusal.code === 'credential_missing');
  if (!asks && said.status !== 401) return answerOci(response, said);
  const error = refusal.code === 'scope_insufficient' ? 'insufficient_scope' : asks ? undefined : 'invalid_token';
  const headers = { 'www-authenticate': challenge(deps.originFor(request.headers.host), scope, error) };
  answerOci(response, { status: 401, code: 'UNAUTHORIZED', message: asks ? 'A token is needed.' : said.message, headers });
}

function malformed(what: 'name' | 'digest' | 'reference', method: string): OciError {
  // What cannot be a tag is a manifest that nobody has, as the conformance suite sees it; only who pushes can put it right.
  if (what === 'reference' && method !== 'PUT')
    return new OciError('MANIFEST_UNKNOWN', 'not_found', 'There is no such manifest: the reference is malformed.');
  const codes = { name: 'NAME_INVALID', digest: 'DIGEST_INVALID', reference: 'TAG_INVALID' } as const;
  return new OciError(codes[what], 'invalid_input', `The ${what} is malformed.`);
}
