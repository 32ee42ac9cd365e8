import { type EndpointMatch, isNeverAllowed, matchGatewayEndpoint } from '../policy/match.ts';
import type { Refusal } from './subject.ts';

/** What a pass hears on a route that no door serves for it (R5, R13). */
export function passRouteRefusal(method: string, path: string): Refusal {
  if (isNeverAllowed(method, path)) {
    return {
      code: 'never_allowed',
      rule: 'R5',
      message: 'No pass may ever do this: it would outlive the job or raise rights. A person has to.',
    };
  }
  return { code: 'unlisted_route', rule: 'R13', message: 'This route is in no list, so a pass may not use it.' };
}

/** The endpoint row of a request to a GitLab; undefined = unlisted, so a pass may not use it there (R13). */
export function gatewayRoute(method: string, path: string): EndpointMatch | undefined {
  return isNeverAllowed(method, path) ? undefined : matchGatewayEndpoint(method, path);
}
