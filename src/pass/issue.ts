import type { EpochMillis, JobId, PassId, PipelineId, ProjectId } from '../base/ids.ts';
import { millis } from '../base/ids.ts';
import { newPassToken, type PassKind } from '../base/pass-token.ts';
import type { Secret } from '../base/secret.ts';
import type { PassLimit, PassPrincipal, PassStore } from '../ports/passes.ts';
import type { Tx } from '../ports/tx.ts';

/** What a job's passes are made from. */
export interface IssueRequest {
  readonly jobId: JobId;
  readonly pipelineId: PipelineId;
  readonly projectId: ProjectId;
  readonly sha: string;
  /** Ordered; the first started the job. */
  readonly principals: readonly PassPrincipal[];
  readonly ownProjectOnly: boolean;
  readonly chainDepth: number;
  /** The job's timeout in seconds; a pass outlives it by no more than what the last report needs. */
  readonly timeoutSeconds: number;
  /** What the job itself bounds its full pass to. */
  readonly limits?: readonly PassLimit[];
  /** What bounds both its passes: those that started the job were bounded so (R5). */
  readonly inherited?: readonly PassLimit[];
  /** Whether R7 lets the runner have the full pass. */
  readonly full: boolean;
  readonly now: EpochMillis;
}

export interface IssuedPasses {
  readonly fetch: { readonly id: PassId; readonly secret: Secret };
  readonly full: { readonly id: PassId; readonly secret: Secret } | null;
  readonly expiresAt: EpochMillis;
}

const leewayMs = 5 * 60_000;

/** Makes a job's passes in the transaction that starts the job: no pass without a running job, no second pair for it (A46). */
export async function issuePasses(passes: PassStore, tx: Tx, request: IssueRequest): Promise<IssuedPasses> {
  const expiresAt = millis(request.now + request.timeoutSeconds * 1000 + leewayMs);
  const make = async (kind: PassKind) => {
    const secret = newPassToken(kind);
    const { jobId, pipelineId, projectId, sha, principals, ownProjectOnly, chainDepth } = request;
    const id = await passes.insert(tx, {
      kind,
      digest: secret.digest(),
      jobId,
      pipelineId,
      projectId,
      sha,
      parentId: null,
      principals,
      ownProjectOnly,
      chainDepth,
      // The runner's own pulls are no matter of the script.
      limits: [...(request.inherited ?? []), ...(kind === 'fetch' ? [] : (request.limits ?? []))],
      issuedAt: request.now,
      expiresAt,
    });
    return { id, secret };
  };
  const fetch = await make('fetch');
  // Without provable principals only the own project is left: a full pass would say more than it can do (R3).
  const full = request.full && !request.ownProjectOnly ? await make('full') : null;
  return { fetch, full, expiresAt };
}
