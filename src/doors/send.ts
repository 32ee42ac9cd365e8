import type { ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/**
 * Sends a body, and ends it however that goes. A plain `pipeline` leaves its source as it is where the client had left before: a file or a git would stay open for
 * nobody.
 * @throws what either side broke off with
 */
export async function send(body: Readable, response: ServerResponse, options: { readonly end?: boolean } = {}): Promise<void> {
  try {
    await pipeline(body, response, options);
  } finally {
    body.destroy();
  }
}
