import type { JobsDeps } from './deps.ts';

const atOnce = 100;

/**
 * An environment that is stopping although nothing stops it any more (its `on_stop` job failed or was canceled) is available again, so that it can be
 * stopped once more. @see GitLab, "Recover stuck stopping environments" (merge request 132300)
 */
export async function recoverStopping({ environments, transactor, clock, log }: JobsDeps): Promise<void> {
  if ((await environments.stuckStopping(null, atOnce)).length === 0) return;
  await transactor.write(async (tx) => {
    // Somebody may have started the job again meanwhile.
    for (const id of await environments.stuckStopping(tx, atOnce)) {
      await environments.change(tx, id, { state: 'available', updatedAt: clock.now() });
      log.info('environment.stop_failed', { environment: id });
    }
  });
}
