import { afterAll, describe } from 'vitest';
import { lookupTtl } from '../../../src/forge/gitlab/directory.ts';
import { openGateway } from '../../support/place.ts';
import { startPostgres } from '../../support/postgres.ts';
import { oddForge } from './odd-forge.ts';
import { type Differences, forgeSuite } from './suite.ts';

const differences: Differences = {
  roleMs: Math.max(lookupTtl.level, lookupTtl.user, lookupTtl.project),
  blocked: 401,
  listOfSeveral: 'refused',
};

forgeSuite('the gateway, with the embedded forge behind it in another process', () => openGateway(), differences);

// Oddities of the forge and the other store at once: neither knows of the other.
const postgres = await startPostgres();
describe('the other store', () => {
  afterAll(() => postgres?.stop());
  forgeSuite(
    'the gateway, with a forge behind it whose answers are odd',
    () => openGateway(oddForge, () => ({ database: postgres?.url })),
    differences,
  );
});
