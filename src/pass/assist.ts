import type { EpochMillis, JobId } from '../base/ids.ts';
import type { RunnerRecord } from '../ports/runners.ts';
import type { Liveness, PassRecord, PassStore } from '../ports/passes.ts';
import type { MaybeTx } from '../ports/tx.ts';
import { deathOf } from './life.ts';

type Facts = Pick<RunnerRecord, 'assist' | 'trust' | 'pinned' | 'publicKey' | 'unsafeAccepted'>;

/** Doors at which a runner fetches; nowhere else does a job's ordinary token gain anything. */
const fetchDoors: ReadonlySet<string> = new Set(['git', 'lfs', 'registry']);

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
    return 'assist needs a gate verdict: run `jobpass gate --config config.toml --apply --server URL` at the runner, or set unsafe_accepted';
  if (assist === 'expose' && (trust !== 'full' || pinned?.verdict !== 'expose'))
    return 'assist expose needs trust full and a pinned gate verdict that says expose';
  return undefined;
}

export interface AssistDeps {
  readonly passes: PassStore;
  readonly liveness: Liveness;
  /** Left out where there are no runners of ours: then nobody is assisted. */
  readonly assist?: { assisting(tx: MaybeTx, job: JobId): Promise<Facts | undefined> };
}

/**
 * The fetch pass with whose rights a job's ordinary token is honoured at this door, because the job runs on an older runner with `assist`.
 * It is asked for each request and at each effect: it ends with the pass, the setting, the pin or the trust.
 */
export async function assistingPass(
  { passes, liveness, assist }: AssistDeps,
  job: JobId,
  door: string,
  secure: boolean,
  now: EpochMillis,
  tx: MaybeTx,
): Promise<PassRecord | undefined> {
  // What a pass may not travel over, its rights do not either (R16).
  if (assist === undefined || !secure || !fetchDoors.has(door)) return undefined;
  const runner = await assist.assisting(tx, job);
  if (runner === undefined || runner.assist === 'none' || assistProblem(runner) !== undefined) return undefined;
  const fetch = (await passes.forJob(tx, job)).find((pass) => pass.kind === 'fetch' && pass.parentId === null && pass.revokedAt === null);
  // By its id again: in a transaction that holds a revocation back until the effect is committed.
  const pass = fetch === undefined ? undefined : await passes.byId(tx, fetch.id);
  if (pass === undefined || deathOf(pass, await liveness.jobLife(tx, job), now) !== undefined) return undefined;
  return pass;
}
