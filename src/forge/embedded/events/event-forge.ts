import { verifyGrant } from '../../../pass/grant.ts';
import type { Oid, UserId } from '../../../base/ids.ts';
import type { EventForge, PushEvent } from '../../events.ts';
import type { PushRecord } from '../ports.ts';
import type { ServiceDeps } from '../projects/project-forge.ts';

/** Events are read from the push log: each row of it may have moved several refs. */
export function makeEventForge({ stores, directory }: Pick<ServiceDeps, 'stores' | 'directory'>): EventForge {
  return {
    async pushes(grant, project, page) {
      verifyGrant(grant, 'commit:read', { kind: 'project', id: project });
      const found = await stores.pushLog.list(null, project, page);
      const authors = await directory.users(
        null,
        found.rows.flatMap((push) => push.pushers.slice(0, 1)),
      );
      const nameOf = (user: UserId): string => authors.get(user)?.username ?? `user${user}`;
      return { rows: found.rows.flatMap((push) => eventsOf(push, nameOf)), total: found.total };
    },
  };
}

function eventsOf(push: PushRecord, nameOf: (user: UserId) => string): readonly PushEvent[] {
  const [authorId] = push.pushers;
  if (authorId === undefined) return [];
  const existing = (oid: Oid): Oid | null => (/^0+$/.test(oid) ? null : oid);
  return push.changes.flatMap(({ ref, oldOid, newOid }) => {
    const [, kind, name] = /^refs\/(heads|tags)\/(.+)$/.exec(ref) ?? [];
    if (kind === undefined || name === undefined) return [];
    return [
      {
        id: push.id,
        authorId,
        authorUsername: nameOf(authorId),
        refType: kind === 'tags' ? 'tag' : 'branch',
        ref: name,
        from: existing(oldOid),
        to: existing(newOid),
        at: push.at,
      } as const,
    ];
  });
}
