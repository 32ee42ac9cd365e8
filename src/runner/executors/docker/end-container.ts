import { setTimeout as delay } from 'node:timers/promises';
import type { Engine } from '../../engine/engine.ts';

/** How long a script may take to tidy up after SIGTERM. */
const graceMs = 5000;
/** For an engine to tell a container's programs; one that takes longer is told to end the container itself. */
const tellMs = 2000;

/**
 * All in there hear SIGTERM, and what is left after a while is killed. An engine would tell the first process alone, and a shell neither passes it on nor heeds
 * it while it waits for a program; told first, it heeds it as soon as that program has ended.
 */
export async function endContainer(engine: Engine, container: string): Promise<void> {
  const tell = engine.exec(container, ['sh', '-c', 'kill -TERM 1; kill -TERM -1']);
  const told = await Promise.race([tell.then(() => true).catch(() => false), delay(tellMs, false, { ref: false })]);
  if (told) {
    await delay(graceMs, undefined, { ref: false });
    await engine.callLoosely('POST', `/containers/${container}/kill`);
  } else await engine.callLoosely('POST', `/containers/${container}/stop?t=${graceMs / 1000}`);
}
