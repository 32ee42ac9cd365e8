/** As large as what is read at once. */
const spareBytes = 64 * 1024;
const sparesKept = 64;
const spares: Buffer[] = [];

/** A copy of a piece that is about to be overwritten. Memory for large ones is used over and over: to ask for it costs more than the copy. */
export interface Kept {
  readonly bytes: Buffer;
  /** Nobody reads it any more. */
  free(): void;
}

export function keep(piece: Buffer): Kept {
  if (piece.length < spareBytes / 4 || piece.length > spareBytes) return { bytes: Buffer.from(piece), free() {} };
  const whole = spares.pop() ?? Buffer.allocUnsafeSlow(spareBytes);
  piece.copy(whole);
  return {
    bytes: whole.subarray(0, piece.length),
    free() {
      if (spares.length < sparesKept) spares.push(whole);
    },
  };
}

/**
 * What to do when a piece that nobody else holds was written: its memory, which is its own, is given back at once. Left to the collector, whose measure it is, it
 * makes it mark the whole heap for every 40 MB of a body: more work than all the rest of carrying it.
 */
export function release({ buffer, byteLength }: Buffer): (error?: Error | null) => void {
  return (error) => {
    // One that is cut off may still be read by the system; a part of something larger is not its own.
    if ((error === undefined || error === null) && buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
  };
}
