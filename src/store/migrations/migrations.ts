import { type Kysely, sql } from 'kysely';
import { JobpassError } from '../../base/errors.ts';
import type { Schema } from '../schema.ts';
import { initial } from './0001-initial.ts';
import { registry } from './0002-registry.ts';
import { lfs } from './0003-lfs.ts';
import { exposure } from './0004-exposure.ts';
import { registryTokens } from './0005-registry-tokens.ts';
import { ceilings } from './0006-ceilings.ts';
import { trust } from './0007-trust.ts';
import { runnerManagers } from './0008-runner-managers.ts';
import { gateway } from './0010-gateway.ts';
import { includes } from './0011-includes.ts';
import { downstream } from './0014-downstream.ts';
import { environments } from './0015-environments.ts';
import { remoteNeeds } from './0016-remote-needs.ts';
import { variables } from './0019-variables.ts';
import { coverage } from './0020-coverage.ts';
import { variableSetters } from './0021-variable-setters.ts';
import { schedules } from './0024-schedules.ts';
import { triggers } from './0025-triggers.ts';
import { mergeRequests } from './0026-merge-requests.ts';
import { packages } from './0027-packages.ts';
import { jobRights } from './0043-job-rights.ts';
import { gatewayRunners } from './0047-gateway-runners.ts';
import { auditOpen } from './0048-audit-open.ts';
import { pipelineInputs } from './0049-pipeline-inputs.ts';
import { environmentStops } from './0050-environment-stops.ts';
import { mergeMethod } from './0051-merge-method.ts';
import { mirrors } from './0052-mirrors.ts';
import { environmentsStopping } from './0053-environments-stopping.ts';
import { commitStatuses } from './0056-commit-statuses.ts';
import { formerPaths } from './0057-former-paths.ts';
import { selfRegisteredRunners } from './0058-self-registered-runners.ts';
import { pipelinePass } from './0059-pipeline-pass.ts';
import { pushNodes } from './0060-push-nodes.ts';
import { lockJobs } from './0061-lock-jobs.ts';
import { wideIds } from './0062-wide-ids.ts';

/** Where the engines write the same thing differently. */
export interface ColumnTypes {
  /** An integer key that counts up and is never used again, also after a delete (R14). */
  readonly identity: string;
  readonly millis: string;
  /** Text that sorts by bytes, whatever the database's language. */
  readonly bytewise: string;
}

export interface Migration {
  readonly version: number;
  statements(types: ColumnTypes): readonly string[];
}

/** Forward only, by number; a released one is never edited. */
const migrations: readonly Migration[] = [
  initial,
  registry,
  lfs,
  exposure,
  registryTokens,
  ceilings,
  trust,
  runnerManagers,
  gateway,
  includes,
  downstream,
  environments,
  remoteNeeds,
  variables,
  coverage,
  variableSetters,
  schedules,
  triggers,
  mergeRequests,
  packages,
  jobRights,
  gatewayRunners,
  auditOpen,
  pipelineInputs,
  environmentStops,
  mergeMethod,
  mirrors,
  environmentsStopping,
  commitStatuses,
  formerPaths,
  selfRegisteredRunners,
  pipelinePass,
  pushNodes,
  lockJobs,
  wideIds,
];

/**
 * Brings the schema up to date inside one transaction that holds the engine's lock, so that several starts at once do it once.
 * @throws store_unavailable on a schema that is newer than this program
 */
export async function migrate(db: Kysely<Schema>, types: ColumnTypes, lock: (db: Kysely<Schema>) => Promise<void>): Promise<void> {
  await db.transaction().execute(async (tx) => {
    await lock(tx);
    await sql`create table if not exists "schemaVersion" ("version" integer primary key)`.execute(tx);
    const done = new Set((await tx.selectFrom('schemaVersion').select('version').execute()).map((row) => row.version));
    const newest = Math.max(...migrations.map(({ version }) => version));
    if ([...done].some((version) => version > newest)) {
      throw new JobpassError(
        'store_unavailable',
        `The store was made by a newer jobpass (schema ${Math.max(...done)}, this one knows ${newest}). Update jobpass.`,
      );
    }
    for (const migration of migrations.filter((one) => !done.has(one.version))) {
      for (const statement of migration.statements(types)) await sql.raw(statement).execute(tx);
      await tx.insertInto('schemaVersion').values({ version: migration.version }).execute();
    }
  });
}
