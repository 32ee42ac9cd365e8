import type { IncomingMessage, ServerResponse } from 'node:http';
import { isoTime } from '../../../base/clock.ts';
import { isJobpassError, JobpassError } from '../../../base/errors.ts';
import type { ProjectId, UserId } from '../../../base/ids.ts';
import { limits } from '../../../base/limits.ts';
import type { Log } from '../../../base/log.ts';
import type { Forge } from '../../../forge/forge.ts';
import type { LfsLock } from '../../../forge/lfs.ts';
import type { Grant } from '../../../pass/grant.ts';
import type { Access, AskContext, Gatekeeper, Permission, Subject } from '../../../pass/subject.ts';
import { type AddressBook, projectAddressed } from '../../addressed.ts';
import { credentialOf } from '../../credential.ts';
import type { Door, RawContext } from '../../door.ts';
import { mayTakeItsTime } from '../../http.ts';
import { lingerUnread } from '../../unread.ts';
import { rangeOf } from '../../range.ts';
import { batchOf, lfsBody, lockPath, objectOf, pageSize, textField } from './body.ts';
import { lfsRefusal, mediaType } from './errors.ts';
import { isLfsPath, type LfsRoute, lfsRoute } from './route.ts';

export interface LfsDoorDeps extends AddressBook {
  readonly gatekeeper: Gatekeeper;
  readonly forge: Pick<Forge, 'lfs'>;
  /** The configured address that a request's Host names (A17). */
  readonly originFor: (host: string | undefined) => string;
  readonly log: Log;
}

/**
 * Git LFS. Its credential is the caller's own on every request: no answer carries another, so nothing outlives a pass (A40, A48).
 * @see git-lfs docs/api
 */
export function makeLfsDoor(deps: LfsDoorDeps): Door {
  return {
    kind: 'raw',
    name: 'lfs',
    matches: isLfsPath,
    async handle(request, response, context) {
      const read = credentialOf(request.headers, request.rawHeaders, context.query);
      const anonymous = 'subject' in read && read.subject.kind === 'anonymous';
      try {
        if ('refusal' in read) throw new JobpassError(read.refusal.code, read.refusal.message);
        const route = lfsRoute(request.method ?? '', context.path);
        if (route === undefined) throw new JobpassError('not_found', {});
        await serve(deps, request, response, context, route, read.subject);
      } catch (error) {
        // Who hung up hears nothing.
        if (request.destroyed && !request.complete) return void response.destroy();
        const known = isJobpassError(error) ? error : new JobpassError('internal', {}, error);
        if (known.code === 'internal' || known.code === 'upstream_failed')
          deps.log.error('lfs.failed', { requestId: context.requestId }, known);
        if (response.headersSent) return void response.destroy();
        lingerUnread(request, response);
        const { status, text, headers } = lfsRefusal(known, anonymous, context.requestId);
        answerText(response, status, text, headers);
      }
    },
  };
}

function answerJson(response: ServerResponse, status: number, body: unknown): void {
  answerText(response, status, JSON.stringify(body), {});
}

function answerText(response: ServerResponse, status: number, text: string, headers: Readonly<Record<string, string>>): void {
  response.writeHead(status, { 'content-type': mediaType, 'content-length': Buffer.byteLength(text), ...headers });
  response.end(text);
}

interface Served {
  readonly deps: LfsDoorDeps;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
  readonly project: ProjectId;
  /** Of this repository, such as `https://forge.example/a/b.git`. */
  readonly base: string;
  readonly grant: Grant;
}

async function serve(
  deps: LfsDoorDeps,
  request: IncomingMessage,
  response: ServerResponse,
  context: RawContext,
  route: LfsRoute,
  subject: Subject,
): Promise<void> {
  const project = await projectAddressed(deps, route.projectPath);
  // An unknown project is asked about all the same, so that nobody can tell it from a hidden one (A41).
  const id = project?.id ?? (0 as ProjectId);
  const ask: AskContext = { door: 'lfs', endpoint: route.endpoint, requestId: context.requestId, secure: context.secure };
  const grants: Grant[] = [];
  const admit = async (permissions: readonly Permission[]): Promise<Grant> => {
    const accesses = permissions.map((permission): Access => ({ permission, resource: { kind: 'project', id } }));
    const admission = await deps.gatekeeper.admit(subject, accesses, ask);
    if (!admission.ok) {
      const { code, message, what } = admission.refusal;
      throw new JobpassError(code, what === undefined ? { message } : { message, what });
    }
    grants.push(admission.grant);
    const { signal } = admission.grant;
    signal.addEventListener('abort', () => void response.destroy(), { once: true });
    return admission.grant;
  };
  let outcome: 'done' | 'failed' | 'refused' = 'failed';
  try {
    const grant = await admit([route.permission]);
    if (project === undefined) throw new JobpassError('not_found', {});
    const base = `${deps.originFor(request.headers.host)}/${project.path}.git`;
    await run({ deps, request, response, query: context.query, project: project.id, base, grant }, route, admit);
    outcome = 'done';
  } catch (error) {
    if (isJobpassError(error) && error.code !== 'internal') outcome = 'refused';
    throw error;
  } finally {
    await Promise.all(grants.map((grant) => deps.gatekeeper.settle(grant, grant.signal.aborted ? 'cut' : outcome)));
  }
}

async function run(served: Served, { call }: LfsRoute, admit: (permissions: readonly Permission[]) => Promise<Grant>): Promise<void> {
  const { deps, request, response, project, grant } = served;
  const { lfs } = deps.forge;
  switch (call.kind) {
    case 'batch':
      return batch(served, admit);
    case 'verify': {
      const { oid, sizeBytes } = objectOf(await lfsBody(request));
      const held = (await lfs.held(grant, project, [oid])).get(oid);
      if (held === undefined) throw new JobpassError('not_found', {});
      if (held !== sizeBytes) throw new JobpassError('unprocessable', `The object has ${held} bytes.`);
      return answerJson(response, 200, {});
    }
    case 'download':
      return download(served, call.oid);
    case 'upload':
      mayTakeItsTime(request, limits.streamedBodyIdleMs);
      await lfs.write(grant, project, call, request).catch((error: unknown) => {
        if (isJobpassError(error, 'invalid_input')) throw new JobpassError('unprocessable', error.message);
        throw error;
      });
      response.writeHead(200, { 'content-length': 0 });
      response.end();
      return;
    case 'list_locks': {
      const { query } = served;
      const [path, id, cursor] = [query.get('path'), query.get('id'), query.get('cursor')];
      const { locks, nextCursor } = await lfs.locks(grant, project, {
        limit: pageSize(query.get('limit') ?? undefined),
        ...(path === null ? {} : { path }),
        ...(id === null ? {} : { id }),
        ...(cursor === null ? {} : { cursor }),
      });
      return answerJson(response, 200, { locks: locks.map(shownLock), ...(nextCursor === null ? {} : { next_cursor: nextCursor }) });
    }
    case 'lock': {
      const { lock, created } = await lfs.lock(grant, project, lockPath(await lfsBody(request)), actor(grant));
      return answerJson(response, created ? 201 : 409, { lock: shownLock(lock), ...(created ? {} : { message: 'already created lock' }) });
    }
    case 'verify_locks': {
      const body = await lfsBody(request);
      const cursor = textField(body, 'cursor');
      const { locks, nextCursor } = await lfs.locks(grant, project, {
        limit: pageSize(textField(body, 'limit')),
        ...(cursor === undefined ? {} : { cursor }),
      });
      const ours = locks.filter((lock) => lock.ownerId === actor(grant));
      const theirs = locks.filter((lock) => lock.ownerId !== actor(grant));
      return answerJson(response, 200, {
        ours: ours.map(shownLock),
        theirs: theirs.map(shownLock),
        ...(nextCursor === null ? {} : { next_cursor: nextCursor }),
      });
    }
    case 'unlock': {
      const body = await lfsBody(request);
      const force = body['force'] === true;
      const allowed = force ? await admit(['code:push', 'lfs_lock:force']) : grant;
      return answerJson(response, 200, { lock: shownLock(await lfs.unlock(allowed, project, call.id, actor(grant), force)) });
    }
  }
}

async function batch(
  { deps, request, response, project, base, grant }: Served,
  admit: (permissions: readonly Permission[]) => Promise<Grant>,
): Promise<void> {
  const { operation, objects } = batchOf(await lfsBody(request));
  const allowed = operation === 'upload' ? await admit(['code:push']) : grant;
  const held = await deps.forge.lfs.held(
    allowed,
    project,
    objects.map(({ oid }) => oid),
  );
  // No `header` in any action: the client sends its own credential to these addresses as it did to this one.
  const rows = objects.map(({ oid, sizeBytes }) => {
    const known = held.get(oid);
    const object = { oid, size: known ?? sizeBytes };
    if (operation === 'download')
      return known === undefined
        ? { ...object, error: { code: 404, message: 'Object does not exist on the server or you do not have permission to access it' } }
        : { ...object, actions: { download: { href: `${base}/gitlab-lfs/objects/${oid}` } } };
    if (known !== undefined) return object;
    return {
      ...object,
      actions: {
        upload: { href: `${base}/gitlab-lfs/objects/${oid}/${sizeBytes}` },
        verify: { href: `${base}/info/lfs/objects/verify` },
      },
    };
  });
  answerJson(response, 200, { transfer: 'basic', objects: rows, hash_algo: 'sha256' });
}

async function download({ deps, request, response, project, grant }: Served, oid: string): Promise<void> {
  const sizeBytes = (await deps.forge.lfs.held(grant, project, [oid])).get(oid);
  if (sizeBytes === undefined) throw new JobpassError('not_found', {});
  const range = rangeOf(request.headers.range, sizeBytes);
  if (range === 'unsatisfiable') {
    response.writeHead(416, { 'content-range': `bytes */${sizeBytes}`, 'content-length': 0 });
    response.end();
    return;
  }
  const [first, last] = range === undefined ? [0, sizeBytes - 1] : [range.first, range.last];
  const headers = {
    'content-type': 'application/octet-stream',
    'content-security-policy': "default-src 'none'; sandbox",
    'content-length': last - first + 1,
    'accept-ranges': 'bytes',
  };
  const { body } = request.method === 'HEAD' ? { body: undefined } : await deps.forge.lfs.read(grant, project, oid, range);
  response.writeHead(
    range === undefined ? 200 : 206,
    range === undefined ? headers : { ...headers, 'content-range': `bytes ${first}-${last}/${sizeBytes}` },
  );
  if (body === undefined) response.end();
  else await body.sendTo(response);
}

function shownLock(lock: LfsLock) {
  return { id: lock.id, path: lock.path, locked_at: isoTime(lock.lockedAt), owner: { name: lock.ownerName } };
}

/** A lock has one owner: who acts, for a pass its first principal. */
function actor(grant: Grant): UserId {
  const [user] = grant.principals;
  if (user === undefined) throw new JobpassError('access_denied', 'A lock needs a user.');
  return user;
}
