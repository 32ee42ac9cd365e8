import { isoTime, isoTimeOrNull } from '../../base/clock.ts';
import { JobpassError } from '../../base/errors.ts';
import { parseId, type TokenId } from '../../base/ids.ts';
import type { Secret } from '../../base/secret.ts';
import type { TriggerRecord } from '../../ports/triggers.ts';
import { ParamError } from './errors.ts';
import { inputsOf } from './inputs.ts';
import { pageHeaders, pageOf } from './pagination.ts';
import { briefOf } from './people.ts';
import { presenter } from './job-presenter.ts';
import type { ApiDeps, Call, Handler, RouteTable } from './route.ts';
import { namedVariable } from './named-variable.ts';

const P = '/api/v4/projects/:id';
const T = `${P}/triggers`;

/** @see GitLab REST API, "Pipeline trigger tokens" */
export function triggerRoutes(deps: ApiDeps): RouteTable {
  const { triggers, pipelines } = deps.jobs;
  const show = presenter(deps);
  const idOf = (call: Call): TokenId => parseId<TokenId>(call.path('trigger_id')) ?? gone();
  /** Only its digest is kept, so that the token itself is in the answer that makes it and nowhere else. */
  const shown = async (one: TriggerRecord, secret?: Secret) => ({
    id: one.id,
    description: one.description,
    token: secret === undefined ? 'glpt' : secret.reveal(),
    created_at: isoTime(one.createdAt),
    updated_at: isoTime(one.createdAt),
    last_used: isoTimeOrNull(one.lastUsedAt),
    expires_at: isoTimeOrNull(one.expiresAt),
    owner: await briefOf(deps, one.ownerId),
  });
  const start =
    (refOf: (call: Call) => string): Handler =>
    async (call) => {
      const { identity } = call.grant;
      const byTrigger = identity.kind === 'user' && identity.scopes.includes('trigger_pipeline');
      // A personal token has POST …/pipeline; here GitLab asks for a trigger token.
      if (identity.kind === 'user' && !byTrigger) throw new ParamError('token is missing');
      const variables = call.params.pairs('variables').map(([key, value]) => namedVariable(key, value));
      const made = await pipelines.create(call.grant, call.project.id, {
        ref: refOf(call),
        variables,
        inputs: inputsOf(call.params),
        source: byTrigger ? 'trigger' : 'pipeline',
      });
      return { body: await show.pipeline(call, made) };
    };
  return {
    [`GET ${T}`]: async (call) => {
      const page = pageOf(call.params);
      const found = await triggers.list(call.grant, call.project.id, page);
      return { body: await Promise.all(found.rows.map((one) => shown(one))), headers: pageHeaders(page, found.total, call.url) };
    },
    [`GET ${T}/:trigger_id`]: async (call) => ({
      body: await shown((await triggers.one(call.grant, call.project.id, idOf(call))) ?? gone()),
    }),
    [`POST ${T}`]: async (call) => {
      const request = { description: call.params.text('description'), expiresAt: call.params.time('expires_at') ?? null };
      const { trigger, secret } = await triggers.create(call.grant, call.project.id, request);
      return { body: await shown(trigger, secret) };
    },
    [`PUT ${T}/:trigger_id`]: async (call) => ({
      body: await shown(await triggers.describe(call.grant, call.project.id, idOf(call), call.params.text('description'))),
    }),
    [`DELETE ${T}/:trigger_id`]: async (call) => {
      await triggers.remove(call.grant, call.project.id, idOf(call));
      return { status: 204 };
    },
    [`POST ${P}/trigger/pipeline`]: start((call) => call.params.text('ref')),
    [`POST ${P}/ref/:ref/trigger/pipeline`]: start((call) => call.path('ref')),
  };
}

function gone(): never {
  throw new JobpassError('not_found', { what: 'Trigger' });
}
