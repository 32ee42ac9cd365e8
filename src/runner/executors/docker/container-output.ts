import { setTimeout as delay } from 'node:timers/promises';
import type { Readable } from 'node:stream';
import { demultiplex } from '../../engine/demultiplex.ts';

/** An engine that has said nothing for so long after a container's end says nothing more. */
const silenceMs = 2000;

/**
 * Hears what a container says.
 * @returns what to call once the container has ended: it resolves when nothing more comes. What the engine still has comes as fast as this machine lets
 * it, so that only its end, or silence, is the end
 */
export function hear(output: Readable, onOutput: (bytes: Buffer) => void, patienceMs = silenceMs): () => Promise<void> {
  let heardAt = 0;
  const heard = demultiplex(output, (bytes) => {
    heardAt = performance.now();
    onOutput(bytes);
  });
  return async () => {
    const endedAt = performance.now();
    const silent = async (): Promise<void> => {
      for (let left = patienceMs; left > 0; left = Math.max(endedAt, heardAt) + patienceMs - performance.now()) await delay(left);
    };
    await Promise.race([heard, silent()]);
    output.destroy();
  };
}
