import { ceilingLimits } from '../pass/ceiling-document.ts';
import { namePlaces, type PlaceDirectory } from '../pass/name-places.ts';
import { permissionWords } from '../pass/permission-words.ts';
import type { PassLimit } from '../ports/passes.ts';

export interface JobLimits {
  readonly limits: readonly PassLimit[];
  /** For the trace. */
  readonly notes: readonly string[];
}

interface Asked {
  readonly by: string;
  readonly permissions: string | undefined;
  readonly projects: string | undefined;
}

/**
 * What a job bounds its own pass to: `JOBPASS_PERMISSIONS` and `JOBPASS_PROJECTS`, in the file, and once more where they were given with the
 * pipeline, which can only narrow what the file says (A50). What cannot be read allows nothing (R13).
 */
export async function jobLimits(directory: PlaceDirectory, sources: readonly Asked[]): Promise<JobLimits> {
  const limits: PassLimit[] = [];
  const notes: string[] = [];
  for (const { by, permissions, projects } of sources) {
    if (permissions === undefined && projects === undefined) continue;
    const words = permissionWords(permissions ?? '*');
    if ('odd' in words) notes.push(`JOBPASS_PERMISSIONS: there is no permission ${JSON.stringify(words.odd)}; the pass may do nothing`);
    const names = projects?.split(/[\s,]+/).filter((word) => word !== '') ?? [];
    const tooMany = names.length > ceilingLimits.entries;
    if (tooMany) notes.push(`JOBPASS_PROJECTS: at most ${ceilingLimits.entries} projects and groups; the pass may do nothing`);
    const allowed = 'odd' in words || tooMany ? [] : words.words;
    // Each name is looked up.
    const places = projects === undefined ? null : (await namePlaces(directory, tooMany ? [] : names)).places;
    limits.push({ by, permissions: allowed, places, rule: 'R4' });
    const where = projects === undefined || tooMany ? '' : ` in ${projects}`;
    notes.push(`bounded by ${by}: ${allowed.length === 0 ? 'nothing' : allowed.join(' ')}${where}`);
  }
  return { limits, notes };
}
