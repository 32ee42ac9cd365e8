import { createHash } from 'node:crypto';
import { assert } from '../../../base/assert.ts';
import { JobpassError } from '../../../base/errors.ts';
import { type Oid, parseOid, parseRefName, type ProjectId, type RefName } from '../../../base/ids.ts';
import { type Grant, type Permission, verifyGrant } from '../../../pass/grant.ts';
import type { Commit } from '../../forge.ts';
import type { GitRunner } from '../git/processes.ts';

/** Permissions that let their holder look into a repository. */
const readers: readonly Permission[] = [
  'repository:read',
  'commit:read',
  'branch:read',
  'tag:read',
  'code:download',
  'repository:write',
  'commit:create',
  'branch:write',
  'tag:write',
  'release:read',
  'release:write',
  'pipeline:create',
  'pipeline:read',
  'job:read',
  'job:run',
  'pipeline:update',
  'project:read',
  'project:create',
];

/** The grant covers one of `wanted` on the project. @throws internal */
export function requireAny(grant: Grant, project: ProjectId, wanted: readonly Permission[] = readers): void {
  const held = grant.accesses.find(
    (access) => access.resource.kind === 'project' && access.resource.id === project && wanted.includes(access.permission),
  );
  assert(held !== undefined, 'the grant covers no permission of the method');
  verifyGrant(grant, held.permission, { kind: 'project', id: project });
}

/** Resolves a name as GitLab does: branch, tag, full ref, then a sha of at least 4 digits. */
export async function resolveCommit(
  git: GitRunner,
  repository: string,
  name: string,
): Promise<{ oid: Oid; ref: RefName | null } | undefined> {
  const refs = [`refs/heads/${name}`, `refs/tags/${name}`, ...(/^refs\/(?:heads|tags)\//.test(name) ? [name] : [])].flatMap(
    (text) => parseRefName(text) ?? [],
  );
  for (const ref of refs) {
    const oid = await revParse(git, repository, `${ref}^{commit}`);
    if (oid !== undefined) return { oid, ref };
  }
  if (!/^[0-9a-f]{4,64}$/.test(name)) return undefined;
  const oid = await revParse(git, repository, `${name}^{commit}`);
  return oid === undefined ? undefined : { oid, ref: null };
}

export async function revParse(git: GitRunner, repository: string, text: string): Promise<Oid | undefined> {
  const { code, output } = await git.run(repository, ['rev-parse', '--verify', '--quiet', text], { codes: [0, 1, 128] });
  return code === 0 ? parseOid(output.toString('utf8').trim()) : undefined;
}

const commitFields = ['%H', '%P', '%an', '%ae', '%aI', '%cn', '%ce', '%cI', '%B'];

/** @param args revisions and options, already checked */
export async function readCommits(git: GitRunner, repository: string, args: readonly string[]): Promise<Commit[]> {
  const { output } = await git.run(repository, ['log', '-z', `--format=${commitFields.join('%x00')}`, ...args], {
    maxBytes: 32 * 1024 * 1024,
  });
  const fields = output.toString('utf8').split('\0');
  const commits: Commit[] = [];
  for (let at = 0; at + commitFields.length <= fields.length; at += commitFields.length) {
    const [
      hash = '',
      parents = '',
      authorName = '',
      authorEmail = '',
      authoredDate = '',
      committerName = '',
      committerEmail = '',
      committedDate = '',
      body = '',
    ] = fields.slice(at, at + commitFields.length);
    const id = parseOid(hash.trim());
    if (id === undefined) continue;
    const message = body.replace(/\n$/, '');
    commits.push({
      id,
      parentIds: parents.split(' ').flatMap((oid) => parseOid(oid) ?? []),
      title: message.split('\n')[0] ?? '',
      message,
      authorName,
      authorEmail,
      authoredDate,
      committerName,
      committerEmail,
      committedDate,
    });
  }
  return commits;
}

export async function readCommit(git: GitRunner, repository: string, oid: Oid): Promise<Commit> {
  const [commit] = await readCommits(git, repository, ['-1', oid]);
  if (commit === undefined) throw new JobpassError('not_found', { what: 'Commit' });
  return commit;
}

/** An entry at a path of a commit. */
export async function entryAt(
  git: GitRunner,
  repository: string,
  commit: Oid,
  path: string,
): Promise<{ mode: string; type: string; oid: Oid } | undefined> {
  const { output } = await git.run(repository, ['ls-tree', '-z', '--full-tree', commit, '--', `:(literal)${path}`], { codes: [0] });
  for (const line of output.toString('utf8').split('\0')) {
    const match = /^(\d{6}) (\w+) ([0-9a-f]+)\t(.*)$/s.exec(line);
    const oid = parseOid(match?.[3] ?? '');
    if (match !== null && oid !== undefined && match[4] === path) return { mode: match[1] ?? '', type: match[2] ?? '', oid };
  }
  return undefined;
}

/** SHA-256 of a blob's bytes, streamed. */
export async function blobDigest(git: GitRunner, repository: string, blob: Oid): Promise<{ sha256: string; sizeBytes: number }> {
  const started = git.start(repository, ['cat-file', 'blob', blob]);
  started.input.end();
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const chunk of started.output as AsyncIterable<Buffer>) {
    hash.update(chunk);
    sizeBytes += chunk.length;
  }
  return { sha256: hash.digest('hex'), sizeBytes };
}
