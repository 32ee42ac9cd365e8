import { type Oid, parseOid, parseRefName, type ProjectId, type RefName } from '../../../base/ids.ts';
import { isProtected } from '../../../base/refs.ts';
import type { Commit } from '../../forge.ts';
import type { Branch, RepositoryForge, Tag } from '../../repository.ts';
import { listNames, listRefs, readRefs } from '../git/refs.ts';
import type { ReadDeps } from './content.ts';
import { readers, requireAny } from './grants.ts';
import { branchRef, tagRef } from './names.ts';
import { pageOf, readCommits } from './reads.ts';

/** Branches and tags by name, for reads and for the answers of writes. No grant is asked here. */
export interface RefReads {
  branches(project: ProjectId, names: readonly string[]): Promise<Branch[]>;
  tags(project: ProjectId, names: readonly string[]): Promise<Tag[]>;
}

export function refReads({ git, repositories, directory }: ReadDeps): RefReads {
  /** The refs that are there, each with its commit. */
  const tipsOf = async (
    repository: string,
    refs: readonly RefName[],
  ): Promise<Map<RefName, { readonly target: Oid; readonly commit: Commit }>> => {
    const tips = await readRefs(git, repository, refs);
    const oids = [...new Set([...tips.values()].flatMap(({ commit }) => commit ?? []))];
    const read = oids.length === 0 ? [] : await readCommits(git, repository, ['--no-walk=unsorted', ...oids]);
    const commits = new Map(read.map((commit) => [commit.id, commit]));
    const found = new Map<RefName, { target: Oid; commit: Commit }>();
    for (const [ref, tip] of tips) {
      const commit = tip.commit === undefined ? undefined : commits.get(tip.commit);
      if (commit !== undefined) found.set(ref, { target: tip.target, commit });
    }
    return found;
  };

  return {
    async branches(project, names) {
      const repository = await repositories.existing(project);
      const refs = names.map(branchRef);
      const rules = await directory.protectedRefs(null, project);
      const defaultBranch = (await directory.project(null, project))?.defaultBranch;
      const base = defaultBranch === undefined ? undefined : branchRef(defaultBranch);
      const tips = await tipsOf(repository, refs);
      const merged = base === undefined ? new Set<string>() : await mergedInto(repository, base, [...tips.keys()]);
      return names.flatMap((name) => {
        const ref = branchRef(name);
        const commit = tips.get(ref)?.commit;
        if (commit === undefined) return [];
        const isDefault = name === defaultBranch;
        return {
          name,
          commit,
          protected: isProtected(rules, 'branch', name),
          default: isDefault,
          merged: !isDefault && merged.has(ref),
        };
      });
    },
    async tags(project, names) {
      const repository = await repositories.existing(project);
      const rules = await directory.protectedRefs(null, project);
      const tips = await tipsOf(repository, names.map(tagRef));
      return Promise.all(
        names
          .flatMap((name) => {
            const tip = tips.get(tagRef(name));
            return tip === undefined ? [] : { name, ...tip, protected: isProtected(rules, 'tag', name) };
          })
          .map(async (tag) => ({ ...tag, message: tag.target === tag.commit.id ? '' : await messageOf(repository, tag.target) })),
      );
    },
  };

  async function mergedInto(repository: string, base: RefName, refs: readonly RefName[]): Promise<Set<string>> {
    const args = ['for-each-ref', '--format=%(refname)', `--merged=${base}`, ...refs];
    // 129: the base does not exist (yet), so nothing is merged into it.
    const { output } = await git.run(repository, args, { codes: [0, 128, 129] });
    return new Set(output.toString('utf8').split('\n'));
  }

  async function messageOf(repository: string, tag: Oid): Promise<string> {
    const { output } = await git.known(repository, ['cat-file', 'tag', tag]);
    const text = output.toString('utf8');
    return text.slice(text.indexOf('\n\n') + 2).replace(/\n$/, '');
  }
}

const heads = 'refs/heads/';
const tags = 'refs/tags/';

/** Where a history meets protected ones in more places than this, all protected refs count. */
const mostBases = 100;

/** Lists branches and tags, and tells a sha's unprotected history. */
export function refLists(
  deps: ReadDeps,
  reads: RefReads,
): Pick<RepositoryForge, 'branches' | 'branch' | 'tags' | 'tag' | 'refsWith' | 'unprotectedCommits' | 'protectedBases'> {
  const { git, repositories, directory } = deps;
  /** GitLab: `^term` begins with it, `term$` ends with it. */
  const matching = (names: readonly string[], search: string | undefined): readonly string[] => {
    if (search === undefined) return names;
    const [, begins = '', term = '', ends = ''] = /^(\^?)(.*?)(\$?)$/s.exec(search.toLowerCase()) ?? [];
    return names.filter((name) => {
      const text = name.toLowerCase();
      return text.includes(term) && (begins === '' || text.startsWith(term)) && (ends === '' || text.endsWith(term));
    });
  };

  /** Those that are there and that a rule covers. */
  const protectedRefs = async (repository: string, project: ProjectId): Promise<readonly RefName[]> => {
    const rules = await directory.protectedRefs(null, project);
    const isCovered = (ref: string): boolean =>
      ref.startsWith(heads) ? isProtected(rules, 'branch', ref.slice(heads.length)) : isProtected(rules, 'tag', ref.slice(tags.length));
    return (await listRefs(git, repository)).flatMap((ref) => (isCovered(ref) ? (parseRefName(ref) ?? []) : []));
  };
  const without = (refs: readonly RefName[]): readonly string[] => refs.map((ref) => `^${ref}`);
  const revList = async (repository: string, options: readonly string[], revisions: readonly string[]): Promise<readonly string[]> => {
    const { output } = await git.run(repository, ['rev-list', ...options, '--stdin'], { stdin: [...revisions, ''].join('\n') });
    return output
      .toString('utf8')
      .split('\n')
      .filter((line) => line !== '');
  };

  return {
    async branches(grant, project, search, page) {
      requireAny(grant, project, ['branch:read']);
      const names = await listNames(git, await repositories.existing(project), 'refs/heads');
      const { rows, total } = pageOf(matching(names, search), page);
      return { rows: await reads.branches(project, rows), total };
    },
    async branch(grant, project, name) {
      requireAny(grant, project, readers);
      return (await reads.branches(project, [name]))[0];
    },
    async tags(grant, project, search, page) {
      requireAny(grant, project, ['tag:read']);
      const names = await listNames(git, await repositories.existing(project), 'refs/tags');
      const { rows, total } = pageOf(matching(names, search).toReversed(), page);
      return { rows: await reads.tags(project, rows), total };
    },
    async tag(grant, project, name) {
      requireAny(grant, project, readers);
      return (await reads.tags(project, [name]))[0];
    },
    async refsWith(grant, project, sha) {
      requireAny(grant, project, readers);
      const repository = await repositories.existing(project);
      const args = ['for-each-ref', `--contains=${sha}`, '--format=%(refname)', 'refs/heads', 'refs/tags'];
      const { output } = await git.run(repository, args);
      return output
        .toString('utf8')
        .split('\n')
        .flatMap((ref) => {
          const [, kind, name] = /^refs\/(heads|tags)\/(.+)$/.exec(ref) ?? [];
          return name === undefined ? [] : [{ type: kind === 'tags' ? ('tag' as const) : ('branch' as const), name }];
        });
    },
    async unprotectedCommits(grant, project, sha, limit) {
      requireAny(grant, project, readers);
      const repository = await repositories.existing(project);
      const refs = await protectedRefs(repository, project);
      const commits = (await revList(repository, [`--max-count=${limit + 1}`], [sha, ...without(refs)])).flatMap(
        (line) => parseOid(line) ?? [],
      );
      return commits.length > limit ? null : commits;
    },
    async protectedBases(grant, project, sha) {
      requireAny(grant, project, readers);
      const repository = await repositories.existing(project);
      const refs = await protectedRefs(repository, project);
      const lines = await revList(repository, ['--boundary'], [sha, ...without(refs)]);
      // A commit that is protected itself has nothing in front of its boundary.
      const bases = lines.some((line) => !line.startsWith('-')) ? lines.flatMap((line) => parseOid(line.slice(1)) ?? []) : [sha];
      if (bases.length === 0) return [];
      const defaultBranch = (await directory.project(null, project))?.defaultBranch ?? '';
      const main = refs.find((ref) => ref === `${heads}${defaultBranch}`);
      if (main !== undefined && (await revList(repository, ['--max-count=1'], [...bases, ...without([main])])).length === 0) return [main];
      if (bases.length > mostBases) return refs;
      const args = ['for-each-ref', ...bases.map((base) => `--contains=${base}`), '--format=%(refname)', heads, tags];
      const having = new Set((await git.run(repository, args)).output.toString('utf8').split('\n'));
      return refs.filter((ref) => having.has(ref));
    },
  };
}
