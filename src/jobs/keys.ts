import type { JobId } from '../base/ids.ts';

/** Where a job's files stand in the blob store. */
export function traceKey(job: JobId): string {
  return `traces/${job % 256}/${job}.log`;
}
export function artifactKey(job: JobId): string {
  return `artifacts/${job % 256}/${job}.zip`;
}
export function reportKey(job: JobId, type: string): string {
  return `artifacts/${job % 256}/${job}.${type}`;
}
