import type { Mutant } from './mutant.ts';

/** What a job of the jobpass runner takes in, and says to its git. */
export const runnerInputMutants: readonly Mutant[] = [
  {
    id: 'R15',
    defence: 'tier and principals count in a cache',
    file: 'src/runner/cache/store.ts',
    find: 'JSON.stringify([server, projectId, trustKey])',
    replace: 'JSON.stringify([server, projectId])',
    test: 'test/runner/cache.test.ts',
    name: 'R15 A33 A64',
  },
  {
    id: 'R15',
    defence: 'the principals that the server names',
    file: 'src/runner/job/run-job.ts',
    find: 'job.extended_job_token?.inputs_key ?? alone(job)',
    replace: 'alone(job)',
    test: 'test/runner/cache.test.ts',
    name: 'R15 A33 A64',
  },
  {
    id: 'A39',
    defence: 'paths of a cache stay in the project',
    file: 'src/runner/job/files.ts',
    find: "if (!relative.startsWith('/') && !relative.split('/').includes('..')) return [relative];",
    replace: 'return [relative];',
    test: 'test/runner/cache.test.ts',
    name: 'A39 paths that point out',
  },
  {
    id: 'A39',
    defence: 'a flag that is in no list',
    file: 'src/runner/git/flags.ts',
    find: 'if (flag === undefined) throw',
    replace: 'if (flag === undefined) continue; else if (name === words[-1]) throw',
    test: 'test/runner/git/flags.test.ts',
    name: 'A39',
  },
  {
    id: 'A39',
    defence: 'GIT_CLONE_PATH stays in the slot',
    file: 'src/runner/executors/place.ts',
    find: 'if (asked !== undefined && !asked.startsWith(`${seenSlot}/`))',
    replace: 'if (asked === seenSlot)',
    test: 'test/runner/settings.test.ts',
    name: 'A39 R13',
  },
  {
    id: 'R8',
    defence: 'nothing of a hook runs beside git',
    file: 'src/runner/job/fetch-sources.ts',
    find: '  await workspace.endProcesses();\n',
    replace: '',
    test: 'test/runner/settings.test.ts',
    name: 'R8 hooks',
  },
];
