import type { Mutant } from './mutant.ts';

export const gateMutants: readonly Mutant[] = [];
