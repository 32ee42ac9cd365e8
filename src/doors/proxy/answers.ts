import type { ServerResponse } from 'node:http';
import { isJobpassError, type JobpassError } from '../../base/errors.ts';
import type { Refusal } from '../../pass/subject.ts';
import { answerFor, errorOfRefusal } from '../api/errors.ts';
import { gitAnswer } from '../git/errors.ts';
import { answerOci, ociAnswer } from '../registry/errors.ts';

/** Which client hears it. */
export type Audience = 'api' | 'git' | 'registry';

/** Who asks at a path, by the path alone. */
export function audienceOf(path: string): Audience {
  if (path === '/jwt/auth' || path === '/v2' || path.startsWith('/v2/')) return 'registry';
  return path.startsWith('/api/') || path.startsWith('/-/') ? 'api' : 'git';
}

/** Says no in the words of the client that asked (R11). */
export function sayNo(response: ServerResponse, audience: Audience, no: JobpassError | Refusal): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const error = isJobpassError(no) ? no : errorOfRefusal(no);
  if (error.detail.retryAfterSeconds !== undefined) response.setHeader('retry-after', String(error.detail.retryAfterSeconds));
  if (audience === 'registry') {
    const said = ociAnswer(error);
    return answerOci(response, said.status === 401 ? { ...said, headers: { 'www-authenticate': 'Basic realm="GitLab"' } } : said);
  }
  if (audience === 'git') {
    const { status, text, headers } = gitAnswer(error, false);
    response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'content-length': Buffer.byteLength(text), ...headers });
    response.end(text);
    return;
  }
  const { status, body, headers } = answerFor(error);
  const text = JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), ...headers });
  response.end(text);
}
