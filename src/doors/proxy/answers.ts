import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import { isJobpassError, type JobpassError } from '../../base/errors.ts';
import type { Refusal } from '../../pass/subject.ts';
import { answerFor, errorOfRefusal } from '../api/errors.ts';
import { archiveAnswer, gitAnswer, isArchivePath, plainText } from '../git/errors.ts';
import { lfsRefusal } from '../git/lfs/errors.ts';
import { isLfsPath } from '../git/lfs/route.ts';
import { PlainRequest } from '../plain/request.ts';
import { PlainResponse } from '../plain/response.ts';
import { ociAnswer, ociText } from '../registry/errors.ts';
import { lingerUnread } from '../unread.ts';
import { requestProblem } from './headers.ts';

/** Which client hears it. */
export type Audience = 'api' | 'archive' | 'git' | 'lfs' | 'registry';

/** Who asks at a path, by the path alone. */
export function audienceOf(path: string): Audience {
  if (path === '/jwt/auth' || path === '/v2' || path.startsWith('/v2/')) return 'registry';
  if (isLfsPath(path)) return 'lfs';
  if (isArchivePath(path)) return 'archive';
  return path.startsWith('/api/') || path.startsWith('/-/') ? 'api' : 'git';
}

/** Says no in the words of the client that asked (R11), which hears it also while it still sends. */
export function sayNo(
  request: IncomingMessage | PlainRequest,
  response: ServerResponse | PlainResponse,
  audience: Audience,
  no: JobpassError | Refusal,
): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  if (!(request instanceof PlainRequest) && !(response instanceof PlainResponse)) {
    // What could be read in two ways may end elsewhere than it seems: nothing is read behind it (A25).
    if (requestProblem(request) !== undefined) response.setHeader('connection', 'close');
    lingerUnread(request, response);
  }
  const error = isJobpassError(no) ? no : errorOfRefusal(no);
  const { status, type, text, headers } = saidTo(audience, error);
  const body = Buffer.from(text);
  const { retryAfterSeconds } = error.detail;
  const said = {
    ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }),
    'content-type': type,
    'content-length': String(body.length),
    ...headers,
  };
  response.writeHead(status, STATUS_CODES[status] ?? '', Object.entries(said).flat());
  response.end(body);
}

interface Said {
  readonly status: number;
  readonly type: string;
  readonly text: string;
  readonly headers: Readonly<Record<string, string>>;
}

function saidTo(audience: Audience, error: JobpassError): Said {
  if (audience === 'registry') {
    const answer = ociAnswer(error);
    const headers = answer.status === 401 ? { 'www-authenticate': 'Basic realm="GitLab"' } : answer.headers;
    return { status: answer.status, type: 'application/json', text: ociText(answer), headers };
  }
  if (audience === 'lfs') return lfsRefusal(error, false);
  if (audience === 'archive') return archiveAnswer(error, false);
  if (audience === 'git') return { ...gitAnswer(error, false), type: plainText };
  const { status, body, headers } = answerFor(error);
  return { status, type: 'application/json', text: JSON.stringify(body), headers };
}
