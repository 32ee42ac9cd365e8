import type { GroupId, ProjectId } from '../base/ids.ts';
import { parseId } from '../base/ids.ts';
import type { Ceiling } from '../policy/ceiling.ts';
import type { Directory } from '../ports/directory.ts';

/** What looks names up. */
export type PlaceDirectory = Pick<Directory, 'project' | 'projectByPath' | 'groupByPath'>;

export interface NamedPlaces {
  readonly places: NonNullable<Ceiling['places']>;
  /** What means nothing now: it gives nothing away, today or when something takes the name. */
  readonly unknown: readonly string[];
}

/**
 * Names become numbers once, when a ceiling is made (R14): `group/app` or `42` is a project, `group/*` is everything in a group.
 * Whether a caller may know of what is found is for the caller to ask.
 */
export async function namePlaces(directory: PlaceDirectory, names: readonly string[]): Promise<NamedPlaces> {
  const projectIds: ProjectId[] = [];
  const groupIds: GroupId[] = [];
  const unknown: string[] = [];
  for (const name of names) {
    const group = name.endsWith('/*') ? await directory.groupByPath(null, name.slice(0, -2)) : undefined;
    const number = parseId<ProjectId>(name);
    const project =
      name.endsWith('/*') || group !== undefined
        ? undefined
        : number === undefined
          ? await directory.projectByPath(null, name)
          : await directory.project(null, number);
    if (group !== undefined) groupIds.push(group.id);
    else if (project === undefined) unknown.push(name);
    else projectIds.push(project.id);
  }
  return { places: { projectIds, groupIds }, unknown };
}
