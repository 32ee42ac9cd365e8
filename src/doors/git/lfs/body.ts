import type { IncomingMessage } from 'node:http';
import { JobpassError } from '../../../base/errors.ts';
import { limits } from '../../../base/limits.ts';
import type { LfsObject } from '../../../forge/lfs.ts';
import { parseJson } from '../../api/api-door.ts';

export interface BatchRequest {
  readonly operation: 'download' | 'upload';
  readonly objects: readonly LfsObject[];
}

type Fields = Readonly<Record<string, unknown>>;

/** The JSON body of an LFS call. @throws too_large, invalid_input */
export async function lfsBody(request: IncomingMessage): Promise<Fields> {
  const parts: Buffer[] = [];
  let size = 0;
  // A request that is refused here still wants its answer, which goes out on the same socket.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    const bytes: Buffer = chunk;
    size += bytes.length;
    if (size > limits.jsonBodyBytes) throw new JobpassError('too_large', 'The body is too large.');
    parts.push(bytes);
  }
  const value = parseJson(Buffer.concat(parts).toString('utf8'));
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new JobpassError('invalid_input', 'The body must be a JSON object.');
  return { ...value };
}

/** @throws unprocessable for what this server cannot do, too_large for too many objects */
export function batchOf(body: Fields): BatchRequest {
  const { operation, objects, transfers, hash_algo: algorithm } = body;
  if (operation !== 'download' && operation !== 'upload') throw wrong('operation must be download or upload');
  if (transfers !== undefined && !(Array.isArray(transfers) && transfers.includes('basic')))
    throw wrong('only the basic transfer is served');
  if (algorithm !== undefined && algorithm !== 'sha256') throw wrong('only sha256 is served');
  if (!Array.isArray(objects)) throw wrong('objects must be a list');
  if (objects.length > limits.lfsBatch) throw new JobpassError('too_large', `At most ${limits.lfsBatch} objects in one batch.`);
  return { operation, objects: objects.map(objectOf) };
}

/** Whether the body of an unlock asks to take back whoever's lock it is. @throws invalid_input */
export function asksForForce(body: Buffer): boolean {
  const value = parseJson(body.toString('utf8'));
  const force: unknown = typeof value === 'object' && value !== null && 'force' in value ? value.force : undefined;
  // Rails takes more than `true` for it.
  return force !== undefined && force !== null && force !== false;
}

/** @throws unprocessable */
export function objectOf(value: unknown): LfsObject {
  const { oid, size }: Fields = typeof value === 'object' && value !== null ? { ...value } : {};
  if (typeof oid !== 'string' || !/^[0-9a-f]{64}$/.test(oid)) throw wrong('an oid must be 64 lower-case hex digits');
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw wrong('a size must be a number of bytes');
  return { oid, sizeBytes: size };
}

/** @throws unprocessable */
export function lockPath(body: Fields): string {
  const { path } = body;
  if (typeof path !== 'string' || path === '' || path.length > 4096 || /[\u0000-\u001f]/.test(path))
    throw wrong('path must name a file of the repository');
  return path;
}

export function textField(body: Fields, name: string): string | undefined {
  const value = Object.hasOwn(body, name) ? body[name] : undefined;
  return typeof value === 'string' && value !== '' ? value : typeof value === 'number' ? String(value) : undefined;
}

/** How many locks a page has. */
export function pageSize(text: string | undefined): number {
  const wanted = text !== undefined && /^\d{1,6}$/.test(text) ? Number(text) : limits.pageSize;
  return Math.max(1, Math.min(wanted, limits.pageSize));
}

function wrong(what: string): JobpassError {
  return new JobpassError('unprocessable', `${what}.`);
}
