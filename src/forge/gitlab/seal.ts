import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { JobpassError } from '../../base/errors.ts';
import { Secret } from '../../base/secret.ts';

/** Keeps secrets in the store readable to this installation only (AES-256-GCM). */
export interface Seal {
  seal(secret: Secret): string;
  /** @returns undefined for what was sealed elsewhere, or changed */
  open(sealed: string): Secret | undefined;
}

const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;

/** The key lies beside the store, not in it: a copy of the database alone opens nothing. @throws invalid_input */
export function fileSeal(folder: string): Seal {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, 'seal.key');
  try {
    writeFileSync(path, randomBytes(keyBytes), { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
  const key = readFileSync(path);
  if (key.length !== keyBytes)
    throw new JobpassError('invalid_input', `${path} is damaged. Remove it: passes of running jobs end, nothing else is lost.`);
  return makeSeal(key);
}

export function makeSeal(key: Buffer): Seal {
  return {
    seal(secret) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv('aes-256-gcm', key, nonce);
      const text = Buffer.concat([cipher.update(secret.reveal(), 'utf8'), cipher.final()]);
      return Buffer.concat([nonce, cipher.getAuthTag(), text]).toString('base64url');
    },
    open(sealed) {
      const bytes = Buffer.from(sealed, 'base64url');
      if (bytes.length < nonceBytes + tagBytes) return undefined;
      const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, nonceBytes));
      decipher.setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes));
      try {
        return new Secret(Buffer.concat([decipher.update(bytes.subarray(nonceBytes + tagBytes)), decipher.final()]).toString('utf8'));
      } catch {
        return undefined;
      }
    },
  };
}
