import type { Clock } from '../../src/base/clock.ts';
import { JobpassError } from '../../src/base/errors.ts';
import { type AuditId, type GroupId, id, type JobId, millis, type PassId, type PipelineId, type ProjectId } from '../../src/base/ids.ts';
import type { RunnerId, SecretDigest, TokenId, UserId } from '../../src/base/ids.ts';
import type { AccessLevel } from '../../src/base/levels.ts';
import { type PassKind, newPassToken } from '../../src/base/pass-token.ts';
import { Secret } from '../../src/base/secret.ts';
import type { AuditOutcome, AuditStore, NewAuditRow } from '../../src/ports/audit.ts';
import type { Ceilings } from '../../src/ports/ceilings.ts';
import type { Credentials, JobTokenFacts, PersonalToken } from '../../src/ports/credentials.ts';
import type { Directory, GroupFacts, ProjectFacts, ProtectedRef, UserFacts } from '../../src/ports/directory.ts';
import type { JobLife, Liveness, NewPass, PassRecord, PassStore } from '../../src/ports/passes.ts';
import type { Transactor, Tx } from '../../src/ports/tx.ts';
import type { RegistryToken, RegistryTokens } from '../../src/ports/registry-tokens.ts';

type Row = NewAuditRow & { outcome: AuditOutcome | null };

/** Everything behind the ports, in memory and open to the test. */
export class MemoryWorld {
  now = millis(1_800_000_000_000);
  readonly clock: Clock = { now: () => this.now, monotonic: () => this.now };
  readonly users = new Map<UserId, UserFacts>();
  readonly projects = new Map<ProjectId, ProjectFacts>();
  readonly groups = new Map<GroupId, GroupFacts>();
  /** `project:7 user:1` → level */
  readonly levels = new Map<string, AccessLevel>();
  readonly rules = new Map<ProjectId, ProtectedRef[]>();
  readonly jobs = new Map<JobId, JobLife>();
  readonly passRows: PassRecord[] = [];
  readonly personal = new Map<SecretDigest, PersonalToken>();
  readonly jobTokens = new Map<SecretDigest, JobTokenFacts>();
  readonly runners = new Map<SecretDigest, RunnerId>();
  readonly rows: Row[] = [];
  auditFails = false;
  /** Rows of a pass that are there already. */
  auditCount = 0;
  /** Transactions that liveness was asked inside of. */
  readonly lockedIn: (Tx | null)[] = [];

  user(number: number, change: Partial<UserFacts> = {}): UserId {
    const user = id<UserId>(number);
    this.users.set(user, { id: user, username: `user${number}`, name: `User ${number}`, state: 'active', isAdmin: false, ...change });
    return user;
  }

  /** A private project in the top-level group `root` (10 where not told). */
  project(number: number, levels: Readonly<Record<number, AccessLevel>> = {}, change: Partial<ProjectFacts> = {}): ProjectId {
    const project = id<ProjectId>(number);
    const root = change.rootGroupId ?? id<GroupId>(10);
    this.projects.set(project, {
      id: project,
      path: `group/p${number}`,
      visibility: 'private',
      archived: false,
      namespaceId: root,
      rootGroupId: root,
      defaultBranch: 'main',
      chainDepth: 0,
      ...change,
    });
    for (const [user, level] of Object.entries(levels)) this.levels.set(`project:${number} user:${user}`, level);
    return project;
  }

  setLevel(project: ProjectId, user: UserId, level: AccessLevel): void {
    this.levels.set(`project:${project} user:${user}`, level);
  }

  /** A running job whose pass the given users stand behind. */
  pass(kind: PassKind, principals: readonly UserId[], change: Partial<NewPass> = {}): { secret: Secret; record: PassRecord } {
    const secret = newPassToken(kind);
    const record: PassRecord = {
      id: id<PassId>(this.passRows.length + 1),
      kind,
      digest: secret.digest(),
      jobId: id<JobId>(1),
      pipelineId: id<PipelineId>(1),
      projectId: id<ProjectId>(1),
      sha: 'a'.repeat(40),
      parentId: null,
      principals: principals.map((userId, index) => ({ userId, reason: index === 0 ? 'starter' : 'pusher' })),
      ownProjectOnly: false,
      chainDepth: 0,
      issuedAt: this.now,
      expiresAt: millis(this.now + 3_600_000),
      revokedAt: null,
      revokedReason: null,
      ...change,
    };
    this.passRows.push(record);
    if (!this.jobs.has(record.jobId)) this.jobs.set(record.jobId, { state: 'running', cancelingSince: null, contactAt: this.now });
    return { secret, record };
  }

  endJob(job: number): void {
    this.jobs.set(id<JobId>(job), { state: 'ended', cancelingSince: null, contactAt: this.now });
  }

  personalToken(user: UserId, scopes: readonly string[] = ['api'], change: Partial<PersonalToken> = {}): Secret {
    const secret = new Secret(`glpat-${'p'.repeat(19)}${this.personal.size}`);
    const number = id<TokenId>(this.personal.size + 1);
    const dates = { createdAt: this.now, lastUsedAt: null, expiresAt: null, revokedAt: null };
    this.personal.set(secret.digest(), { id: number, userId: user, name: 'test', scopes, ...dates, ...change });
    return secret;
  }

  jobToken(user: UserId, job = 1, project = 1): Secret {
    const secret = new Secret(`glcbt-${'j'.repeat(39)}${this.jobTokens.size}`);
    this.jobTokens.set(secret.digest(), { jobId: id(job), projectId: id(project), pipelineId: id(1), userId: user });
    return secret;
  }

  readonly directory: Directory = {
    users: async (_tx, ids) => new Map(ids.flatMap((user) => [...this.users.entries()].filter(([known]) => known === user))),
    userByName: async (_tx, name) => [...this.users.values()].find(({ username }) => username === name),
    project: async (_tx, project) => this.projects.get(project),
    projectByPath: async (_tx, path) => [...this.projects.values()].find((project) => project.path === path),
    group: async (_tx, group) => this.groups.get(group),
    groupByPath: async (_tx, path) => [...this.groups.values()].find((group) => group.path === path),
    projectLevels: async (_tx, users, project) => this.#levelsOf(`project:${project}`, users),
    groupLevels: async (_tx, users, group) => this.#levelsOf(`group:${group}`, users),
    protectedRefs: async (_tx, project) => this.rules.get(project) ?? [],
  };

  #levelsOf(resource: string, users: readonly UserId[]): Map<UserId, AccessLevel> {
    return new Map(users.map((user) => [user, this.levels.get(`${resource} user:${user}`) ?? 0] as const).filter(([, level]) => level > 0));
  }

  readonly credentials: Credentials = {
    personalToken: async (_tx, digest) => this.personal.get(digest),
    jobToken: async (_tx, digest) => this.jobTokens.get(digest),
    runnerToken: async (_tx, digest) => this.runners.get(digest),
    registrationToken: () => Promise.resolve(undefined),
    touchPersonalToken: async () => {},
  };

  readonly passes: PassStore = {
    insert: async (_tx, pass) => {
      this.passRows.push({ ...pass, id: id<PassId>(this.passRows.length + 1), revokedAt: null, revokedReason: null });
      return id<PassId>(this.passRows.length);
    },
    byDigest: async (_tx, digest) => this.passRows.find((pass) => pass.digest === digest),
    byId: async (_tx, pass) => this.passRows.find((row) => row.id === pass),
    forJob: async (_tx, job) => this.passRows.filter((pass) => pass.jobId === job),
    revoke: async (_tx, pass, reason, at) => this.#revoke((row) => row.id === pass || row.parentId === pass, reason, at),
    revokeForJob: async (_tx, job, reason, at) => this.#revoke((row) => row.jobId === job, reason, at).length,
  };

  #revoke(which: (row: PassRecord) => boolean, revokedReason: string, revokedAt: PassRecord['issuedAt']): readonly PassId[] {
    const dead: PassId[] = [];
    for (const [index, row] of this.passRows.entries()) {
      if (!which(row) || row.revokedAt !== null) continue;
      this.passRows[index] = { ...row, revokedAt, revokedReason };
      dead.push(row.id);
    }
    return dead;
  }

  readonly liveness: Liveness = {
    jobLife: async (tx, job) => {
      this.lockedIn.push(tx);
      return this.jobs.get(job);
    },
  };

  readonly audit: AuditStore = {
    append: async (row) => {
      if (this.auditFails) throw new JobpassError('store_unavailable');
      this.rows.push({ ...row, outcome: null });
      return id<AuditId>(this.rows.length);
    },
    settle: async (row, outcome) => {
      const found = this.rows[row - 1];
      if (found !== undefined) found.outcome = outcome;
    },
    settleUnknown: async () => 0,
    countForPass: async () => this.auditCount,
    query: async () => [],
  };

  readonly transactor: Transactor = { write: (work) => work(makeTx()) };

  readonly registryRows = new Map<SecretDigest, RegistryToken>();
  readonly registryTokens: RegistryTokens = {
    insert: async (_tx, digest, token) => void this.registryRows.set(digest, token),
    byDigest: async (_tx, digest) => this.registryRows.get(digest),
    sweep: async () => 0,
  };

  /** All ports, for what is made from several of them. */
  /** Documents by `project:7`. */
  readonly ceilingRows = new Map<string, string>();
  readonly ceilings: Ceilings = {
    any: async () => this.ceilingRows.size > 0,
    of: async (_tx, owner) => this.ceilingRows.get(owner.kind === 'instance' ? 'instance' : `${owner.kind}:${owner.id}`),
    set: async () => {},
  };

  get ports() {
    const { directory, credentials, passes, liveness, registryTokens, ceilings, transactor, clock } = this;
    return { directory, credentials, passes, liveness, registryTokens, ceilings, transactor, clock, auditStore: this.audit };
  }
}

/** A transaction that is nothing but itself. */
export function makeTx(): Tx {
  return {} as Tx;
}
