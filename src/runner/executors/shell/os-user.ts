import { hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { JobpassError } from '../../../base/errors.ts';

export interface OsUser {
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  /** Nobody else uses the uid. */
  readonly exclusive: boolean;
}

/** Start of a range that Linux distributions leave unused (systemd's UIDS-GIDS.md); the low 28 bits come from the slot's own hash. */
const rangeStart = 0x7000_0000;

/**
 * The OS user of a slot's jobs (R8). Root runs them as `user`, else under a uid that belongs to this slot alone: other slots and the
 * runner's own files are out of its reach, and all its processes can be ended together. A runner that is not root can only be itself.
 * @throws invalid_input
 */
export async function osUserOf(user: string | undefined, slotDir: string): Promise<OsUser> {
  if (process.getuid?.() !== 0) {
    if (user !== undefined) throw new JobpassError('invalid_input', 'Only a runner that runs as root can run jobs as another user.');
    return { uid: undefined, gid: undefined, exclusive: false };
  }
  if (user !== undefined) return namedUser(user);
  const id = rangeStart + (Number.parseInt(hash('sha256', slotDir, 'hex').slice(0, 8), 16) & 0x0fff_ffff);
  return { uid: id, gid: id, exclusive: true };
}

async function namedUser(user: string): Promise<OsUser> {
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const found = lines.find(([name]) => name === user);
  const [uid, gid] = [Number(found?.[2]), Number(found?.[3])];
  if (found === undefined || !Number.isSafeInteger(uid) || !Number.isSafeInteger(gid))
    throw new JobpassError('invalid_input', `There is no user "${user}" on this machine.`);
  if (uid === 0) throw new JobpassError('invalid_input', 'Jobs do not run as root (R8).');
  return { uid, gid, exclusive: false };
}
