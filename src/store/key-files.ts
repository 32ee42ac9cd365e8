import { randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hasCode, JobpassError } from '../base/errors.ts';
import { makeSeal, type Seal, sealKeyBytes } from '../base/seal.ts';

/**
 * A file with a key, made at the first start; whoever of several that start at once is first, all read the same. For its owner only.
 * @returns what stands in it
 */
export function keyFile(folder: string, name: string, fresh: () => Buffer | string): Buffer {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, name);
  const known = readIfThere(path);
  if (known !== undefined) return known;
  // A link appears whole or not at all; a file that is being written would be read by halves.
  const made = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    writeFileSync(made, fresh(), { flag: 'wx', mode: 0o600 });
    linkSync(made, path);
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
  } finally {
    rmSync(made, { force: true });
  }
  return readFileSync(path);
}

/**
 * The key lies beside the store, not in it: a copy of the database alone opens nothing.
 * @param loss what is gone with a damaged key, for the operator
 * @throws invalid_input
 */
export function fileSeal(folder: string, loss: string): Seal {
  const key = keyFile(folder, 'seal.key', () => randomBytes(sealKeyBytes));
  if (key.length !== sealKeyBytes)
    throw new JobpassError('invalid_input', `${join(folder, 'seal.key')} is damaged. Put it back from a backup; without it ${loss}.`);
  return makeSeal(key);
}

function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}
