import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { deflate } from 'node:zlib';
import { type Oid, parseOid } from '../../../base/ids.ts';
import { present } from '../../../base/assert.ts';

// gitformat-pack(5)
const typeNumbers = { commit: 1, tree: 2, blob: 3, tag: 4 } as const;
type ObjectType = keyof typeof typeNumbers;

const compress = promisify(deflate);

/**
 * Objects made here, and the pack that brings them to `git receive-pack`, which checks them like those of any push: a git for each of them would cost
 * more than all the rest of a small commit.
 */
export class NewObjects {
  readonly #objects = new Map<Oid, { readonly type: ObjectType; readonly content: Buffer }>();

  /** @returns the object's id; the same content twice is one object */
  add(type: ObjectType, content: Buffer): Oid {
    const oid = present(parseOid(sha1([Buffer.from(`${type} ${content.length}\0`), content]).toString('hex')), 'an object id');
    this.#objects.set(oid, { type, content });
    return oid;
  }

  async pack(): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (const { type, content } of this.#objects.values()) parts.push(entryHead(type, content.length), await compress(content));
    return packOf(this.#objects.size, parts);
  }
}

export const emptyPack = (): Buffer => packOf(0, []);

/** Version 2: how many objects, each of them, and the SHA-1 of all that. */
function packOf(count: number, parts: readonly Buffer[]): Buffer {
  const head = Buffer.from('PACK\0\0\0\u0002\0\0\0\0');
  head.writeUInt32BE(count, 8);
  const all = [head, ...parts];
  return Buffer.concat([...all, sha1(all)]);
}

/** Of the pieces in a row, none of which is copied for it. */
function sha1(pieces: readonly Buffer[]): Buffer {
  const sum = createHash('sha1');
  for (const piece of pieces) sum.update(piece);
  return sum.digest();
}

/** Type and size: four bits of the size beside the type, then seven a byte. */
function entryHead(type: ObjectType, size: number): Buffer {
  const bytes = [(typeNumbers[type] << 4) | (size & 15)];
  for (let rest = Math.floor(size / 16); rest > 0; rest = Math.floor(rest / 128)) {
    bytes.push((bytes.pop() ?? 0) | 128, rest & 127);
  }
  return Buffer.from(bytes);
}
