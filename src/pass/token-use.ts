import type { Clock } from '../base/clock.ts';
import type { TokenId } from '../base/ids.ts';
import type { Credentials } from '../ports/credentials.ts';
import type { Transactor } from '../ports/tx.ts';

interface TokenUseDeps {
  readonly transactor: Transactor;
  readonly credentials: Pick<Credentials, 'touchPersonalToken'>;
  readonly clock: Clock;
}

/** Known at a time; past that they are written once more. */
const most = 10_000;
const everyMs = 60_000;

/**
 * Remembers when a personal token was used last (`last_used_at`), once a minute at most: a person sees which of them nobody needs, or somebody else uses. Beside the
 * request, which does not wait for it.
 */
export function makeTokenUse({ transactor, credentials, clock }: TokenUseDeps): (token: TokenId) => void {
  const noted = new Map<TokenId, number>();
  return (tokenId) => {
    const now = clock.now();
    if (now - (noted.get(tokenId) ?? -Infinity) < everyMs) return;
    if (noted.size >= most) noted.clear();
    noted.set(tokenId, now);
    // Where it is not taken, the next use tries again; that writes fail is told by the store.
    transactor.write((tx) => credentials.touchPersonalToken(tx, tokenId, now)).catch(() => noted.delete(tokenId));
  };
}
