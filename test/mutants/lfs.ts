import type { Mutant } from './mutant.ts';

export const lfsMutants: readonly Mutant[] = [];
