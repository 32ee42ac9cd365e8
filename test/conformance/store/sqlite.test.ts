import { describe } from 'vitest';
import { sqliteEngine } from './engine.ts';
import { storeConformance } from './suite.ts';

const engine = await sqliteEngine();
describe('SQLite', () => storeConformance(engine));
