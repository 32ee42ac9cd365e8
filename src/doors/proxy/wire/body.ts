import type { StreamedBody } from './call.ts';

/** Where a body goes. */
export interface BodySink {
  /** @returns false = wait for `resume` */
  piece(bytes: Buffer): boolean;
  end(): void;
  fail(error: Error): void;
}

/** A body on its way up, until it is over or nobody wants it any more. */
export interface BodyFlow {
  resume(): void;
  /** What is left of it goes nowhere. */
  stop(): void;
}

export function flow({ stream, lent }: StreamedBody, sink: BodySink): BodyFlow {
  const piece = (bytes: Buffer): void => {
    if (!sink.piece(bytes)) stream.pause();
  };
  const end = (): void => {
    forget();
    sink.end();
  };
  const fail = (error: Error): void => {
    forget();
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
      forget();
      if (lent) stream.resume();
      else stream.destroy();
    },
  };
}
