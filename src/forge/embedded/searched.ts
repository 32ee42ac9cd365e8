import type { Readable } from 'node:stream';
import { JobpassError } from '../../base/errors.ts';
import { UploadSearch } from '../../base/upload-search.ts';
import type { Grant } from '../../pass/grant.ts';
import type { Leaks } from '../../ports/leaks.ts';

/** What is stored, and where a pass in it would be known from. */
export interface Searched<Stored> {
  /** In words and ids: `a package of project 7`. */
  readonly what: string;
  readonly door: string;
  /** What it will be called, where somebody chose that. */
  readonly name?: string;
  /** Takes the bytes; nobody can read them yet. */
  store(body: Readable): Promise<Stored>;
  remove(): Promise<void>;
}

/** Stores what has no pass in it; one that has is dead before anybody could read it (R12). @throws invalid_input */
export async function searched<Stored>(
  leaks: Pick<Leaks, 'revokeAll'>,
  grant: Grant,
  body: Readable,
  { what, door, name, store, remove }: Searched<Stored>,
): Promise<Stored> {
  const search = new UploadSearch();
  search.named(name ?? '');
  const stored = await store(search.through(body));
  if ((await leaks.revokeAll(search.found, { door, what, requestId: grant.requestId })) === 0) return stored;
  await remove();
  throw new JobpassError('invalid_input', `A pass (jpt_…) stands in what was sent: it is revoked now, and nothing is kept (R12).`);
}
