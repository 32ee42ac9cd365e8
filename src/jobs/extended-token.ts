import type { Addresses } from '../base/addresses.ts';
import { isoTime } from '../base/clock.ts';
import { inputsKey } from '../pass/inputs-key.ts';
import type { IssuedPasses } from '../pass/issue.ts';
import type { Principals } from '../pass/principals.ts';
import type { Directory } from '../ports/directory.ts';
import type { JobRecord } from '../ports/jobs.ts';
import type { Exposure, ExtendedJobToken } from '../wire/runner.ts';
import type { JobLimits } from './job-limits.ts';

/** What was decided about a job's passes. */
interface Decided {
  readonly job: Pick<JobRecord, 'id'>;
  readonly protected: boolean;
  readonly principals: Principals;
  readonly exposure: Exposure;
  readonly why: string;
  readonly bounded: JobLimits;
}

/** The payload's own field: the passes that were made for the job, and in words why these and whose rights they are (DESIGN §3). */
export async function extendedToken(
  { addresses, directory }: { readonly addresses: Addresses; readonly directory: Directory },
  prepared: Decided,
  passes: IssuedPasses,
): Promise<ExtendedJobToken> {
  const users = await directory.users(
    null,
    prepared.principals.list.map((principal) => principal.userId),
  );
  const names = prepared.principals.list.map(
    ({ userId, reason }) => `${users.get(userId)?.username ?? `user ${userId}`} (${reason.replaceAll('_', ' ')})`,
  );
  const exposure = passes.full === null ? 'withhold' : prepared.exposure;
  return {
    ...(passes.full === null ? {} : { token: passes.full.secret.reveal() }),
    fetch_token: passes.fetch.secret.reveal(),
    username: 'gitlab-ci-token',
    expires_at: isoTime(passes.expiresAt),
    exposure,
    notes: [
      prepared.why,
      ...prepared.bounded.notes,
      `rights of: ${names.join(' ∩ ')}`,
      ...(prepared.principals.ownProjectOnly
        ? [`fetches its own project only: ${prepared.principals.notes.join('; ')}`]
        : prepared.principals.notes),
    ],
    hosts: { api: addresses.urls, git: addresses.urls, registry: addresses.registryHosts },
    inputs_key: inputsKey(prepared.protected, prepared.principals, prepared.job.id),
  };
}
