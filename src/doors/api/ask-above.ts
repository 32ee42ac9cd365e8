import { isJobpassError } from '../../base/errors.ts';
import type { AskAbove } from '../../jobs/jobs.ts';
import type { Call } from './route.ts';

/** May who asks change pipelines of the project that triggered this one? A no is an ordinary answer. */
export function askAbove(call: Call): AskAbove {
  return async (id) => {
    try {
      return await call.admit([{ permission: 'pipeline:update', resource: { kind: 'project', id } }]);
    } catch (error) {
      if (isJobpassError(error, 'not_found') || isJobpassError(error, 'access_denied') || isJobpassError(error, 'credential_missing'))
        return undefined;
      throw error;
    }
  };
}
