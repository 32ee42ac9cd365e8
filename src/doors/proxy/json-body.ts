import type { IncomingMessage } from 'node:http';
import { JobpassError } from '../../base/errors.ts';
import { parseJson } from '../api/api-door.ts';
import { holdsPass } from '../credential.ts';

/**
 * A body that has to be read before it may go on: what it asks for stands in it.
 * @throws too_large, unsupported (compressed)
 */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  if (request.headers['content-encoding'] !== undefined)
    throw new JobpassError('unsupported', 'Send the body of a request with a pass uncompressed.');
  const parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    const bytes: Buffer = chunk;
    size += bytes.length;
    if (size > maxBytes) throw new JobpassError('too_large', `The body is larger than ${maxBytes} bytes.`);
    parts.push(bytes);
  }
  return Buffer.concat(parts);
}

/**
 * Looks into a JSON or form body that goes on to the forge.
 * @throws credential_misplaced (a pass stands in it, R17), access_denied (quick actions, A62), invalid_input (what two readers could read in two ways)
 */
export function checkBody(body: Buffer, contentType: string | undefined): unknown {
  if (body.length === 0) return undefined;
  const type = (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase();
  if (type !== 'application/json' && type !== 'application/x-www-form-urlencoded')
    throw new JobpassError('unsupported', 'Send application/json or a form: nothing else is carried with a pass here.');
  const text = new TextDecoder('utf-8', { fatal: true });
  let value: unknown;
  try {
    const decoded = text.decode(body);
    value = type === 'application/json' ? parseJson(decoded) : Object.fromEntries(new URLSearchParams(decoded));
  } catch (error) {
    if (error instanceof JobpassError) throw error;
    throw new JobpassError('invalid_input', 'The body is not UTF-8.');
  }
  if (holdsPass(value))
    throw new JobpassError(
      'credential_misplaced',
      'A pass is not accepted in a body; send it in the PRIVATE-TOKEN header. Treat this one as leaked.',
    );
  if (holdsQuickAction(value))
    throw new JobpassError(
      'access_denied',
      'A line of the text begins with a slash and a word: the forge would carry it out as a quick action, which no pass may do. Indent it, or put it in backquotes.',
    );
  return value;
}

const texts = new Set(['description', 'body', 'note', 'notes', 'message', 'title']);

/** Text of the fields that a forge reads as Markdown, with a line such as `/assign @root`. @see GitLab, "Quick actions" */
function holdsQuickAction(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(([name, inner]) =>
    typeof inner === 'string' ? texts.has(name) && /^[^\S\r\n]*\/[a-z_]+/imu.test(inner) : holdsQuickAction(inner),
  );
}
