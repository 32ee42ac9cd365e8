import type { IncomingMessage } from 'node:http';
import { JobpassError } from '../../base/errors.ts';
import { queryOf } from '../paths.ts';
import { fileFormOf } from './file-form.ts';
import { formOf, mediaType } from './json-body.ts';
import type { Wanted } from './judge.ts';
import { checkText } from './params.ts';

/** Headers by which a request says that it is another one than its request line. */
const overriding = ['x-http-method-override', 'x-http-method', 'x-method-override'];
/** RFC 9110 §8.3.1 */
const mediaTypeShape = /^[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+$/;
/** Types whose bodies a forge reads as parameters, whatever the route is. */
const parameters = /^(?:application\/(?:[a-z.+-]*json|x-www-form-urlencoded)|multipart\/.*)$/;

/**
 * What a forge could read of a request beside what is judged (A22): another method, parameters in the query or where no body belongs.
 * @throws invalid_input, unsupported, what `checkText` throws
 */
export function checkShape({ headers, rawHeaders, url, method }: IncomingMessage, { kind, writes, endpoint }: Wanted): void {
  const override = overriding.find((name) => headers[name] !== undefined);
  if (override !== undefined) throw new JobpassError('invalid_input', `The ${override} header is not supported.`);
  checkText(formOf(queryOf(url)));
  const type = mediaType(headers['content-type']);
  // Of two, and of a list, one reader takes the first and another the last.
  if ((type !== '' && !mediaTypeShape.test(type)) || rawHeaders.filter(isContentType).length > 1)
    throw new JobpassError('invalid_input', 'The Content-Type is not one media type.');
  switch (kind) {
    case 'api':
    case 'registry_token':
      // A form in a GET is parameters, too.
      if (!writes && hasBody(headers)) throw new JobpassError('invalid_input', 'Send no body with a request that reads.');
      return;
    case 'file':
      if (fileFormOf(endpoint) === undefined && parameters.test(type))
        throw new JobpassError('unsupported', 'Send the file itself, as application/octet-stream.');
      return;
    case 'lfs':
    case 'lfs_batch':
    case 'lfs_unlock':
      // Rails takes what stands there before what the body says.
      if (method === 'POST' && (url ?? '').includes('?'))
        throw new JobpassError('invalid_input', 'Send what a large-file call asks for in its body only.');
      if (/^(?:multipart|application\/x-www-form)/.test(type))
        throw new JobpassError('unsupported', `${type} is no type for this request.`);
      return;
    case 'git':
    case 'fetch':
    case 'push':
      if (parameters.test(type)) throw new JobpassError('unsupported', `${type} is no type for this request.`);
  }
}

function isContentType(name: string, index: number): boolean {
  return index % 2 === 0 && name.toLowerCase() === 'content-type';
}

function hasBody(headers: IncomingMessage['headers']): boolean {
  return headers['transfer-encoding'] !== undefined || !/^0?$/.test(headers['content-length'] ?? '');
}
