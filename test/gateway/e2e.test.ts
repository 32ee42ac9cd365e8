import { apiSuite } from '../e2e/api-suite.ts';
import { badInputSuite } from '../e2e/bad-input-suite.ts';
import { startBehind } from '../support/behind.ts';

// What people do without a pass, by the same stories: nothing of it is other through the gateway.
apiSuite('through the gateway', () => startBehind());
badInputSuite('through the gateway', () => startBehind());
