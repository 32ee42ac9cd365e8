import type { JobContext, Outcome } from './run-job.ts';

export async function restoreArtifacts(_context: JobContext): Promise<void> {}
export async function collectArtifacts(_context: JobContext, _outcome: Outcome): Promise<void> {}
