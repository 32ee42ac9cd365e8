import type { IncomingMessage } from 'node:http';
import { JobpassError } from '../../base/errors.ts';
import { parseJson } from '../api/api-door.ts';
import { checkText } from './params.ts';

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
 * @throws what `checkText` throws, unsupported, invalid_input (what two readers could read in two ways)
 */
export function checkBody(body: Buffer, contentType: string | undefined): unknown {
  if (body.length === 0) return undefined;
  const type = mediaType(contentType);
  if (type !== 'application/json' && type !== 'application/x-www-form-urlencoded')
    throw new JobpassError('unsupported', 'Send application/json or a form: nothing else is carried with a pass here.');
  const decoded = decodedText(body);
  const value = type === 'application/json' ? parseJson(decoded) : formOf(decoded);
  checkText(value);
  return value;
}

/** Without its parameters, in lower case. */
export function mediaType(contentType: string | undefined): string {
  return (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
}

function decodedText(body: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw new JobpassError('invalid_input', 'The body is not UTF-8.');
  }
}

/** `actions[][file_path]`. Rack reads `branch]`, `[branch` and ` branch` as `branch`, too. @see Rack 2.2, `QueryParser#normalize_params` */
const nameShape = /^[^[\]\s\0]+(?:\[[^[\]]*\])*$/;

/**
 * Each value by its name; a name that comes again stands beside the first.
 * @throws invalid_input for what the forge could read by another name (A22)
 */
export function formOf(text: string): Readonly<Record<string, readonly string[]>> {
  // Some readers split at it, too: what follows would be a parameter of its own.
  if (text.includes(';')) throw new JobpassError('invalid_input', 'Write `;` as %3B: it means two things here.');
  const form = new Map<string, string[]>();
  for (const [name, value] of new URLSearchParams(text)) {
    if (!nameShape.test(name)) throw new JobpassError('invalid_input', `${JSON.stringify(name.slice(0, 100))} is no name of a parameter.`);
    form.set(name, [...(form.get(name) ?? []), value]);
  }
  return Object.fromEntries(form);
}
