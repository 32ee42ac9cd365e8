import { startTestServer } from '../support/server.ts';
import { lifeSuite } from './life-suite.ts';

lifeSuite('SQLite', () => startTestServer());
