import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Kysely } from 'kysely';
import { JobpassError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { ForgeStores } from '../forge/embedded/ports.ts';
import type { AuditStore } from '../ports/audit.ts';
import type { Ceilings } from '../ports/ceilings.ts';
import type { CommitStatusStore } from '../ports/commit-statuses.ts';
import type { Credentials } from '../ports/credentials.ts';
import type { Directory, FormerPaths } from '../ports/directory.ts';
import type { Environments } from '../ports/environments.ts';
import type { ExposureBounds } from '../ports/exposure.ts';
import type { ActingTokens, GatewayJobs, GatewayRunners, PassWrites } from '../ports/gateway.ts';
import type { FlowStore, ResourceGroups } from '../ports/flow.ts';
import type { PipelineIncludes } from '../ports/includes.ts';
import type { JobRights } from '../ports/job-rights.ts';
import type { JobStore } from '../ports/jobs.ts';
import type { RunnerStore } from '../ports/runners.ts';
import type { MergeRequestStore } from '../ports/merge-requests.ts';
import type { Nodes } from '../ports/nodes.ts';
import type { PackageStore } from '../ports/packages.ts';
import type { Liveness, PassStore } from '../ports/passes.ts';
import type { Revocations } from '../ports/revocations.ts';
import type { RegistryTokens } from '../ports/registry-tokens.ts';
import type { TrustedProjects } from '../ports/trust.ts';
import type { ScheduleStore } from '../ports/schedules.ts';
import type { Settings } from '../ports/settings.ts';
import type { TriggerStore } from '../ports/triggers.ts';
import type { Transactor } from '../ports/tx.ts';
import type { VariableStore } from '../ports/variables.ts';
import { type Connections, Database, type Engine } from './database.ts';
import { type ColumnTypes, migrate } from './migrations/migrations.ts';
import { lockPostgres, openKept, openListener, openPostgres, postgresTypes } from './postgres/database.ts';
import { postgresNodes } from './postgres/nodes.ts';
import { noRevocations, postgresRevocations } from './postgres/revocations.ts';
import { AuditRepository } from './repositories/audit.ts';
import { ceilingRepository } from './repositories/ceilings.ts';
import { commitStatusRepository } from './repositories/commit-statuses.ts';
import { directoryRepository, formerPathRepository } from './repositories/directory.ts';
import { actingTokenRepository, gatewayJobRepository, gatewayRunnerRepository, passWriteRepository } from './repositories/gateway.ts';
import { environmentRepository } from './repositories/environments.ts';
import { exposureBoundRepository } from './repositories/exposure-bounds.ts';
import { groupRepository } from './repositories/groups.ts';
import { imageRepository } from './repositories/images.ts';
import { flowRepository } from './repositories/flow.ts';
import { jobRightsRepository } from './repositories/job-rights.ts';
import { jobRepository } from './repositories/jobs.ts';
import { lfsRepository } from './repositories/lfs.ts';
import { memberRepository } from './repositories/members.ts';
import { livenessRepository, passRepository } from './repositories/passes.ts';
import { pipelineIncludeRepository } from './repositories/pipeline-includes.ts';
import { projectRepository } from './repositories/projects.ts';
import { protectedRefRepository, pushLogRepository } from './repositories/push-log.ts';
import { registryTokenRepository } from './repositories/registry-tokens.ts';
import { releaseRepository } from './repositories/releases.ts';
import { resourceGroupRepository } from './repositories/resource-groups.ts';
import { mergeRequestRepository } from './repositories/merge-requests.ts';
import { packageRepository } from './repositories/packages.ts';
import { scheduleRepository } from './repositories/schedules.ts';
import { runnerRepository } from './repositories/runners.ts';
import { triggerRepository } from './repositories/triggers.ts';
import { credentialRepository, tokenRepository } from './repositories/tokens.ts';
import { trustedProjectRepository } from './repositories/trusted-projects.ts';
import { userRepository } from './repositories/users.ts';
import { variableRepository } from './repositories/variables.ts';
import type { Schema } from './schema.ts';
import { openSqlite, sqliteTypes } from './sqlite/database.ts';
import { onlyNode } from './sqlite/nodes.ts';

/** Everything that is kept, on either engine. */
export interface Store {
  readonly engine: 'sqlite' | 'postgres';
  readonly transactor: Transactor;
  readonly directory: Directory;
  readonly formerPaths: FormerPaths;
  readonly credentials: Credentials;
  readonly passes: PassStore;
  readonly liveness: Liveness;
  readonly revocations: Revocations;
  /** Counts this process among those that serve the store. */
  readonly nodes: () => Promise<Nodes>;
  readonly audit: AuditStore;
  readonly jobs: JobStore;
  readonly commitStatuses: CommitStatusStore;
  readonly jobRights: JobRights;
  readonly mergeRequests: MergeRequestStore;
  readonly packages: PackageStore;
  readonly schedules: ScheduleStore;
  readonly triggers: TriggerStore;
  readonly runners: RunnerStore;
  readonly flow: FlowStore;
  readonly resourceGroups: ResourceGroups;
  readonly environments: Environments;
  readonly exposureBounds: ExposureBounds;
  readonly ceilings: Ceilings;
  readonly registryTokens: RegistryTokens;
  readonly trustedProjects: TrustedProjects;
  readonly pipelineIncludes: PipelineIncludes;
  /** Of a gateway. */
  readonly gatewayJobs: GatewayJobs;
  readonly actingTokens: ActingTokens;
  readonly passWrites: PassWrites;
  readonly gatewayRunners: GatewayRunners;
  readonly forge: ForgeStores;
  readonly settings: Settings;
  readonly variables: VariableStore;
  /** @throws store_unavailable */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens a store and brings its schema up to date.
 * @param url `sqlite:<path>` or `postgres://…`
 * @param log hears when writes fail, and when they do no more
 * @throws invalid_input, store_unavailable
 */
export async function openStore(url: string, log?: Log): Promise<Store> {
  const db = await connect(url, log);
  const audit = new AuditRepository(db);
  return {
    engine: db.engine.name,
    transactor: db,
    directory: directoryRepository(db),
    formerPaths: formerPathRepository(db),
    credentials: credentialRepository(db),
    passes: passRepository(db),
    liveness: livenessRepository(db),
    revocations: db.engine.notifies ? postgresRevocations(() => openListener(url)) : noRevocations,
    nodes: db.engine.notifies ? () => postgresNodes((lost) => openKept(url, lost)) : () => Promise.resolve(onlyNode),
    audit,
    jobs: jobRepository(db),
    commitStatuses: commitStatusRepository(db),
    jobRights: jobRightsRepository(db),
    mergeRequests: mergeRequestRepository(db),
    packages: packageRepository(db),
    schedules: scheduleRepository(db),
    triggers: triggerRepository(db),
    runners: runnerRepository(db),
    flow: flowRepository(db),
    resourceGroups: resourceGroupRepository(db),
    environments: environmentRepository(db),
    exposureBounds: exposureBoundRepository(db),
    ceilings: ceilingRepository(db),
    registryTokens: registryTokenRepository(db),
    trustedProjects: trustedProjectRepository(db),
    pipelineIncludes: pipelineIncludeRepository(db),
    gatewayJobs: gatewayJobRepository(db),
    actingTokens: actingTokenRepository(db),
    passWrites: passWriteRepository(db),
    gatewayRunners: gatewayRunnerRepository(db),
    forge: {
      users: userRepository(db),
      groups: groupRepository(db),
      projects: projectRepository(db),
      members: memberRepository(db),
      tokens: tokenRepository(db),
      protectedRefs: protectedRefRepository(db),
      pushLog: pushLogRepository(db),
      releases: releaseRepository(db),
      images: imageRepository(db),
      lfs: lfsRepository(db),
    },
    settings: settingsRepository(db),
    variables: variableRepository(db),
    ping: () => db.ping(),
    async close() {
      await audit.flush();
      await db.close();
    },
  };
}

async function connect(url: string, log: Log | undefined): Promise<Database> {
  if (url.startsWith('sqlite:')) {
    const path = url.slice('sqlite:'.length);
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    // `begin immediate` is the lock.
    const unlocked = () => Promise.resolve();
    return prepare({ name: 'sqlite', rowLocks: false, notifies: false }, () => openSqlite(path), sqliteTypes, unlocked, log);
  }
  if (/^postgres(?:ql)?:\/\//.test(url))
    return prepare({ name: 'postgres', rowLocks: true, notifies: true }, () => openPostgres(url), postgresTypes, lockPostgres, log);
  throw new JobpassError('invalid_input', 'The database is `sqlite:<path>` or `postgres://…`.');
}

/** Opens and migrates; where that fails nothing stays open. */
async function prepare(
  engine: Engine,
  open: () => Connections,
  types: ColumnTypes,
  lock: (tx: Kysely<Schema>) => Promise<void>,
  log: Log | undefined,
): Promise<Database> {
  let database: Database | undefined;
  try {
    const connections = open();
    database = new Database(engine, connections, log);
    await migrate(connections.writer, types, lock);
    return database;
  } catch (error) {
    await database?.close();
    if (error instanceof JobpassError) throw error;
    const text = `The ${engine.name} store did not open, or refused the schema. Check its address, its rights and its disk.`;
    throw new JobpassError('store_unavailable', text, error);
  }
}

function settingsRepository(db: Database): Settings {
  return {
    async get(tx, key) {
      return (await db.on(tx).selectFrom('settings').select('value').where('key', '=', key).executeTakeFirst())?.value;
    },
    async set(tx, key, value) {
      await db
        .on(tx)
        .insertInto('settings')
        .values({ key, value })
        .onConflict((conflict) => conflict.column('key').doUpdateSet({ value }))
        .execute();
    },
  };
}
