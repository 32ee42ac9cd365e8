import type { ApiDeps, RouteTable } from './route.ts';

/** @see GitLab REST API, "Version" and "Metadata" */
export function instanceRoutes(deps: ApiDeps): RouteTable {
  // Clients ask for GitLab's version to know what they may call.
  const version = { version: `17.0.0-jobpass.${deps.version}`, revision: 'jobpass' };
  return {
    'GET /api/v4/version': async () => ({ body: version }),
    'GET /api/v4/metadata': async () => ({
      body: { ...version, enterprise: false, kas: { enabled: false, externalUrl: null, version: null } },
    }),
  };
}
