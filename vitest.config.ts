import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/support/longest-first.ts';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Starting a fresh module graph for each file costs seven times the run time; no test leans on module state.
    isolate: false,
    pool: 'threads',
    // One more than there are processors, up to three: tests wait for processes and engines.
    maxWorkers: Math.min(availableParallelism() + 1, 3),
    sequence: { sequencer: LongestFirst },
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
