import type { EpochMillis, TokenId, UserId } from '../base/ids.ts';
import type { Page, Paged } from '../base/page.ts';
import type { Secret } from '../base/secret.ts';
import type { Grant } from '../pass/grant.ts';

export interface ImpersonationToken {
  readonly id: TokenId;
  readonly userId: UserId;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly createdAt: EpochMillis;
  readonly lastUsedAt: EpochMillis | null;
  readonly expiresAt: EpochMillis | null;
  readonly revoked: boolean;
}

/** Tokens by which an administrator's program acts as somebody; the user does not see them. All need user:update. @see GitLab, "Impersonation tokens" */
export interface ImpersonationForge {
  impersonations(grant: Grant, user: UserId, page: Page): Promise<Paged<ImpersonationToken>>;
  /** The secret is shown this once. */
  createImpersonation(
    grant: Grant,
    user: UserId,
    request: { readonly name: string; readonly scopes: readonly string[]; readonly expiresAt: EpochMillis | null },
  ): Promise<{ readonly token: ImpersonationToken; readonly secret: Secret }>;
  /** @returns false where the user has no such token */
  revokeImpersonation(grant: Grant, user: UserId, id: TokenId): Promise<boolean>;
}
