import type { Readable } from 'node:stream';
import { JobpassError } from '../../base/errors.ts';
import type { Grant } from '../../pass/grant.ts';

/** What a pass sends stops with it (R2). */
export function cut(grant: Grant, body: Readable): Readable {
  const end = (): void => void body.destroy(new JobpassError('pass_dead'));
  // Who reads it is told; where nobody does yet, the process does not end of it.
  body.on('error', () => undefined);
  if (grant.signal.aborted) end();
  grant.signal.addEventListener('abort', end, { once: true });
  body.once('close', () => grant.signal.removeEventListener('abort', end));
  return body;
}
