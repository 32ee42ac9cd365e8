import { afterAll, describe } from 'vitest';
import { startPostgres } from '../support/postgres.ts';
import { startTestServer } from '../support/server.ts';
import { lifeSuite } from './life-suite.ts';

const postgres = await startPostgres();

describe.skipIf(postgres === undefined)('PostgreSQL', () => {
  afterAll(() => postgres?.stop());
  lifeSuite('PostgreSQL', () => startTestServer({ database: postgres?.url }));
});
