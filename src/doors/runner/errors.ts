import type { ServerResponse } from 'node:http';
import type { JobpassError } from '../../base/errors.ts';
import { answerJson } from '../http.ts';

/** 403 tells a runner that its token is bad and silences it, so it is for that only; everything that passes is 503 (protocol notes §2). */
export function answerRunnerError(response: ServerResponse, error: JobpassError): void {
  const { code } = error;
  if (code === 'range_mismatch') {
    response.setHeader('range', `0-${error.detail.offsetBytes ?? 0}`);
    return answerJson(response, 416, { message: '416 Range Not Satisfiable' });
  }
  if (
    [
      'credential_missing',
      'credential_invalid',
      'pass_dead',
      'access_denied',
      'scope_insufficient',
      'credential_misplaced',
      'not_found',
    ].includes(code)
  )
    return answerJson(response, 403, { message: `403 Forbidden${code === 'access_denied' ? ` - ${error.message}` : ''}` });
  if (code === 'invalid_input') return answerJson(response, 400, { message: error.message });
  if (code === 'too_large') return answerJson(response, 413, { message: error.message });
  response.setHeader('retry-after', '5');
  return answerJson(response, code === 'internal' ? 500 : 503, {
    message: code === 'internal' ? '500 Internal Server Error' : '503 Service Unavailable',
  });
}
