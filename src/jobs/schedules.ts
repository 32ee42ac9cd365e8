import { present } from '../base/assert.ts';
import { JobpassError } from '../base/errors.ts';
import { type EpochMillis, type ProjectId, type RefName, type UserId, zeroOid } from '../base/ids.ts';
import { limits } from '../base/limits.ts';
import type { Page, Paged } from '../base/page.ts';
import { type Grant, verifyGrant } from '../pass/grant.ts';
import { type InputArguments, readArguments } from '../pipeline/inputs.ts';
import type { PipelineRecord } from '../ports/jobs.ts';
import type { ScheduleChange, ScheduleId, ScheduleInput, ScheduleRecord, ScheduleVariable } from '../ports/schedules.ts';
import type { MaybeTx, Tx } from '../ports/tx.ts';
import { createPipeline } from './create.ts';
import { nextRun, parseCron, parseTimezone } from './cron.ts';
import type { JobsDeps } from './deps.ts';
import { checkInputs } from './given.ts';
import { mayRunOn, refText } from './ref-rights.ts';

export interface ScheduleRequest {
  readonly description: string;
  /** A branch or tag, short or in full. */
  readonly ref: string;
  readonly cron: string;
  readonly timezone: string;
  readonly active: boolean;
  /** Added to those that are there, or in their place. */
  readonly inputs: InputArguments;
  /** Inputs that go. */
  readonly removedInputs: readonly string[];
}

/** Pipelines by the clock, in the name of who owns them. Reading: schedule:read; all else: schedule:write, never a pass's (R5). */
export interface Schedules {
  list(grant: Grant, project: ProjectId, filter: { readonly active?: boolean }, page: Page): Promise<Paged<ScheduleRecord>>;
  one(grant: Grant, project: ProjectId, id: ScheduleId): Promise<ScheduleRecord | undefined>;
  /** Whether the one who asks may change it, and so see its variables: its owner or a maintainer, and never a pass. */
  mayManage(grant: Grant, schedule: ScheduleRecord): Promise<boolean>;
  /** Of a schedule that was read with this grant. */
  lastPipeline(grant: Grant, schedule: ScheduleRecord): Promise<PipelineRecord | undefined>;
  /** @throws invalid_input, access_denied (no right to run on the ref), too_large */
  create(grant: Grant, project: ProjectId, request: ScheduleRequest): Promise<ScheduleRecord>;
  /** Somebody else's schedule becomes the editor's own (A4). @throws not_found, invalid_input, access_denied */
  change(grant: Grant, project: ProjectId, id: ScheduleId, change: Partial<ScheduleRequest>): Promise<ScheduleRecord>;
  remove(grant: Grant, project: ProjectId, id: ScheduleId): Promise<void>;
  takeOwnership(grant: Grant, project: ProjectId, id: ScheduleId): Promise<ScheduleRecord>;
  setVariable(
    grant: Grant,
    project: ProjectId,
    id: ScheduleId,
    variable: { readonly key: string; readonly value: string },
    mode: 'new' | 'known',
  ): Promise<ScheduleVariable>;
  removeVariable(grant: Grant, project: ProjectId, id: ScheduleId, key: string): Promise<ScheduleVariable>;
  /** Runs it now, in the name of who asks. */
  play(grant: Grant, project: ProjectId, id: ScheduleId): Promise<PipelineRecord | undefined>;
}

const maintainer = 40;
const notYours = 'Only its owner or a maintainer of the project may change a schedule.';

export function makeSchedules(deps: JobsDeps): Schedules {
  const { schedules, transactor, clock, directory } = deps;
  const reads = (grant: Grant, project: ProjectId): void =>
    verifyGrant(grant, grant.accesses.some(({ permission }) => permission === 'schedule:write') ? 'schedule:write' : 'schedule:read', {
      kind: 'project',
      id: project,
    });
  const actorOf = (grant: Grant, project: ProjectId): UserId => {
    verifyGrant(grant, 'schedule:write', { kind: 'project', id: project });
    const [actor] = grant.principals;
    if (actor === undefined) throw new JobpassError('credential_missing');
    return actor;
  };
  const one = async (tx: MaybeTx, project: ProjectId, id: ScheduleId): Promise<ScheduleRecord | undefined> => {
    const found = await schedules.byId(tx, id);
    return found?.projectId === project ? found : undefined;
  };
  const manages = async (tx: MaybeTx, actor: UserId, schedule: ScheduleRecord): Promise<boolean> => {
    if (schedule.ownerId === actor) return true;
    const level = (await directory.projectLevels(tx, [actor], schedule.projectId, clock.now())).get(actor) ?? 0;
    return level >= maintainer || (await directory.users(tx, [actor])).get(actor)?.isAdmin === true;
  };
  const checkRight = async (tx: Tx, actor: UserId, project: ProjectId, ref: RefName): Promise<void> => {
    if (!(await mayRunOn(deps, tx, [actor], project, refOf(ref), true))) throw new JobpassError('access_denied', refText);
  };
  const resolveRef = async (grant: Grant, project: ProjectId, name: string): Promise<RefName> => {
    const found = await deps.forge.repository.resolve(grant, project, name);
    if (found?.ref === undefined || found.ref === null) throw invalid('ref', 'is not a branch or tag of the project');
    return found.ref;
  };

  /** One change under the schedule's lock; whoever makes it owns the schedule from then on (A4). */
  async function edit(
    grant: Grant,
    project: ProjectId,
    id: ScheduleId,
    work: (tx: Tx, schedule: ScheduleRecord, actor: UserId) => Promise<ScheduleChange>,
  ): Promise<ScheduleRecord> {
    const actor = actorOf(grant, project);
    return transactor.write(async (tx) => {
      await grant.confirm(tx);
      const schedule = await schedules.lock(tx, id);
      if (schedule?.projectId !== project) throw gone();
      if (!(await manages(tx, actor, schedule))) throw new JobpassError('access_denied', notYours);
      const change = await work(tx, schedule, actor);
      await checkRight(tx, actor, project, change.ref ?? schedule.ref);
      await schedules.change(tx, id, { ...change, ownerId: actor, updatedAt: clock.now() });
      return present(await one(tx, project, id), 'the schedule');
    });
  }

  return {
    async list(grant, project, filter, page) {
      reads(grant, project);
      return schedules.list(null, project, filter, page);
    },
    async one(grant, project, id) {
      reads(grant, project);
      return one(null, project, id);
    },
    async mayManage(grant, schedule) {
      const { identity } = grant;
      return identity.kind === 'user' && manages(null, identity.userId, schedule);
    },
    async lastPipeline(grant, schedule) {
      reads(grant, schedule.projectId);
      return schedule.lastPipelineId === null ? undefined : deps.jobs.pipeline(null, schedule.lastPipelineId);
    },
    async create(grant, project, request) {
      const actor = actorOf(grant, project);
      const ref = await resolveRef(grant, project, request.ref);
      const { description, cron, timezone, active, inputs } = request;
      const nextRunAt = timeOf({ cron, timezone }, clock.now());
      checkDescription(description);
      return transactor.write(async (tx) => {
        await grant.confirm(tx);
        await checkRight(tx, actor, project, ref);
        if ((await schedules.list(tx, project, {}, { page: 1, perPage: 1 })).total >= limits.schedulesPerProject)
          throw new JobpassError('too_large', `A project has at most ${limits.schedulesPerProject} schedules.`);
        const fields = { projectId: project, description, ref, cron, timezone, active, nextRunAt };
        const made = await schedules.insert(tx, { ...fields, ownerId: actor, describedBy: actor, createdAt: clock.now() }, []);
        await schedules.change(tx, made.id, { inputs: inputsWith([], inputs, [], actor) });
        return present(await one(tx, project, made.id), 'the schedule');
      });
    },
    async change(grant, project, id, { ref: name, inputs = {}, removedInputs = [], ...change }) {
      const ref = name === undefined ? undefined : await resolveRef(grant, project, name);
      if (change.description !== undefined) checkDescription(change.description);
      return edit(grant, project, id, async (_tx, schedule, actor) => {
        const cron = change.cron ?? schedule.cron;
        const timezone = change.timezone ?? schedule.timezone;
        return {
          ...change,
          inputs: inputsWith(schedule.inputs, inputs, removedInputs, actor),
          ...(ref === undefined ? {} : { ref }),
          ...(change.description === undefined ? {} : { describedBy: actor }),
          nextRunAt: timeOf({ cron, timezone }, clock.now()),
          ...(change.active === true ? { problem: null } : {}),
        };
      });
    },
    async remove(grant, project, id) {
      const actor = actorOf(grant, project);
      await transactor.write(async (tx) => {
        await grant.confirm(tx);
        const schedule = await schedules.lock(tx, id);
        if (schedule?.projectId !== project) throw gone();
        if (!(await manages(tx, actor, schedule))) throw new JobpassError('access_denied', notYours);
        await schedules.remove(tx, id);
      });
    },
    takeOwnership: (grant, project, id) => edit(grant, project, id, async () => ({})),
    async setVariable(grant, project, id, { key, value }, mode) {
      const made = await edit(grant, project, id, async (tx, schedule, actor) => {
        const known = schedule.variables.some((variable) => variable.key === key);
        if (known && mode === 'new') throw invalid('key', `(${key}) has already been taken`);
        if (!known && mode === 'known') throw gone('Pipeline schedule variable');
        if (!known && schedule.variables.length >= limits.variablesPerPipeline)
          throw new JobpassError('too_large', `At most ${limits.variablesPerPipeline} variables.`);
        if (Buffer.byteLength(value) > limits.variableBytes)
          throw new JobpassError('too_large', `A variable has at most ${limits.variableBytes} bytes.`);
        await schedules.putVariable(tx, id, { key, value, setBy: actor });
        return {};
      });
      return present(
        made.variables.find((variable) => variable.key === key),
        'the variable',
      );
    },
    async removeVariable(grant, project, id, key) {
      const held: ScheduleVariable[] = [];
      await edit(grant, project, id, async (tx, schedule) => {
        held.push(...schedule.variables.filter((variable) => variable.key === key));
        if (!(await schedules.removeVariable(tx, id, key))) throw gone('Pipeline schedule variable');
        return {};
      });
      return present(held[0], 'the variable');
    },
    async play(grant, project, id) {
      const actor = actorOf(grant, project);
      const schedule = await one(null, project, id);
      if (schedule === undefined) throw gone();
      return runSchedule(deps, grant, schedule, actor, async (tx) => {
        await grant.confirm(tx);
        await checkRight(tx, actor, project, schedule.ref);
      });
    },
  };
}

/**
 * Makes the pipeline of a schedule.
 * @param grant covers a permission that looks up refs
 * @param user in whose name; whoever set its variables or its description is a creator beside (R3)
 * @throws not_found where the ref or the project is gone, and what `confirm` throws
 */
export async function runSchedule(
  deps: JobsDeps,
  grant: Grant,
  schedule: ScheduleRecord,
  user: UserId,
  confirm: (tx: Tx) => Promise<void>,
): Promise<PipelineRecord | undefined> {
  const { projectId, ref } = schedule;
  const project = await deps.directory.project(null, projectId);
  const found = await deps.forge.repository.resolve(grant, projectId, ref);
  if (project === undefined || found === undefined) throw new JobpassError('not_found', { what: 'Reference' });
  const { name, tag } = refOf(ref);
  const made = await createPipeline(deps, {
    project,
    ref: name,
    tag,
    sha: found.oid,
    beforeSha: zeroOid,
    source: 'schedule',
    creators: [...new Set([user, schedule.describedBy, ...[...schedule.variables, ...schedule.inputs].map(({ setBy }) => setBy)])],
    parentJobId: null,
    passId: null,
    chainDepth: 0,
    variables: schedule.variables.map(({ key, value }) => ({ key, value })),
    inputs: readArguments(Object.fromEntries(schedule.inputs.map(({ name, value }) => [name, value]))) ?? {},
    sourceVariables: { CI_PIPELINE_SCHEDULE_DESCRIPTION: schedule.description },
    confirm,
  });
  if (made !== undefined)
    await deps.transactor.write((tx) => deps.schedules.change(tx, schedule.id, { lastPipelineId: made.id, problem: null }));
  return made;
}

/** Whoever gives one answers for it, whoever owns the schedule (R3). @throws too_large */
function inputsWith(
  known: readonly ScheduleInput[],
  given: InputArguments,
  removed: readonly string[],
  setBy: UserId,
): readonly ScheduleInput[] {
  const others = known.filter(({ name }) => !Object.hasOwn(given, name) && !removed.includes(name));
  const inputs = [...others, ...Object.entries(given).map(([name, value]) => ({ name, value, setBy }))];
  checkInputs(Object.fromEntries(inputs.map(({ name, value }) => [name, JSON.stringify(value)])));
  return inputs;
}

/** A full ref as pipelines name it. */
export function refOf(ref: RefName): { readonly name: string; readonly tag: boolean } {
  return { name: ref.replace(/^refs\/(?:heads|tags)\//, ''), tag: ref.startsWith('refs/tags/') };
}

/** @throws invalid_input for a line or zone that cannot be read, and for a time that never comes */
export function timeOf({ cron, timezone }: Pick<ScheduleRequest, 'cron' | 'timezone'>, now: EpochMillis): EpochMillis {
  const parsed = parseCron(cron);
  if (parsed === undefined)
    throw invalid(
      'cron',
      'is invalid syntax: five fields (minute hour day month weekday) of numbers, names, lists, ranges and steps, or @daily and the like',
    );
  const zone = parseTimezone(timezone);
  if (zone === undefined) throw invalid('cron_timezone', 'is invalid: it must be a zone of the IANA list, such as Europe/Berlin');
  const next = nextRun(parsed, now, zone);
  if (next === undefined) throw invalid('cron', 'names a time that never comes');
  return next;
}

function checkDescription(text: string): void {
  if (text.trim() === '') throw invalid('description', "can't be blank");
  if (text.length > 1000) throw invalid('description', 'is too long (maximum is 1000 characters)');
}

function invalid(field: string, text: string): JobpassError {
  return new JobpassError('invalid_input', { fields: { [field]: [text] } });
}

function gone(what = 'Pipeline schedule'): JobpassError {
  return new JobpassError('not_found', { what });
}
