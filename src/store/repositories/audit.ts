import type { Selectable } from 'kysely';
import { JobpassError } from '../../base/errors.ts';
import {
  type AuditId,
  type EpochMillis,
  id,
  type JobId,
  millis,
  type PassId,
  type PipelineId,
  type ProjectId,
  type UserId,
} from '../../base/ids.ts';
import type { AuditOutcome, AuditRow, AuditStore, NewAuditRow } from '../../ports/audit.ts';
import { type Database, readJson } from '../database.ts';
import type { AuditTable } from '../schema.ts';

interface Waiting {
  readonly row: NewAuditRow;
  readonly resolve: (id: AuditId) => void;
  readonly reject: (error: unknown) => void;
}

interface Settled {
  readonly id: AuditId;
  readonly outcome: AuditOutcome;
  readonly detail: string | null;
  readonly at: EpochMillis;
}

const columns = [
  'at',
  'decision',
  'subject',
  'passId',
  'passKind',
  'jobId',
  'pipelineId',
  'jobProjectId',
  'principals',
  'accesses',
  'door',
  'endpoint',
  'rule',
  'reason',
  'requestId',
  'count',
  'outcome',
  'outcomeAt',
  'outcomeDetail',
] as const;

const settleDelayMs = 50;
/** More rows than this in one commit would keep the other writers waiting. */
const groupSize = 200;
/** Outcomes that are kept while the store does not answer. */
const keptOutcomes = 10_000;

/** The trail's rows. Appends of the same moment share one commit (a disk flush is what they cost); outcomes ride along with the next. */
export class AuditRepository implements AuditStore {
  readonly #db: Database;
  #waiting: Waiting[] = [];
  readonly #insert;
  readonly #settle;
  #outcomes: Settled[] = [];
  #running: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(db: Database) {
    this.#db = db;
    this.#insert = db.prepared(columns, (on, row: ReturnType<typeof fromRow>) => on.insertInto('audit').values(row).returning('id'));
    this.#settle = db.prepared(['id', 'outcome', 'detail', 'at'], (on, { id: auditId, outcome, detail, at }: Settled) =>
      on
        .updateTable('audit')
        .set({ outcome, outcomeAt: at, outcomeDetail: detail })
        .where('id', '=', auditId)
        // What really happened replaces the `unknown` that another node's start wrote meanwhile.
        .where((eb) => eb.or([eb('outcome', 'is', null), eb('outcome', '=', 'unknown')])),
    );
  }

  append(row: NewAuditRow): Promise<AuditId> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ row, resolve, reject });
      this.#start();
    });
  }

  settle(auditId: AuditId, outcome: AuditOutcome, detail: string | null, at: EpochMillis): Promise<void> {
    this.#outcomes.push({ id: auditId, outcome, detail, at });
    this.#startLater();
    return Promise.resolve();
  }

  /** Writes what waits, before closing; ends when nothing is left, or the store takes no more. */
  async flush(): Promise<void> {
    const backlog = (): number => this.#waiting.length + this.#outcomes.length;
    let before = Infinity;
    while (this.#running !== undefined || backlog() < before) {
      before = backlog();
      this.#start();
      await this.#running;
    }
    clearTimeout(this.#timer);
  }

  async settleUnknown(at: EpochMillis): Promise<number> {
    return this.#db.write(async (tx) => {
      const done = await this.#db
        .on(tx)
        .updateTable('audit')
        .set({ outcome: 'unknown', outcomeAt: at })
        .where('decision', '=', 'allow')
        .where('outcome', 'is', null)
        .executeTakeFirst();
      return Number(done.numUpdatedRows);
    });
  }

  async countForPass(tx: Parameters<AuditStore['countForPass']>[0], pass: PassId): Promise<number> {
    const row = await this.#db
      .on(tx)
      .selectFrom('audit')
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .where('passId', '=', pass)
      .executeTakeFirstOrThrow();
    return row.count;
  }

  async query(query: Parameters<AuditStore['query']>[0]): Promise<readonly AuditRow[]> {
    let rows = this.#db.on(null).selectFrom('audit').selectAll();
    if (query.jobId !== undefined) rows = rows.where('jobId', '=', query.jobId);
    if (query.userId !== undefined) rows = rows.where('principals', 'like', `%,${query.userId},%`);
    if (query.decision !== undefined) rows = rows.where('decision', '=', query.decision);
    if (query.projectId !== undefined) {
      const { projectId } = query;
      rows = rows.where((eb) => eb.or([eb('jobProjectId', '=', projectId), eb('accesses', 'like', `%@project:${projectId}"%`)]));
    }
    if (query.afterId !== undefined)
      return (await rows.where('id', '>', query.afterId).orderBy('id').limit(query.limit).execute()).map(toRow);
    return (await rows.orderBy('id', 'desc').limit(query.limit).execute()).map(toRow).toReversed();
  }

  #start(): void {
    if (this.#running !== undefined) return;
    if (this.#waiting.length === 0 && this.#outcomes.length === 0) return;
    this.#running = this.#writeGroup().finally(() => {
      this.#running = undefined;
      if (this.#waiting.length > 0) this.#start();
      else if (this.#outcomes.length > 0) this.#startLater();
    });
  }

  #startLater(): void {
    this.#timer ??= setTimeout(() => this.#start(), settleDelayMs).unref();
  }

  async #writeGroup(): Promise<void> {
    // One turn of the loop lets everything that is being asked right now join this commit.
    await new Promise(setImmediate);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const group = this.#waiting.splice(0, groupSize);
    const outcomes = this.#outcomes.splice(0, groupSize);
    try {
      const ids = await this.#db.write(async (tx) => {
        for (const outcome of outcomes) await this.#settle(tx, outcome);
        const made: AuditId[] = [];
        for (const { row } of group) for (const inserted of await this.#insert(tx, fromRow(row))) made.push(id<AuditId>(inserted.id));
        return made;
      });
      for (const [index, waiting] of group.entries()) {
        const auditId = ids[index];
        if (auditId !== undefined) waiting.resolve(auditId);
      }
    } catch (error) {
      // Allows that could not be written are not granted (R10). Outcomes are tried again; those lost with the process are `unknown` at the next start.
      this.#outcomes = [...outcomes, ...this.#outcomes].slice(0, keptOutcomes);
      for (const waiting of group) waiting.reject(new JobpassError('audit_unavailable', {}, error));
    }
  }
}

function fromRow(row: NewAuditRow) {
  return {
    ...row,
    principals: `,${row.principals.join(',')},`,
    accesses: JSON.stringify(row.accesses),
    outcome: null,
    outcomeAt: null,
    outcomeDetail: null,
  };
}

function toRow(row: Selectable<AuditTable>): AuditRow {
  const subjects = ['pass', 'job', 'user', 'runner', 'anonymous', 'system', 'creators', 'bridge'] as const;
  const outcomes = ['done', 'failed', 'refused', 'cut', 'unknown'] as const;
  const kinds = ['full', 'fetch', 'narrowed'] as const;
  return {
    id: id<AuditId>(row.id),
    at: millis(row.at),
    decision: row.decision === 'allow' ? 'allow' : 'deny',
    subject: subjects.find((subject) => subject === row.subject) ?? 'anonymous',
    passId: row.passId === null ? null : id<PassId>(row.passId),
    passKind: kinds.find((kind) => kind === row.passKind) ?? null,
    jobId: row.jobId === null ? null : id<JobId>(row.jobId),
    pipelineId: row.pipelineId === null ? null : id<PipelineId>(row.pipelineId),
    jobProjectId: row.jobProjectId === null ? null : id<ProjectId>(row.jobProjectId),
    principals: row.principals
      .split(',')
      .filter((part) => part !== '')
      .map((part) => id<UserId>(Number(part))),
    accesses: readJson<string[]>(row.accesses),
    door: row.door,
    endpoint: row.endpoint,
    rule: row.rule,
    reason: row.reason,
    requestId: row.requestId,
    count: row.count,
    outcome: outcomes.find((outcome) => outcome === row.outcome) ?? null,
    outcomeAt: row.outcomeAt === null ? null : millis(row.outcomeAt),
    outcomeDetail: row.outcomeDetail,
  };
}
