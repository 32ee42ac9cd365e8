import { isoTime, isoTimeOrNull } from '../../base/clock.ts';
import { JobpassError } from '../../base/errors.ts';
import { parseId } from '../../base/ids.ts';
import type { ScheduleRequest } from '../../jobs/schedules.ts';
import type { ScheduleId, ScheduleRecord, ScheduleVariable } from '../../ports/schedules.ts';
import { ParamError } from './errors.ts';
import { namedInputs } from './inputs.ts';
import { pageHeaders, pageOf } from './pagination.ts';
import type { Params } from './params.ts';
import { briefOf } from './people.ts';
import type { ApiDeps, Call, RouteTable } from './route.ts';

const S = '/api/v4/projects/:id/pipeline_schedules';

/** @see GitLab REST API, "Pipeline schedules" */
export function scheduleRoutes(deps: ApiDeps): RouteTable {
  const { schedules } = deps.jobs;
  const idOf = (call: Call): ScheduleId => parseId<ScheduleId>(call.path('schedule_id')) ?? gone();
  const brief = async (one: ScheduleRecord) => ({
    id: one.id,
    description: one.description,
    ref: one.ref,
    cron: one.cron,
    cron_timezone: one.timezone,
    next_run_at: isoTimeOrNull(one.nextRunAt),
    active: one.active,
    created_at: isoTime(one.createdAt),
    updated_at: isoTime(one.updatedAt),
    owner: await briefOf(deps, one.ownerId),
    /** Ours: why its last run made no pipeline, or why it is off. */
    jobpass_problem: one.problem,
  });
  const whole = async (call: Call, one: ScheduleRecord) => {
    const last = await schedules.lastPipeline(call.grant, one);
    return {
      ...(await brief(one)),
      last_pipeline: last === undefined ? null : { id: last.id, sha: last.sha, ref: last.ref, status: last.status },
      ...((await schedules.mayManage(call.grant, one))
        ? { variables: one.variables.map(variable), inputs: one.inputs.map(({ name, value }) => ({ name, value })) }
        : {}),
    };
  };
  return {
    [`GET ${S}`]: async (call) => {
      const page = pageOf(call.params);
      const scope = call.params.oneOf('scope', ['active', 'inactive']);
      const found = await schedules.list(call.grant, call.project.id, scope === undefined ? {} : { active: scope === 'active' }, page);
      return { body: await Promise.all(found.rows.map(brief)), headers: pageHeaders(page, found.total, call.url) };
    },
    [`POST ${S}`]: async (call) => {
      const { params } = call;
      const made = await schedules.create(call.grant, call.project.id, {
        description: params.text('description'),
        ref: params.text('ref'),
        cron: params.text('cron'),
        timezone: params.optionalText('cron_timezone') ?? 'UTC',
        active: params.flag('active') ?? true,
        ...namedInputs(params),
      });
      return { body: await whole(call, made) };
    },
    [`GET ${S}/:schedule_id`]: async (call) => ({
      body: await whole(call, (await schedules.one(call.grant, call.project.id, idOf(call))) ?? gone()),
    }),
    [`PUT ${S}/:schedule_id`]: async (call) => {
      const changed = await schedules.change(call.grant, call.project.id, idOf(call), changeOf(call.params));
      return { body: await whole(call, changed) };
    },
    [`DELETE ${S}/:schedule_id`]: async (call) => {
      await schedules.remove(call.grant, call.project.id, idOf(call));
      return { status: 204 };
    },
    [`POST ${S}/:schedule_id/play`]: async (call) => {
      const made = await schedules.play(call.grant, call.project.id, idOf(call));
      if (made === undefined) throw new JobpassError('invalid_input', { fields: { base: ['Missing CI config file: .gitlab-ci.yml'] } });
      return { body: { message: '201 Created' } };
    },
    [`POST ${S}/:schedule_id/take_ownership`]: async (call) => ({
      body: await whole(call, await schedules.takeOwnership(call.grant, call.project.id, idOf(call))),
    }),
    [`POST ${S}/:schedule_id/variables`]: async (call) => {
      const made = variableOf(call.params, call.params.text('key'));
      return { body: variable(await schedules.setVariable(call.grant, call.project.id, idOf(call), made, 'new')) };
    },
    [`PUT ${S}/:schedule_id/variables/:key`]: async (call) => {
      const made = variableOf(call.params, call.path('key'));
      return { body: variable(await schedules.setVariable(call.grant, call.project.id, idOf(call), made, 'known')) };
    },
    // GitLab answers 202 with what was deleted.
    [`DELETE ${S}/:schedule_id/variables/:key`]: async (call) => ({
      status: 202,
      body: variable(await schedules.removeVariable(call.grant, call.project.id, idOf(call), call.path('key'))),
    }),
  };
}

function changeOf(params: Params): Partial<ScheduleRequest> {
  const [description, ref, cron, timezone] = ['description', 'ref', 'cron', 'cron_timezone'].map((field) => params.optionalText(field));
  const active = params.flag('active');
  return {
    ...(description === undefined ? {} : { description }),
    ...(ref === undefined ? {} : { ref }),
    ...(cron === undefined ? {} : { cron }),
    ...(timezone === undefined ? {} : { timezone }),
    ...(active === undefined ? {} : { active }),
    ...namedInputs(params),
  };
}

function variable({ key, value }: ScheduleVariable) {
  return { key, variable_type: 'env_var', value, raw: false };
}

function variableOf(params: Params, key: string): { key: string; value: string } {
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,254}$/.test(key)) throw new ParamError('key is invalid');
  if (params.optionalText('variable_type') === 'file')
    throw new JobpassError('unsupported', 'Variables of the type file are not supported in schedules.');
  const value = params.optionalText('value');
  if (value === undefined) throw new ParamError('value is missing');
  return { key, value };
}

function gone(): never {
  throw new JobpassError('not_found', { what: 'Pipeline schedule' });
}
