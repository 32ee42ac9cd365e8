import type { ProjectId, UserId } from '../base/ids.ts';
import { type Ceiling, type GatheredCeiling, readCeiling, type SetCeiling } from '../policy/ceiling.ts';
import type { CeilingOwner, Ceilings } from '../ports/ceilings.ts';
import type { Directory } from '../ports/directory.ts';
import type { MaybeTx } from '../ports/tx.ts';
import type { PassIdentity } from './grant.ts';

export interface CeilingDeps {
  readonly directory: Directory;
  readonly ceilings: Ceilings;
}

/** Everything that bounds a pass right now, the widest level first: instance, groups, project, each principal, job, parents (R4, R9). */
export async function ceilingsOf(
  deps: CeilingDeps,
  tx: MaybeTx,
  pass: Pick<PassIdentity, 'projectId' | 'principals' | 'limits'> & Partial<Pick<PassIdentity, 'chainDepth'>>,
): Promise<readonly GatheredCeiling[]> {
  const set = (await deps.ceilings.any(tx)) ? await levels(deps, tx, pass.projectId, pass.principals) : [];
  // What is named for a project's jobs is not named for those that a pass started there: its own jobs may have had nothing named (R5).
  const counted = (pass.chainDepth ?? 0) === 0 ? set : set.map(({ by, ceiling, rule }) => ({ by, ceiling, rule }));
  const all = [...counted, ...(pass.limits ?? [])];
  return Promise.all(all.map(async (one) => ({ ...one, groupPaths: await pathsOf(deps, tx, one.ceiling) })));
}

async function levels(deps: CeilingDeps, tx: MaybeTx, projectId: ProjectId, users: readonly UserId[]): Promise<readonly SetCeiling[]> {
  const owners: (readonly [string, CeilingOwner])[] = [['the instance', { kind: 'instance' }]];
  const project = await deps.directory.project(tx, projectId);
  const parts = project?.path.split('/').slice(0, -1) ?? [];
  for (const index of parts.keys()) {
    const path = parts.slice(0, index + 1).join('/');
    const group = await deps.directory.groupByPath(tx, path);
    if (group !== undefined) owners.push([`the group ${path}`, { kind: 'group', id: group.id }]);
  }
  owners.push([`the project ${project?.path ?? projectId}`, { kind: 'project', id: projectId }]);
  const names = await deps.directory.users(tx, users);
  for (const id of users) owners.push([`the user ${names.get(id)?.username ?? id}`, { kind: 'user', id }]);
  const found: SetCeiling[] = [];
  for (const [by, owner] of owners) {
    const document = await deps.ceilings.of(tx, owner);
    if (document === undefined) continue;
    found.push({ by, ceiling: readCeiling(document), rule: 'R4', standing: owner.kind === 'user' ? owner.id : 'place' });
  }
  return found;
}

/** Where the named groups are now; names move, numbers stay (R14). */
async function pathsOf({ directory }: CeilingDeps, tx: MaybeTx, ceiling: Ceiling | null): Promise<readonly string[]> {
  const groups = await Promise.all((ceiling?.places?.groupIds ?? []).map((id) => directory.group(tx, id)));
  return groups.filter((group) => group !== undefined).map((group) => group.path);
}
