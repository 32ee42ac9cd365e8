import { executorSuite } from './suite.ts';

executorSuite('shell', () => Promise.resolve({ scene: { executor: 'shell' }, close: () => Promise.resolve() }));
