import type { StreamedBody } from './call.ts';

/** Where a body goes. */
export interface BodySink {
  /** @returns false = wait for `resume` */
  pieces(pieces: readonly Buffer[]): boolean;
  end(): void;
  fail(error: Error): void;
}

/** A body on its way up, until it is over or nobody wants it any more. */
export interface BodyFlow {
  resume(): void;
  /** What is left of it goes nowhere. */
  stop(): void;
}

/**
 * What has come by the end of a turn goes up at once: by then the answer of a forge that wants no more was heard. To write where nobody reads any more would
 * end the connection, and the answer with it.
 */
export function flow({ stream, lent }: StreamedBody, sink: BodySink): BodyFlow {
  const waiting: Buffer[] = [];
  let [planned, ended, stopped] = [false, false, false];
  const send = (): void => {
    planned = false;
    if (stopped) return;
    if (waiting.length > 0 && !sink.pieces(waiting.splice(0))) stream.pause();
    if (ended && !stopped) sink.end();
  };
  const plan = (): void => {
    if (!planned) setImmediate(send);
    planned = true;
  };
  const piece = (bytes: Buffer): void => {
    waiting.push(bytes);
    plan();
  };
  const end = (): void => {
    ended = true;
    forget();
    plan();
  };
  const fail = (error: Error): void => {
    forget();
    if (stopped) return;
    stopped = true;
    sink.fail(error);
  };
  const early = (): void => {
    if (!stream.readableEnded) fail(new Error('the body breaks off'));
  };
  const forget = (): void => void stream.off('data', piece).off('end', end).off('close', early);
  stream.on('data', piece).once('end', end).on('error', fail).once('close', early);
  return {
    resume: () => void stream.resume(),
    stop() {
      stopped = true;
      forget();
      if (lent) stream.resume();
      else stream.destroy();
    },
  };
}
