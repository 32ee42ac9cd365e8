import type { Mutant } from './mutant.ts';

const door = 'test/doors/lfs.test.ts';

export const lfsMutants: readonly Mutant[] = [
  {
    id: 'A40',
    defence: 'an object is read through a project that holds it',
    file: 'src/store/repositories/lfs.ts',
    find: ".select(['oid', 'sizeBytes'])\n        .where('projectId', '=', project)",
    replace: ".select(['oid', 'sizeBytes'])",
    test: door,
    name: 'A40 an object of another project',
  },
  {
    id: 'A40',
    defence: 'a batch that uploads needs the right to push',
    file: 'src/doors/git/lfs/lfs-door.ts',
    find: "operation === 'upload' ? await admit(['code:push']) : grant",
    replace: 'grant',
    test: door,
    name: 'A40 A48 answers carry no credential',
  },
  {
    id: 'R2',
    defence: 'an object has the bytes that its name says',
    file: 'src/forge/embedded/lfs/lfs-forge.ts',
    find: 'if (stored !== sizeBytes) {',
    replace: 'if (false) {',
    test: door,
    name: 'R2 what is not what it says',
  },
  {
    id: 'R1',
    defence: "another's lock is taken by a maintainer only",
    file: 'src/forge/embedded/lfs/lfs-forge.ts',
    find: 'if (!own && !force)',
    replace: 'if (false)',
    test: door,
    name: 'locks: one owner each',
  },
  {
    id: 'R2',
    defence: 'git-lfs does not send a dead pass for ever',
    file: 'src/doors/git/lfs/errors.ts',
    find: "if (error.code === 'pass_dead')",
    replace: 'if (false)',
    test: 'test/doors/lfs.test.ts',
    name: 'A40 A48 answers carry',
  },
  {
    id: 'R3',
    defence: 'a lock is taken back by its owner alone',
    file: 'src/forge/embedded/lfs/lfs-forge.ts',
    find: 'const alone = grant.principals.every((user) => user === by);',
    replace: 'const alone = true;',
    test: 'test/forge/lfs-locks.test.ts',
    name: 'R3 a pass takes back',
  },
];
