import type { Directory, FormerPaths, ProjectFacts } from '../ports/directory.ts';

/** Where an address leads. */
export interface AddressBook {
  readonly directory: Pick<Directory, 'projectByPath'>;
  readonly formerPaths: FormerPaths;
}

/**
 * The project that a git or LFS address means: what has the path, else what had it last, as GitLab serves renamed projects. Every decision
 * is about its number (R14).
 */
export async function projectAddressed({ directory, formerPaths }: AddressBook, path: string): Promise<ProjectFacts | undefined> {
  return (await directory.projectByPath(null, path)) ?? formerPaths.projectAt(null, path);
}
