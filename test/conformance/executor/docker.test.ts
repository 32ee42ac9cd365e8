import { describe } from 'vitest';
import { engine, startDocker } from '../../support/engine.ts';
import { executorSuite } from './suite.ts';

describe.skipIf(engine() === undefined)('on docker', () => {
  executorSuite('docker', async () => {
    const own = await startDocker();
    return { scene: { executor: 'docker', docker: { image: own.image, host: `unix://${own.socketPath}` } }, close: () => own.close() };
  });
});
