import type { IncomingMessage, ServerResponse } from 'node:http';
import { PassThrough, type Readable, Transform } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { isJobpassError, JobpassError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import type { Forge, GitService } from '../../forge/forge.ts';
import type { Grant } from '../../pass/grant.ts';
import type { Gatekeeper, Subject } from '../../pass/subject.ts';
import { type AddressBook, projectAddressed } from '../addressed.ts';
import { credentialOf } from '../credential.ts';
import type { Door, RawContext } from '../door.ts';
import { mayTakeItsTime } from '../http.ts';
import { decodeOnce } from '../paths.ts';
import { send } from '../send.ts';
import { lingerUnread } from '../unread.ts';
import { archiveAnswer, type GitAnswer, gitAnswer, isArchivePath, plainText } from './errors.ts';
import type { OpenGits } from './open-gits.ts';

export interface GitDoorDeps extends AddressBook {
  readonly gatekeeper: Gatekeeper;
  readonly forge: Pick<Forge, 'git'>;
  readonly openGits: OpenGits;
  readonly log: Log;
}

interface GitRequest {
  readonly projectPath: string;
  readonly service: GitService;
  readonly step: 'advertise' | 'call';
}

const pathShape = /^\/(.+?)\.git\/(info\/refs|git-upload-pack|git-receive-pack)$/;

/** git over HTTP, by git's own programs: clone, fetch, push. @see gitprotocol-http(5) */
export function makeGitDoor(deps: GitDoorDeps): Door {
  return {
    kind: 'raw',
    name: 'git',
    matches: (path) => pathShape.test(path) || /^\/.+\.git\/(?:HEAD|objects\/|info\/|git-)/.test(path),
    async handle(request, response, context) {
      const read = credentialOf(request.headers, request.rawHeaders, context.query);
      if ('refusal' in read) return answer(response, gitAnswer(read.refusal, false));
      const anonymous = read.subject.kind === 'anonymous';
      try {
        const wanted = parseRequest(request, context);
        await serve(deps, request, response, context, wanted, read.subject);
      } catch (error) {
        const known = isJobpassError(error) ? error : new JobpassError('internal', {}, error);
        if (known.code === 'internal' || known.code === 'upstream_failed')
          deps.log.error('git.failed', { requestId: context.requestId }, known);
        if (response.headersSent) return void response.destroy();
        lingerUnread(request, response);
        answer(response, isArchivePath(context.path) ? archiveAnswer(known, anonymous) : gitAnswer(known, anonymous));
      }
    },
  };
}

function answer(response: ServerResponse, { status, text, headers, type = plainText }: GitAnswer & { readonly type?: string }): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text), ...headers });
  response.end(text);
}

/** @throws access_denied for the dumb protocol and HEAD, invalid_input */
function parseRequest(request: IncomingMessage, context: RawContext): GitRequest {
  const match = pathShape.exec(context.path);
  const path = decodeOnce(match?.[1] ?? '');
  const step = match?.[2];
  if (match === null || path === undefined) throw new JobpassError('access_denied', 'Only the smart HTTP protocol is served.');
  if (step === 'info/refs') {
    const service = context.query.get('service');
    if (request.method !== 'GET') throw new JobpassError('access_denied', 'Use GET.');
    if (service !== 'git-upload-pack' && service !== 'git-receive-pack')
      throw new JobpassError('access_denied', 'Only the smart HTTP protocol is served.');
    return { projectPath: path, service, step: 'advertise' };
  }
  const service = step === 'git-upload-pack' ? 'git-upload-pack' : 'git-receive-pack';
  if (request.method !== 'POST') throw new JobpassError('access_denied', 'Use POST.');
  if (request.headers['content-type'] !== `application/x-${service}-request`)
    throw new JobpassError('invalid_input', `The content type must be application/x-${service}-request.`);
  return { projectPath: path, service, step: 'call' };
}

async function serve(
  deps: GitDoorDeps,
  request: IncomingMessage,
  response: ServerResponse,
  context: RawContext,
  wanted: GitRequest,
  subject: Subject,
): Promise<void> {
  const project = await projectAddressed(deps, wanted.projectPath);
  const permission = wanted.service === 'git-upload-pack' ? 'code:download' : 'code:push';
  const endpoint = wanted.step === 'advertise' ? `GET /*.git/info/refs?service=${wanted.service}` : `POST /*.git/${wanted.service}`;
  // An unknown project is asked about all the same: the credential is checked, and nobody can tell unknown from hidden.
  const resource = { kind: 'project', id: project?.id ?? (0 as never) } as const;
  const admission = await deps.gatekeeper.admit(subject, [{ permission, resource }], {
    door: 'git',
    endpoint,
    requestId: context.requestId,
    secure: context.secure,
  });
  if (!admission.ok) return answer(response, gitAnswer(admission.refusal, subject.kind === 'anonymous'));
  const { grant } = admission;
  if (project === undefined) throw new JobpassError('not_found');
  const cut = (): void => {
    response.destroy();
    request.destroy();
  };
  grant.signal.addEventListener('abort', cut, { once: true });
  let outcome: 'done' | 'failed' | 'refused' | 'cut' = 'refused';
  let leave: (() => void) | undefined;
  try {
    leave = deps.openGits.enter(grant.identity);
    outcome = 'failed';
    outcome = await stream(deps, request, response, wanted, grant, project.id);
  } finally {
    leave?.();
    grant.signal.removeEventListener('abort', cut);
    await deps.gatekeeper.settle(grant, grant.signal.aborted ? 'cut' : outcome);
  }
}

async function stream(
  deps: GitDoorDeps,
  request: IncomingMessage,
  response: ServerResponse,
  wanted: GitRequest,
  grant: Grant,
  project: Parameters<Forge['git']['uploadPack']>[1],
): Promise<'done' | 'failed' | 'refused'> {
  const { git } = deps.forge;
  const protocol = protocolOf(request);
  const headers = { 'cache-control': 'no-cache, max-age=0, must-revalidate', 'x-content-type-options': 'nosniff' };
  if (wanted.step === 'advertise') {
    const body = await git.advertise(grant, project, wanted.service, protocol);
    response.writeHead(200, { ...headers, 'content-type': `application/x-${wanted.service}-advertisement` });
    await send(body, response);
    return 'done';
  }
  mayTakeItsTime(request, limits.streamedBodyIdleMs);
  const body = bodyOf(request);
  if (wanted.service === 'git-upload-pack') {
    const output = await git.uploadPack(grant, project, protocol, body);
    response.writeHead(200, { ...headers, 'content-type': 'application/x-git-upload-pack-result' });
    await send(output, response);
    return 'done';
  }
  const { output, done } = await git.receivePack(grant, project, protocol, body, (changes, again) =>
    deps.gatekeeper.admitRefs(grant, changes, again),
  );
  response.writeHead(200, { ...headers, 'content-type': 'application/x-git-receive-pack-result' });
  // The client hears the end only once its report is out, the push is in the log and its pipelines are made.
  const [sent, settled] = await Promise.allSettled([send(output, response, { end: false }), done]);
  if (settled.status === 'rejected') throw settled.reason;
  const { outcome } = settled.value;
  if (sent.status === 'rejected') response.destroy();
  else response.end();
  return outcome;
}

/** `version=2` and the like; anything else is left out, as git does with what it does not know. */
function protocolOf(request: IncomingMessage): string | undefined {
  const value = request.headers['git-protocol'];
  return typeof value === 'string' && /^[a-z0-9=:._-]{1,64}$/.test(value) ? value : undefined;
}

/** The body, unpacked where git packed it, and bounded either way. */
function bodyOf(request: IncomingMessage): Readable {
  let bytes = 0;
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      if (bytes > limits.packBytes) done(new JobpassError('too_large', 'The pack is too large.'));
      else done(null, chunk);
    },
  });
  const encoding = request.headers['content-encoding'];
  const packed = encoding === 'gzip' || encoding === 'x-gzip';
  const plain = packed ? createGunzip() : new PassThrough();
  // A client that hangs up in the middle must not look like one that finished.
  request.once('close', () => {
    if (!request.complete) counted.destroy(new JobpassError('upstream_failed', 'The client hung up.'));
  });
  request.once('error', (error) => counted.destroy(error));
  plain.once('error', (error) => counted.destroy(error));
  counted.once('error', () => undefined);
  request.pipe(plain).pipe(counted);
  return counted;
}
