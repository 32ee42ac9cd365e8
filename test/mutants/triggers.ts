import type { Mutant } from './mutant.ts';

const suite = 'test/jobs/triggers.test.ts';

export const triggerMutants: readonly Mutant[] = [
  {
    id: 'A10',
    defence: 'a trigger token reaches its own project only',
    file: 'src/pass/admit.ts',
    find: '?? elsewhere(who.project, accesses);',
    replace: ';',
    test: suite,
    name: 'A10 a trigger token',
  },
  {
    id: 'R17',
    defence: 'a trigger token beside another credential',
    file: 'src/doors/api/route.ts',
    find: "if (subject.kind !== 'anonymous')\n    throw new JobpassError('credential_misplaced', 'Send one",
    replace: "if (subject.kind === 'system')\n    throw new JobpassError('credential_misplaced', 'Send one",
    test: suite,
    name: 'R17 one credential',
  },
  {
    id: 'R5',
    defence: 'a job token starts nothing beyond the chain depth',
    file: 'src/jobs/pipelines.ts',
    find: 'const byJob = jobBehind(identity);',
    replace: "const byJob = identity.kind === 'job' ? undefined : jobBehind(identity);",
    test: suite,
    name: 'R5 a job token',
  },
];
