import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { JobpassError } from '../base/errors.ts';

/** SQLITE_BUSY: somebody has it. Anything else, such as a full disk, is nobody's doing. */
const sqliteBusy = 5;

/**
 * Keeps a data folder for this process: a second one would settle what the first has in flight as if that had crashed, and empty its scratch folder. An open
 * transaction of SQLite is a lock of the system's, which goes with the process however that ends.
 * @returns lets go of it
 * @throws conflict while another process has it, store_unavailable where it cannot be had at all
 */
export function lockFolder(folder: string): () => void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, 'lock');
  closeSync(openSync(path, 'a', 0o600));
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec('begin exclusive');
  } catch (error) {
    database.close();
    if (error instanceof Error && 'errcode' in error && error.errcode !== sqliteBusy)
      throw new JobpassError('store_unavailable', `${path} cannot be locked: is the disk full, or read-only?`, error);
    throw new JobpassError(
      'conflict',
      `Another process serves ${folder}. End that one first; several servers need one PostgreSQL (--database).`,
      error,
    );
  }
  return () => database.close();
}
