import type { Clock } from '../../base/clock.ts';
import { JobpassError } from '../../base/errors.ts';
import type { AccessLevel, Visibility } from '../../base/levels.ts';
import type { Grant } from '../../pass/grant.ts';
import type { Viewers } from './ports.ts';

const width: Readonly<Record<Visibility, number>> = { private: 0, internal: 1, public: 2 };

/** Nothing is more visible than what it stands in. @throws invalid_input */
export function checkVisibility(wanted: Visibility, parent: Visibility): void {
  if (width[wanted] > width[parent])
    throw new JobpassError('invalid_input', {
      fields: { visibility_level: [`${wanted} is not allowed since the parent has a lower visibility`] },
    });
}

/** The one that fewer people see. */
export function narrower(one: Visibility, other: Visibility): Visibility {
  return width[one] <= width[other] ? one : other;
}

/** The grant's filter as the stores take it; a grant without one shows what an anonymous caller sees (R13). */
export function viewersOf(grant: Grant, clock: Clock, minLevel?: AccessLevel): Viewers {
  const filter = grant.filter ?? { principals: [] };
  return { ...filter, now: clock.now(), ...(minLevel === undefined ? {} : { minLevel }) };
}
