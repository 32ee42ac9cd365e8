import type { Mutant } from './mutant.ts';

export const registryMutants: readonly Mutant[] = [];
