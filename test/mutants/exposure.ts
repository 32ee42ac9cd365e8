import type { Mutant } from './mutant.ts';

export const exposureMutants: readonly Mutant[] = [];
