import type { Readable } from 'node:stream';

/**
 * Takes the engine's frames apart: one byte of stream, three of nothing, four of length, then as many bytes of output.
 * Resolves when the container has closed its side.
 * @see Docker Engine API, "Attach to a container: stream format"
 */
export function demultiplex(stream: Readable, onOutput: (bytes: Buffer) => void): Promise<void> {
  let header = Buffer.alloc(0);
  let left = 0;
  stream.on('data', (chunk: Buffer) => {
    let bytes = chunk;
    while (bytes.length > 0) {
      if (left === 0) {
        const wanted = 8 - header.length;
        header = Buffer.concat([header, bytes.subarray(0, wanted)]);
        bytes = bytes.subarray(wanted);
        if (header.length < 8) break;
        left = header.readUInt32BE(4);
        header = Buffer.alloc(0);
      } else {
        const part = bytes.subarray(0, left);
        left -= part.length;
        bytes = bytes.subarray(part.length);
        onOutput(part);
      }
    }
  });
  return new Promise((resolve) => {
    stream.once('end', () => resolve());
    stream.once('close', () => resolve());
    // A container that was killed may cut its streams.
    stream.once('error', () => resolve());
  });
}
