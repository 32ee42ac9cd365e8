import type { Secret } from '../base/secret.ts';
import type { PassRecord } from './passes.ts';

/** Where a pass was found, in words and ids, never in contents. */
export interface LeakPlace {
  readonly door: string;
  /** Such as `a push to project 7`. */
  readonly what: string;
  readonly requestId: string;
}

/** A leaked pass is a dead pass (R12). */
export interface Leaks {
  /**
   * Revokes a pass that was found where it must not be, writes that to the audit trail, and logs it; once for each pass.
   * @returns what it was before; undefined where it is no pass of ours. Its `revokedAt` tells whether it was alive.
   */
  revoke(pass: Secret, place: LeakPlace): Promise<PassRecord | undefined>;
  /** All that a search found. @returns how many of them were alive */
  revokeAll(found: Iterable<string>, place: LeakPlace): Promise<number>;
}
