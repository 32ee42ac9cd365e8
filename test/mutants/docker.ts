import type { Mutant } from './mutant.ts';

export const dockerMutants: readonly Mutant[] = [];
