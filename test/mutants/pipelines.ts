import type { Mutant } from './mutant.ts';

const inherit = 'test/pipeline/inherit.test.ts';
const cases = 'test/pipeline/cases.test.ts';

export const pipelineMutants: readonly Mutant[] = [
  {
    id: 'R15',
    defence: 'caches of other principals stay apart',
    file: 'src/pass/inputs-key.ts',
    find: "ids.join(',')",
    replace: "''",
    test: 'test/pass/inputs-key.test.ts',
    name: 'R15 inputs are shared',
  },
  {
    id: 'R15',
    defence: 'a job whose principals are not provable shares with nobody',
    file: 'src/pass/inputs-key.ts',
    find: '`job ${job}`',
    replace: "'job'",
    test: 'test/pass/inputs-key.test.ts',
    name: 'R15 a job whose principals',
  },
  {
    id: 'R13',
    defence: 'references to references do not multiply',
    file: 'src/pipeline/inherit.ts',
    find: 'return fits(extended) ?',
    replace: 'return true ?',
    test: inherit,
    name: 'R13 references to references',
  },
  {
    id: 'R13',
    defence: 'a keyword that is not supported is an error',
    file: 'src/pipeline/parse.ts',
    find: "if (keyword?.status === 'supported') continue;",
    replace: 'if (keyword !== undefined) continue;',
    test: 'test/pipeline/keyword-reference.test.ts',
    name: 'R13 keyword',
  },
  {
    id: 'R13',
    defence: 'a workflow whose rules match nothing has no pipeline',
    file: 'src/pipeline/evaluate.ts',
    find: "if (rule === undefined || rule.when === 'never') return undefined;\n  return { ...file",
    replace: 'if (rule === undefined) return file;\n  return { ...file',
    test: cases,
    name: 'test/cases/workflow',
  },
];
