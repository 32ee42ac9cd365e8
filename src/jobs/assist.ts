import type { RunnerRecord } from '../ports/jobs.ts';

type Facts = Pick<RunnerRecord, 'assist' | 'trust' | 'pinned' | 'publicKey' | 'unsafeAccepted'>;

/**
 * Why a runner may not have the `assist` level that it is set to; undefined where it may (DESIGN §3). Both levels hand rights to the job, so
 * both need what the gate said of the runner's configuration, pinned by an admin, or an admin's word that it is accepted as unsafe. Asked
 * when it is set, and again at each use.
 */
export function assistProblem({ assist, trust, pinned, publicKey, unsafeAccepted }: Facts): string | undefined {
  if (assist === 'none') return undefined;
  if (publicKey !== null) return 'assist is for runners that know no passes; this one has a key of its own and needs none';
  if (trust === 'none') return "assist needs trust fetch at least; the runner's trust is none";
  if (pinned?.verdict === 'withhold' && !unsafeAccepted)
    return 'the pinned gate verdict says withhold: assist would hand rights to jobs that nothing keeps apart (unsafe_accepted overrides that)';
  if (pinned === null && !unsafeAccepted)
    return 'assist needs a gate verdict: run `jobpass gate --config config.toml --apply`, or set unsafe_accepted';
  if (assist === 'expose' && (trust !== 'full' || pinned?.verdict !== 'expose'))
    return 'assist expose needs trust full and a pinned gate verdict that says expose';
  return undefined;
}
