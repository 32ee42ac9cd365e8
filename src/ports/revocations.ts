import type { JobId, PassId } from '../base/ids.ts';

/** What has died, as told by the transaction that ended it. */
export type Revoked = { readonly kind: 'job'; readonly jobId: JobId } | { readonly kind: 'passes'; readonly passIds: readonly PassId[] };

/**
 * Ends of passes that other processes committed (R2, DESIGN §6). Told at once where the store can; what is lost while the connection is away is found by
 * asking, so nothing may rest on being told.
 */
export interface Revocations {
  /** @returns how to stop */
  listen(told: (revoked: Revoked) => void): Promise<() => Promise<void>>;
}
