import type { Jobs } from '../../jobs/jobs.ts';
import type { BoundOwner } from '../../ports/exposure.ts';
import { actorId } from './actor.ts';
import { ParamError } from './errors.ts';
import type { Params } from './params.ts';
import type { Call, RouteTable } from './route.ts';

/** Ours: how much of their pass scripts may see (DESIGN R7). `{"max_exposure": "withhold" | "variable" | "replace" | null}` */
export function boundRoutes(deps: { readonly jobs: Pick<Jobs, 'bounds'> }): RouteTable {
  const { bounds } = deps.jobs;
  const show = async ({ grant }: Call, owner: BoundOwner) => ({ body: { max_exposure: await bounds.maximum(grant, owner) } });
  const set = async ({ grant, params }: Call, owner: BoundOwner) => {
    const maximum = maximumOf(params);
    await bounds.setMaximum(grant, owner, maximum);
    return { body: { max_exposure: maximum } };
  };
  const project = (call: Call): BoundOwner => ({ kind: 'project', id: call.project.id });
  const self = (call: Call): BoundOwner => ({ kind: 'user', id: actorId(call.grant) });
  return {
    'GET /api/v4/projects/:id/jobpass': (call) => show(call, project(call)),
    'PUT /api/v4/projects/:id/jobpass': (call) => set(call, project(call)),
    'GET /api/v4/user/jobpass': (call) => show(call, self(call)),
    'PUT /api/v4/user/jobpass': (call) => set(call, self(call)),
  };
}

/** `null` or an empty text takes the bound away; leaving it out is a mistake, not a wish (R13). */
function maximumOf(params: Params) {
  if (!params.given('max_exposure')) throw new ParamError('max_exposure is missing');
  return params.oneOf('max_exposure', ['withhold', 'variable', 'replace']) ?? null;
}
