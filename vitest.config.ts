import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/support/longest-first.ts';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Starting a fresh module graph for each file costs seven times the run time; no test leans on module state.
    isolate: false,
    // What tests start is forked from the worker, which costs as much as its memory is large: in one process of its own, each has half of it.
    pool: 'forks',
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    // One failure in thousands of tests with real clients stops no delivery; `Unsteady` names it. At a developer's desk it is a failure.
    retry: process.env['CI'] === undefined ? 0 : 1,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
