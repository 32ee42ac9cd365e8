import { JobpassError } from '../../../base/errors.ts';
import { present } from '../../../base/assert.ts';
import { type Grant, verifyGrant } from '../../../pass/grant.ts';
import type { ProjectId } from '../../../base/ids.ts';
import type { MaybeTx } from '../../../ports/tx.ts';
import type { Release, ReleaseForge, ReleaseLinkInput } from '../../forge.ts';
import type { RepositoryForge } from '../../repository.ts';
import type { ReleaseRecord } from '../ports.ts';
import type { ServiceDeps } from '../projects/project-forge.ts';

const maxLinks = 100;

export function makeReleaseForge(deps: ServiceDeps & { readonly repository: RepositoryForge }): ReleaseForge {
  const { stores, transactor, clock, repository } = deps;
  const reads = (grant: Grant, id: ProjectId): void => {
    const permission = grant.accesses.some((access) => access.permission === 'release:write') ? 'release:write' : 'release:read';
    verifyGrant(grant, permission, { kind: 'project', id });
  };
  const writes = (grant: Grant, id: ProjectId): void => verifyGrant(grant, 'release:write', { kind: 'project', id });

  const whole = async (tx: MaybeTx, grant: Grant, record: ReleaseRecord): Promise<Release> => {
    const author = present(await stores.users.byId(tx, record.authorId), 'the author');
    const commit = (await repository.commit(grant, record.projectId, record.sha)) ?? null;
    return { ...record, author, commit, links: await stores.releases.links(tx, record.projectId, record.tag) };
  };
  const one = async (grant: Grant, project: ProjectId, tag: string): Promise<Release | undefined> => {
    const record = await stores.releases.byTag(null, project, tag);
    return record === undefined ? undefined : whole(null, grant, record);
  };

  return {
    async list(grant, project, order, page) {
      reads(grant, project);
      const found = await stores.releases.list(null, project, order, page);
      return { rows: await Promise.all(found.rows.map((record) => whole(null, grant, record))), total: found.total };
    },
    async one(grant, project, tag) {
      reads(grant, project);
      return one(grant, project, tag);
    },
    async create(grant, project, request) {
      writes(grant, project);
      if (request.links.length > maxLinks) throw new JobpassError('too_large', `A release has at most ${maxLinks} links.`);
      for (const link of request.links) checkLink(link);
      const tag = await repository.tag(grant, project, request.tag);
      if (tag === undefined) throw new JobpassError('not_found', { what: 'Tag' });
      const record: ReleaseRecord = {
        projectId: project,
        tag: request.tag,
        name: request.name,
        description: request.description,
        sha: tag.commit.id,
        authorId: request.authorId,
        createdAt: clock.now(),
        releasedAt: request.releasedAt,
      };
      await transactor.write(async (tx) => {
        await grant.confirm(tx);
        await stores.releases.insert(tx, record, request.links);
      });
      return whole(null, grant, record);
    },
    async change(grant, project, tag, change) {
      writes(grant, project);
      const known = await transactor.write(async (tx) => {
        await grant.confirm(tx);
        return stores.releases.change(tx, project, tag, change);
      });
      return known ? one(grant, project, tag) : undefined;
    },
    async remove(grant, project, tag) {
      writes(grant, project);
      const release = await one(grant, project, tag);
      await transactor.write(async (tx) => {
        await grant.confirm(tx);
        await stores.releases.remove(tx, project, tag);
      });
      return release;
    },
    async addLink(grant, project, tag, link) {
      writes(grant, project);
      checkLink(link);
      return transactor.write(async (tx) => {
        await grant.confirm(tx);
        if ((await stores.releases.byTag(tx, project, tag)) === undefined) throw new JobpassError('not_found', {});
        if ((await stores.releases.links(tx, project, tag)).length >= maxLinks)
          throw new JobpassError('too_large', `A release has at most ${maxLinks} links.`);
        return stores.releases.addLink(tx, project, tag, link);
      });
    },
    async changeLink(grant, project, tag, id, change) {
      writes(grant, project);
      checkLink(change);
      return transactor.write(async (tx) => {
        await grant.confirm(tx);
        return stores.releases.changeLink(tx, project, tag, id, change);
      });
    },
    async removeLink(grant, project, tag, id) {
      writes(grant, project);
      return transactor.write(async (tx) => {
        await grant.confirm(tx);
        return stores.releases.removeLink(tx, project, tag, id);
      });
    },
  };
}

/** A link leads to the web, and carries no credential (A26). @throws invalid_input */
function checkLink(link: Partial<ReleaseLinkInput>): void {
  if (link.name !== undefined && (link.name.trim() === '' || link.name.length > 255))
    throw new JobpassError('invalid_input', { fields: { name: ["can't be blank"] } });
  if (link.url !== undefined) {
    const url = URL.canParse(link.url) ? new URL(link.url) : undefined;
    if (
      url === undefined ||
      !['http:', 'https:', 'ftp:'].includes(url.protocol) ||
      url.username !== '' ||
      url.password !== '' ||
      link.url.length > 2048
    ) {
      throw new JobpassError('invalid_input', {
        fields: { url: ['is blocked: Only allowed schemes are http, https, ftp, without a user name or password'] },
      });
    }
  }
  if (
    link.directAssetPath !== undefined &&
    link.directAssetPath !== null &&
    !/^\/[^\s\u0000-\u001f?#]{0,254}$/.test(link.directAssetPath)
  ) {
    throw new JobpassError('invalid_input', { fields: { filepath: ['is in an invalid format'] } });
  }
}
