import { describe } from 'vitest';
import { missingEngine, postgresEngine } from './engine.ts';
import { storeConformance } from './suite.ts';

const engine = await postgresEngine();
describe.skipIf(engine === undefined)('PostgreSQL', () => storeConformance(engine ?? missingEngine));
