import { type Readable, Transform, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { JobpassError } from '../base/errors.ts';

/**
 * Gives a program's standard input what another program says. One that ends early has had enough, as tar has at an archive's end mark, before
 * its end of file: the rest is read and dropped, so that who says it ends well too. Both ends are told by their exit codes.
 * @param mostBytes that are taken
 * @throws too_large; errors of `from`
 */
export async function pour(from: Readable, into: Writable, mostBytes = Number.POSITIVE_INFINITY): Promise<void> {
  let told: (() => void) | undefined;
  const next = (): void => {
    const done = told;
    told = undefined;
    done?.();
  };
  into.on('error', () => undefined);
  into.once('close', next);
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (into.destroyed) return done();
      told = done;
      into.write(chunk, next);
    },
  });
  try {
    await pipeline(from, atMost(mostBytes), sink);
  } finally {
    into.end();
  }
}

function atMost(bytes: number): Transform {
  let size = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length;
      if (size > bytes) done(new JobpassError('too_large', `The job left more than ${bytes} bytes.`));
      else done(null, chunk);
    },
  });
}
