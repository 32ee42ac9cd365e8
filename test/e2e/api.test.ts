import { startTestServer } from '../support/server.ts';
import { apiSuite } from './api-suite.ts';

apiSuite('at the embedded forge', () => startTestServer());
