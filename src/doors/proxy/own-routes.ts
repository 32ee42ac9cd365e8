import type { Gatekeeper } from '../../pass/subject.ts';
import type { Secret } from '../../base/secret.ts';
import { apiSurface } from '../api/api-door.ts';
import { auditRoutes } from '../api/audit.ts';
import { boundRoutes } from '../api/bounds.ts';
import { type CeilingRouteDeps, ceilingRoutes } from '../api/ceilings.ts';
import { type JobPassRouteDeps, jobPassRoutes } from '../api/job-passes.ts';
import { type ApiDeps, registerRoutes, type RouteDeps, type RouteTable } from '../api/route.ts';
import { trustRoutes } from '../api/trust.ts';
import type { Jobs } from '../../jobs/jobs.ts';
import type { Door } from '../door.ts';
import { registerWebhook, type WebhookDeps } from './webhook.ts';

export interface OwnRouteDeps extends Omit<RouteDeps, 'gatekeeper'> {
  readonly gatekeepers: Gatekeepers;
  readonly prove: (token: Secret) => Promise<'admin' | 'user' | 'nobody'>;
  readonly jobs: CeilingRouteDeps['jobs'] & JobPassRouteDeps['jobs'] & Pick<Jobs, 'bounds' | 'trust'>;
  readonly audit: ApiDeps['audit'];
  readonly ping: () => Promise<void>;
  readonly webhook: WebhookDeps;
}

/** Two judges that differ in one thing: whether an administrator's power counts. */
export interface Gatekeepers {
  readonly user: Gatekeeper;
  readonly admin: Gatekeeper;
}

/** What below the forge's own API is jobpass's, at these paths only. */
const ownApi = /^\/api\/v4\/(?:(?:groups|projects)\/[^/]+\/|projects\/[^/]+\/jobs\/[^/]+\/|user\/)?jobpass(?:\/|$)/;

/** True for what the gateway answers itself. */
export function isOwn(path: string): boolean {
  return path.startsWith('/-/jobpass/') || ownApi.test(path);
}

/**
 * What the gateway answers itself, beside the OAuth routes: that it is there, and for people with their own token of the forge the settings that bound
 * passes (R3, R4, R7) and the trail (R10). Who asks, and what that person may, is the forge's word.
 */
export function makeOwnRoutes(deps: OwnRouteDeps): Door {
  const own: RouteDeps & OwnRouteDeps = { ...deps, gatekeeper: proving(deps) };
  return {
    kind: 'routes',
    name: 'gateway',
    register(app) {
      apiSurface(app, own);
      app.get('/-/jobpass/health', async (_request, reply) => {
        await deps.ping();
        return reply.type('application/json').send('{"status":"ok"}');
      });
      registerWebhook(app, deps.webhook);
      registerRoutes(app, own, {
        ...auditRoutes(own),
        ...boundRoutes(own),
        ...withoutInstance(ceilingRoutes(own)),
        ...trustRoutes(own),
        ...jobPassRoutes(own),
      });
    },
  };
}

/** The instance's ceiling is its operator's, who writes it in a file. */
function withoutInstance(table: RouteTable): RouteTable {
  return Object.fromEntries(Object.entries(table).filter(([name]) => !/^(?:PUT|DELETE) \/api\/v4\/jobpass\/ceiling$/.test(name)));
}

/** Whose token it is has to be asked of the forge before anything is decided. */
function proving({ gatekeepers: { user, admin }, prove }: OwnRouteDeps): Gatekeeper {
  return {
    ...user,
    async admit(subject, accesses, context) {
      const proven = subject.kind === 'secret' ? await prove(subject.secret) : 'nobody';
      return (proven === 'admin' ? admin : user).admit(subject, accesses, context);
    },
  };
}
