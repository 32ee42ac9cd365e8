import type { Mutant } from './mutant.ts';

const suite = 'test/forge/merge-requests/merge-requests.test.ts';

export const mergeRequestMutants: readonly Mutant[] = [
  {
    id: 'A58',
    defence: 'a merge counts as made by all principals',
    file: 'src/forge/embedded/git/push.ts',
    find: 'new Set(this.#grant.principals)',
    replace: 'new Set(this.#grant.principals.slice(0, 1))',
    test: suite,
    name: 'A58 what a pass merges',
  },
  {
    id: 'A62',
    defence: 'no pass writes a quick action',
    file: 'src/doors/api/merge-requests.ts',
    find: "if (grant.identity.kind !== 'pass') return;",
    replace: 'if (grant !== undefined) return;',
    test: suite,
    name: 'A58 what a pass merges, all its principals merged; R5 it starts nothing, A62',
  },
  {
    id: 'A56',
    defence: 'who wrote the title steers the jobs',
    file: 'src/jobs/merge-request-pipelines.ts',
    find: 'creators: [...new Set([...creators, ...request.writers])]',
    replace: 'creators',
    test: suite,
    name: 'A56 who wrote the title',
  },
  {
    id: 'A3',
    defence: 'the source branch of a merge request has its rules',
    file: 'src/jobs/ref-rights.ts',
    find: "request.sourceProjectId === project ? request.sourceBranch : ''",
    replace: "''",
    test: suite,
    name: 'A7 the right to run it',
  },
  {
    id: 'R3',
    defence: 'who pushed to a fork is known where its commits are run',
    file: 'src/forge/embedded/merge-requests/heads.ts',
    find: 'if (commits.length <= limit) await',
    replace: 'if (commits.length < 0) await',
    test: 'test/forge/merge-requests/forks.test.ts',
    name: 'R3 A7 a fork',
  },
  {
    id: 'R3',
    defence: 'a copy knows who pushed what it was made from',
    file: 'src/forge/embedded/projects/project-forge.ts',
    find: 'await stores.pushLog.shareAll(tx, source, record.id);',
    replace: '',
    test: 'test/forge/merge-requests/forks.test.ts',
    name: 'R3 a fork knows',
  },
];
