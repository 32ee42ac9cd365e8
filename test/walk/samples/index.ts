import type { Samples } from '../sample.ts';
import { lfs } from './lfs.ts';
import { others } from './others.ts';
import { reads } from './reads.ts';
import { registry } from './registry.ts';
import { writes } from './writes.ts';

/** Every row that the walk calls. */
export const samples: Samples = { ...reads, ...writes, ...registry, ...lfs, ...others };
