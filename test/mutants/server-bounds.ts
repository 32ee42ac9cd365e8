import type { Mutant } from './mutant.ts';

/** What one of the server's users could cost all the others. */
export const serverBoundMutants: readonly Mutant[] = [
  {
    id: 'R13',
    defence: 'each search of a coverage pattern is paid for',
    file: 'src/jobs/coverage.ts',
    find: 'return this.#left >= 0;',
    replace: 'return true;',
    test: 'test/jobs/coverage.test.ts',
    name: 'R13 costs no more',
  },
  {
    id: 'R13',
    defence: 'others get a turn while a log is searched for its coverage',
    file: 'src/jobs/coverage.ts',
    find: 'if (this.#turn <= 0) {',
    replace: 'if (this.#turn === 0.5) {',
    test: 'test/jobs/coverage.test.ts',
    name: 'R13 costs no more',
  },
  {
    id: 'R12',
    defence: 'a find keeps nothing of the stream that it stood in',
    file: 'src/base/pass-search.ts',
    find: "this.#found.add(Buffer.from(pass, 'latin1').toString('latin1'));",
    replace: 'this.#found.add(pass);',
    test: 'test/base/pass-search.test.ts',
    name: 'R12 R13 what was found',
  },
  {
    id: 'R12',
    defence: 'a blob full of candidates is not remembered',
    file: 'src/forge/embedded/oci/leak-search.ts',
    find: 'if (passes.length <= mostRemembered) remember',
    replace: 'remember',
    test: 'test/forge/oci/registry.test.ts',
    name: 'R12 R13 a blob full',
  },
  {
    id: 'R13',
    defence: 'a page of referrers has a bound in bytes',
    file: 'src/store/repositories/images.ts',
    find: '(left -= sizeBytes) < 0 && index > 0',
    replace: '(left -= sizeBytes) === 0.5 && index > 0',
    test: 'test/forge/oci/registry.test.ts',
    name: 'R13 a page of referrers',
  },
];
