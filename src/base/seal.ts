import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { Secret } from './secret.ts';

/** Keeps secrets in the store readable to this installation only (AES-256-GCM). */
export interface Seal {
  /** @param place of the secret, such as `project:7:KEY`: put anywhere else, it does not open */
  seal(secret: Secret, place?: string): string;
  /** @returns undefined for what was sealed elsewhere, or changed */
  open(sealed: string, place?: string): Secret | undefined;
}

export const sealKeyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;

/** @param key `sealKeyBytes` of randomness */
export function makeSeal(key: Buffer): Seal {
  return {
    seal(secret, place = '') {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(place));
      const text = Buffer.concat([cipher.update(secret.reveal(), 'utf8'), cipher.final()]);
      return Buffer.concat([nonce, cipher.getAuthTag(), text]).toString('base64url');
    },
    open(sealed, place = '') {
      const bytes = Buffer.from(sealed, 'base64url');
      if (bytes.length < nonceBytes + tagBytes) return undefined;
      const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, nonceBytes)).setAAD(Buffer.from(place));
      decipher.setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes));
      try {
        return new Secret(Buffer.concat([decipher.update(bytes.subarray(nonceBytes + tagBytes)), decipher.final()]).toString('utf8'));
      } catch {
        return undefined;
      }
    },
  };
}
