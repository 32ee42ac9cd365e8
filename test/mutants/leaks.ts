import type { Mutant } from './mutant.ts';

const search = 'test/base/pass-search.test.ts';
const upload = 'test/base/upload-search.test.ts';
const content = 'test/jobs/leaked-content.test.ts';

export const leakMutants: readonly Mutant[] = [
  {
    id: 'R12',
    defence: 'an upload with a pass in it is not kept',
    file: 'src/jobs/artifacts.ts',
    find: 'if (leaked === 0) return stored;',
    replace: 'return stored;',
    test: content,
    name: 'R12 A27 an archive is refused',
  },
  {
    id: 'R12',
    defence: 'a leak leaves a row in the audit trail',
    file: 'src/pass/leaks.ts',
    find: 'await trail.note({',
    replace: 'void ({',
    test: content,
    name: 'R10 R12 a pass in a log',
  },
  {
    id: 'R12',
    defence: 'a push with a pass in it is refused',
    file: 'src/forge/embedded/git/push.ts',
    find: "if (await this.#leaks(objects.join(' '))) return leakWords;",
    replace: '',
    test: 'test/forge/git/push.test.ts',
    name: 'R12 A27 a pass in a file',
  },
  {
    id: 'A27',
    defence: 'what a zip archive holds is unpacked',
    file: 'src/base/upload-search.ts',
    find: "this.#begin('deflate');",
    replace: '',
    test: upload,
    name: 'R12 A27 in an entry',
  },
  {
    id: 'R13',
    defence: 'it is unpacked to a limit',
    file: 'src/base/upload-search.ts',
    find: 'return this.#left > 0;',
    replace: 'return true;',
    test: upload,
    name: 'R13 what unpacks without end',
  },
  {
    id: 'R12',
    defence: 'a pass over the border of two blocks is one',
    file: 'src/base/pass-search.ts',
    find: 'const kept = Math.min(carriedBytes, this.#filled);',
    replace: 'const kept = 0;',
    test: search,
    name: 'R12 a pass over the border',
  },
  {
    id: 'R12',
    defence: 'white space is skipped',
    file: 'src/base/pass-search.ts',
    find: 'at += byte > 0x20 ? 1 : 0;',
    replace: 'at += 1;',
    test: search,
    name: 'R12 A27 a pass a letter a line is found',
  },
  {
    id: 'R12',
    defence: 'timestamps are skipped',
    file: 'src/base/pass-search.ts',
    find: 'if (timeless.length < text.length) this.#read(timeless);',
    replace: '',
    test: search,
    name: 'R12 A27 a pass a letter a line, with times',
  },
];
