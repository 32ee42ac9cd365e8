import type { IncomingMessage } from 'node:http';
import { isJobpassError, JobpassError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import { passesInText } from '../../base/pass-search.ts';
import { parseBasic, targetHoldsPass } from '../credential.ts';
import type { Front } from '../http.ts';
import { queryOf } from '../paths.ts';
import { audienceOf, sayNo } from './answers.ts';
import { type AssistedDeps, isAssisted, mayBeAssisted } from './assisted.ts';
import type { Asked, Told } from './exchange.ts';
import type { Forwarder } from './forwarder.ts';
import { hiddenHeader } from './headers.ts';
import { isOwn } from './own-routes.ts';
import { makePassRequests, type PassRequestDeps } from './pass-requests.ts';
import { wantsTunnel } from './upgrade.ts';
import { reportedJob, reportJob, requestJob, type RunnerCallDeps, verifyRunner } from './runner-calls.ts';

export interface FrontDeps {
  readonly forwarder: Forwarder;
  readonly passes: PassRequestDeps;
  readonly runners: RunnerCallDeps;
  /** Left out where no runner is assisted. */
  readonly assisted: AssistedDeps | undefined;
  readonly log: Log;
}

/** Sorts the gateway's traffic: requests with a pass are judged, runners' calls are heard, everything else goes through untouched. */
export function makeFront(deps: FrontDeps): Front {
  const servePass = makePassRequests(deps.passes);
  return {
    take(request, response, { requestId, secure, path }) {
      const withPass = carriesPass(request.rawHeaders);
      // A pass changes no settings (R5): it hears that where it hears everything else. Below `/-/jobpass/` it is about the pass itself.
      if (isOwn(path) && (!withPass || !path.startsWith('/api/'))) return false;
      const method = request.method ?? '';
      const serve = async (): Promise<unknown> => {
        const plain = (): Promise<unknown> => deps.forwarder.forward(request, response);
        const query = (): URLSearchParams => new URLSearchParams(queryOf(request.url));
        const judged = async (): Promise<unknown> => {
          checkHeaders(request);
          return servePass(request, response, { requestId, secure, path, query: query() });
        };
        const fetchOrPlain = async (assisted: AssistedDeps): Promise<unknown> =>
          (await isAssisted(assisted, request, { path, query: query(), secure })) ? judged() : plain();
        const asks = method === 'POST' && path === '/api/v4/jobs/request';
        const verifies = method === 'POST' && path === '/api/v4/runners/verify' && request.headers.signature !== undefined;
        const job = reportedJob(method, path);
        if (!withPass && !asks && !verifies && job === undefined)
          return deps.assisted === undefined ? plain() : fetchOrPlain(deps.assisted);
        if (request.headers.expect !== undefined) response.writeContinue();
        if (withPass) return judged();
        checkHeaders(request);
        if (asks) return requestJob(deps.runners, request, response, secure);
        if (verifies) return verifyRunner(deps.runners, request, response);
        return job === undefined ? plain() : reportJob(deps.runners, request, response, job);
      };
      serve().catch((error: unknown) => refuse(deps.log, request, response, requestId, path, error));
      return true;
    },
    plain: {
      wants: ({ rawHeaders }, path) => !carriesPass(rawHeaders) && !isOwn(path) && (deps.assisted === undefined || !mayBeAssisted(path)),
      take(request, response, { requestId, path }) {
        deps.forwarder
          .forwardPlain(request, response)
          .catch((error: unknown) => refuse(deps.log, request, response, requestId, path, error));
      },
    },
    wantsUpgrade: wantsTunnel,
    upgrade(request, socket, head) {
      // No pass opens a terminal or a live channel: nothing could cut it at the job's end (R2, R5).
      if (carriesPass(request.rawHeaders) || targetHoldsPass(request.url ?? '')) {
        socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n', () => socket.destroy());
        return;
      }
      deps.forwarder.upgrade(request, socket, head);
    },
  };
}

/** Of what is read here and goes on, the forge must hear the same. @throws invalid_input */
function checkHeaders({ rawHeaders }: IncomingMessage): void {
  const hidden = hiddenHeader(rawHeaders);
  if (hidden !== undefined)
    throw new JobpassError(
      'invalid_input',
      `The Connection header may not name ${hidden}: it is about the request, and has to go on with it.`,
    );
}

function refuse(log: Log, request: Asked, response: Told, requestId: string, path: string, error: unknown): void {
  const known = isJobpassError(error) ? error : new JobpassError('internal', {}, error);
  if (known.code === 'internal') log.error('gateway.failed', { requestId }, known);
  sayNo(request, response, audienceOf(path), known);
}

/** True where any header holds a pass, Basic credentials looked into; one that only looks like it counts, too (R13). */
export function carriesPass(rawHeaders: readonly string[]): boolean {
  for (let index = 1; index < rawHeaders.length; index += 2) {
    const value = rawHeaders[index] ?? '';
    if (value.includes('jpt_')) return true;
    if (rawHeaders[index - 1]?.toLowerCase() !== 'authorization' || !/^basic\s/i.test(value)) continue;
    const basic = parseBasic(value.slice('basic '.length).trim());
    // Readers of base64 skip what is none of it.
    if (basic === undefined ? hidesPass(value) : `${basic.user}\n${basic.password}`.includes('jpt_')) return true;
  }
  return false;
}

/** A pass in base64 that is not written as it should be. */
function hidesPass(value: string): boolean {
  for (const _find of passesInText(value.replaceAll(/[^A-Za-z0-9+/_-]/g, ''))) return true;
  return false;
}
