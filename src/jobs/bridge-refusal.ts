import type { BridgeFailure } from '../ports/jobs.ts';

/** Why a bridge triggers nothing; its reason and text go into its row. */
export class BridgeRefusal extends Error {
  readonly reason: BridgeFailure;

  constructor(reason: BridgeFailure, text: string) {
    super(text);
    this.reason = reason;
  }
}
