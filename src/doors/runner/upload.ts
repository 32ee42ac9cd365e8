import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { Busboy } from '@fastify/busboy';
import { JobpassError } from '../../base/errors.ts';

/**
 * Streams the part `file` of a multipart body.
 * @param store takes the stream; it fails where the client hangs up, so that half an archive is never kept
 * @throws invalid_input, and what `store` throws
 */
export function receiveUpload(request: IncomingMessage, store: (filename: string, body: Readable) => Promise<number>): Promise<number> {
  return new Promise((resolve, reject) => {
    const type = request.headers['content-type'];
    if (type === undefined || !type.startsWith('multipart/form-data'))
      return reject(new JobpassError('invalid_input', 'Send multipart/form-data with the part `file`.'));
    const malformed = (): void => reject(new JobpassError('invalid_input', 'The multipart body is malformed.'));
    // Who hung up before is not heard to do so any more.
    if (request.destroyed) return malformed();
    const parser = new Busboy({
      headers: { ...request.headers, 'content-type': type },
      limits: { files: 1, fields: 10, parts: 11, headerPairs: 50 },
    });
    let stored: Promise<number> | undefined;
    parser.on('file', (field, stream, filename) => {
      if (field !== 'file') return void stream.resume();
      // It may break off before the store has begun to read it, and would end the server.
      stream.on('error', () => undefined);
      const name = filename.replaceAll(/[^\w.-]/g, '_').slice(0, 100);
      stored = store(name === '' ? 'artifacts.zip' : name, stream);
      stored.catch((error: unknown) => {
        stream.resume();
        reject(error instanceof Error ? error : new JobpassError('internal'));
      });
      // A part that breaks off is an error, not an end: half an archive must not be kept. What had come and was not read is lost as well.
      request.once('close', () => {
        if (!request.readableEnded) stream.destroy(new Error('hung up'));
      });
    });
    parser.on('error', malformed);
    parser.on('finish', () => {
      if (stored === undefined) reject(new JobpassError('invalid_input', 'The part `file` is missing.'));
      else stored.then(resolve, reject);
    });
    // The parser never finishes over a part that has no head: once all is read and stored, it has nothing more to wait for.
    request.once('end', () => {
      const late = (): void => void setImmediate(malformed);
      Promise.resolve(stored).then(late, late);
    });
    request.once('close', () => {
      if (!request.readableEnded) parser.destroy(new Error('hung up'));
    });
    request.pipe(parser);
  });
}
