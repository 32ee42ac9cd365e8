import { startTestServer } from '../support/server.ts';
import { badInputSuite } from './bad-input-suite.ts';

badInputSuite('at the embedded forge', () => startTestServer());
