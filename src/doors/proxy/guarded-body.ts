import { JobpassError } from '../../base/errors.ts';
import type { Grant } from '../../pass/grant.ts';

/** The end of a body goes out only once the pass was found alive again: without its end nothing takes effect (R2). */
export async function* confirmed(grant: Grant, body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let held: Buffer | undefined;
  for await (const chunk of body) {
    if (held !== undefined) yield held;
    held = chunk;
  }
  await grant.confirm(null);
  if (held !== undefined) yield held;
}

/**
 * What a job writes where others read it, without a pass in it (R12).
 * @param found told of a piece, it says whether a pass stood in what came so far, which is revoked then
 * @throws credential_misplaced
 */
export async function* withoutPass(found: (piece: Buffer) => Promise<boolean>, body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const piece of body) {
    if (await found(piece)) throw new JobpassError('credential_misplaced', 'A pass stands in the body. It is revoked by now.');
    yield piece;
  }
}

/** @throws internal for what is no bytes */
export async function* piecesOf(source: AsyncIterable<unknown>): AsyncGenerator<Buffer> {
  for await (const chunk of source) {
    if (!Buffer.isBuffer(chunk)) throw new JobpassError('internal');
    yield chunk;
  }
}
