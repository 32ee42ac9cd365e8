/** GitLab's role levels: none, minimal, guest, planner, reporter, developer, maintainer, owner. */
export type AccessLevel = 0 | 5 | 10 | 15 | 20 | 30 | 40 | 50;
export type Visibility = 'private' | 'internal' | 'public';

const levels: readonly AccessLevel[] = [0, 5, 10, 15, 20, 30, 40, 50];
/** @returns the level, or undefined for a number that is none. */
export function parseAccessLevel(value: number): AccessLevel | undefined {
  return levels.find((level) => level === value);
}
