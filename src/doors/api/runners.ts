import { isoTimeOrNull } from '../../base/clock.ts';
import { JobpassError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import { type GroupId, parseId, type ProjectId, type RunnerId, type UserId } from '../../base/ids.ts';
import type { Secret } from '../../base/secret.ts';
import type { RunnerSettings } from '../../jobs/registration.ts';
import type { RunnerRecord } from '../../ports/runners.ts';
import type { Access } from '../../pass/subject.ts';
import { actorId } from './actor.ts';
import { ParamError } from './errors.ts';
import { pageHeaders, pageOf } from './pagination.ts';
import { manager, runner } from './present.ts';
import type { Params } from './params.ts';
import type { ApiDeps, RouteTable } from './route.ts';

/** @see GitLab REST API, "Users: create a runner linked to a user" and "Runners"; `trust` and `unsafe_accepted` are ours (DESIGN R7) */
export function runnerRoutes(deps: ApiDeps): RouteTable {
  const { runners } = deps.jobs;
  /** @returns null = its creator again */
  const responsibleOf = async (params: Params): Promise<UserId | null | undefined> => {
    const text = params.given('responsible_user_id') ? (params.optionalText('responsible_user_id') ?? '') : undefined;
    if (text === undefined || text === '') return text === undefined ? undefined : null;
    const user = parseId<UserId>(text);
    if (user === undefined || !(await deps.directory.users(null, [user])).has(user)) throw new ParamError('responsible_user_id is invalid');
    return user;
  };
  const idOf = (text: string): RunnerId => parseId<RunnerId>(text) ?? gone();
  return {
    'POST /api/v4/user/runners': async ({ params, admit }) => {
      const type = params.oneOf('runner_type', ['instance_type', 'group_type', 'project_type']);
      if (type === undefined) throw new ParamError('runner_type is missing');
      let access: Access = { permission: 'runner:write', resource: { kind: 'instance' } };
      let scopeId: number | null = null;
      if (type === 'project_type') {
        const id = parseId<ProjectId>(params.text('project_id')) ?? gone();
        access = { permission: 'project_runner:write', resource: { kind: 'project', id } };
        scopeId = id;
      } else if (type === 'group_type') {
        const id = parseId<GroupId>(params.text('group_id')) ?? gone();
        access = { permission: 'group_runner:write', resource: { kind: 'group', id } };
        scopeId = id;
      }
      const grant = await admit([access]);
      const tags = params.words('tag_list') ?? [];
      const maximumTimeoutSeconds = timeoutOf(params);
      const made = await runners.create(grant, {
        scope: type === 'instance_type' ? 'instance' : type === 'group_type' ? 'group' : 'project',
        scopeId,
        description: params.optionalText('description') ?? '',
        tags,
        runUntagged: params.flag('run_untagged') ?? tags.length === 0,
        protectedOnly: params.oneOf('access_level', ['not_protected', 'ref_protected']) === 'ref_protected',
        paused: params.flag('paused') ?? false,
        creatorId: actorId(grant),
        locked: params.flag('locked') ?? false,
        maintenanceNote: params.optionalText('maintenance_note') ?? '',
        maximumTimeoutSeconds: maximumTimeoutSeconds ?? null,
      });
      return { body: { id: made.runner.id, ...tokenBody(made) } };
    },
    'GET /api/v4/runners/all': async ({ grant, params, url }) => {
      const page = pageOf(params);
      const found = await runners.list(grant, page);
      return { body: found.rows.map(runner), headers: pageHeaders(page, found.total, url) };
    },
    'GET /api/v4/runners/:id': async ({ grant, path }) => ({ body: runner((await runners.one(grant, idOf(path('id')))) ?? gone()) }),
    'PUT /api/v4/runners/:id': async ({ grant, path, params }) => {
      const [description, paused, tags, runUntagged] = [
        params.optionalText('description'),
        params.flag('paused'),
        params.words('tag_list'),
        params.flag('run_untagged'),
      ];
      const trust = params.oneOf('trust', ['none', 'fetch', 'full']);
      const assist = params.oneOf('assist', ['none', 'fetch', 'expose']);
      const access = params.oneOf('access_level', ['not_protected', 'ref_protected']);
      const locked = params.flag('locked');
      const maintenanceNote = params.optionalText('maintenance_note');
      const maximumTimeoutSeconds = timeoutOf(params);
      const unsafeAccepted = params.flag('unsafe_accepted');
      const pinned = pinOf(params);
      const vouched = params.flag('vouched');
      const responsible = await responsibleOf(params);
      const changed = await runners.change(grant, idOf(path('id')), {
        ...(description === undefined ? {} : { description }),
        ...(paused === undefined ? {} : { paused }),
        ...(tags === undefined ? {} : { tags }),
        ...(runUntagged === undefined ? {} : { runUntagged }),
        ...(trust === undefined ? {} : { trust }),
        ...(assist === undefined ? {} : { assist }),
        ...(access === undefined ? {} : { protectedOnly: access === 'ref_protected' }),
        ...(locked === undefined ? {} : { locked }),
        ...(maintenanceNote === undefined ? {} : { maintenanceNote }),
        ...(maximumTimeoutSeconds === undefined ? {} : { maximumTimeoutSeconds }),
        ...(unsafeAccepted === undefined ? {} : { unsafeAccepted }),
        ...(pinned === undefined ? {} : { pinned }),
        ...(vouched === undefined ? {} : { vouched }),
        ...(responsible === undefined ? {} : { responsibleId: responsible }),
      });
      return { body: runner(changed ?? gone()) };
    },
    'DELETE /api/v4/runners/:id': async ({ grant, path }) => {
      if (!(await runners.remove(grant, idOf(path('id'))))) return gone();
      return { status: 204 };
    },
    'GET /api/v4/runners/:id/managers': async ({ grant, path }) => ({
      body: ((await runners.managers(grant, idOf(path('id')))) ?? gone()).map(manager),
    }),
    'POST /api/v4/runners/:id/reset_authentication_token': async ({ grant, path }) => ({
      body: tokenBody((await runners.resetToken(grant, idOf(path('id')))) ?? gone()),
    }),
    ...registrationRoutes(deps),
  };
}

/** @see GitLab REST API, "Runners: reset … registration token" and "Application settings", of which only what is about runners is here */
function registrationRoutes({ jobs: { registration } }: ApiDeps): RouteTable {
  const answer = async (secret: Promise<Secret>) => ({ body: { token: (await secret).reveal(), token_expires_at: null } });
  const shown = (settings: RunnerSettings) => ({
    body: {
      allow_runner_registration_token: settings.allowRegistrationToken,
      runner_token_expiration_interval: settings.tokenLifeSeconds,
    },
  });
  return {
    'POST /api/v4/runners/reset_registration_token': ({ grant }) => answer(registration.resetToken(grant, 'instance', null)),
    'POST /api/v4/projects/:id/runners/reset_registration_token': ({ grant, project }) =>
      answer(registration.resetToken(grant, 'project', project.id)),
    'POST /api/v4/groups/:id/runners/reset_registration_token': ({ grant, group }) =>
      answer(registration.resetToken(grant, 'group', group.id)),
    'GET /api/v4/application/settings': async ({ grant }) => shown(await registration.settings(grant)),
    'PUT /api/v4/application/settings': async ({ grant, params }) => {
      const allow = params.flag('allow_runner_registration_token');
      const life = params.integer('runner_token_expiration_interval');
      if (life !== undefined && (life < minTokenLifeSeconds || life > maxTokenLifeSeconds))
        throw new ParamError('runner_token_expiration_interval is invalid: two hours at least');
      return shown(
        await registration.changeSettings(grant, {
          ...(allow === undefined ? {} : { allowRegistrationToken: allow }),
          ...(params.given('runner_token_expiration_interval') ? { tokenLifeSeconds: life ?? null } : {}),
        }),
      );
    },
  };
}

const minTokenLifeSeconds = 7200;
const maxTokenLifeSeconds = 10 * 365 * 86_400;

function tokenBody({ runner: { tokenExpiresAt }, secret }: { readonly runner: RunnerRecord; readonly secret: Secret }) {
  return { token: secret.reveal(), token_expires_at: isoTimeOrNull(tokenExpiresAt) };
}

/** `maximum_timeout` in seconds; null = none any more. @returns undefined where it was not sent */
function timeoutOf(params: Params): number | null | undefined {
  const seconds = params.integer('maximum_timeout');
  if (seconds === undefined) return params.given('maximum_timeout') ? null : undefined;
  if (seconds < 600) throw new ParamError('maximum_timeout needs to be at least 10 minutes');
  if (seconds > limits.runnerTimeoutSeconds) throw new ParamError('maximum_timeout is a year at most');
  return seconds;
}

const maxReasonLength = 300;
// They are printed on terminals.
const controls = /[\u0000-\u001f\u007f-\u009f]/;

/** `pinned_verdict` with `pinned_reasons[]`; null or `none` clears the pin, an empty one may be a mistake. @returns undefined where it was not sent */
function pinOf(params: Params): { readonly verdict: 'withhold' | 'expose'; readonly reasons: readonly string[] } | null | undefined {
  const reasons = params.texts('pinned_reasons');
  if (!params.given('pinned_verdict')) {
    if (reasons !== undefined) throw new ParamError('pinned_verdict is missing');
    return undefined;
  }
  const verdict = params.has('pinned_verdict') ? params.oneOf('pinned_verdict', ['withhold', 'expose', 'none']) : 'none';
  if (verdict === undefined) throw new ParamError('pinned_verdict is empty');
  if (verdict === 'none') return null;
  if (reasons?.some((one) => one.length > maxReasonLength || controls.test(one)) === true)
    throw new ParamError('pinned_reasons is invalid');
  return { verdict, reasons: reasons ?? [] };
}

function gone(): never {
  throw new JobpassError('not_found', {});
}
