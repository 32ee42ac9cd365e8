import { JobpassError } from '../../base/errors.ts';
import { type Identity, jobBehind } from '../../pass/grant.ts';

/** For one user or job, or for all who sign in with nothing: each is a process, and may stay as long as its client moves anything. */
const mostOpen = 64;

/** Counts the gits that work for each asker at once, over git and over the API, so that nobody takes the machine from the others (A65). */
export class OpenGits {
  readonly #open = new Map<string, number>();

  /** @returns to be called when git is over @throws rate_limited */
  enter(identity: Identity): () => void {
    const asker = askerOf(identity);
    const open = (this.#open.get(asker) ?? 0) + 1;
    if (open > mostOpen) {
      const who = identity.kind === 'anonymous' ? 'without a token' : 'for one user or job';
      throw new JobpassError('rate_limited', {
        message: `At most ${mostOpen} clones, fetches, pushes and questions of repositories at once ${who}.`,
        retryAfterSeconds: 5,
      });
    }
    this.#open.set(asker, open);
    return () => {
      const left = (this.#open.get(asker) ?? 1) - 1;
      if (left === 0) this.#open.delete(asker);
      else this.#open.set(asker, left);
    };
  }
}

/** All passes of a job are in the same hands. */
function askerOf(identity: Identity): string {
  const job = jobBehind(identity);
  if (job !== undefined) return `job ${job}`;
  return identity.kind === 'user' ? `user ${identity.userId}` : identity.kind;
}
