import type { EpochMillis, ProjectId, SecretDigest } from '../base/ids.ts';
import type { MaybeTx, Tx } from './tx.ts';

/** docker's words for what a token may do in a project's images. */
export type ImageAction = 'pull' | 'push' | 'delete';

/** A registry token: the credential that it was had for again, and less (A48). */
export interface RegistryToken {
  /** The credential behind it, by its digest. */
  readonly parent: { readonly kind: 'pass' | 'user' | 'job'; readonly digest: SecretDigest };
  readonly scope: readonly { readonly projectId: ProjectId; readonly actions: readonly ImageAction[] }[];
  readonly expiresAt: EpochMillis;
}

export interface RegistryTokens {
  insert(tx: Tx, digest: SecretDigest, token: RegistryToken): Promise<void>;
  byDigest(tx: MaybeTx, digest: SecretDigest): Promise<RegistryToken | undefined>;
  /** Removes those that expired before. @returns how many */
  sweep(tx: Tx, before: EpochMillis): Promise<number>;
}
