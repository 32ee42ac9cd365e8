/** One defence taken out: a small text replacement in one source file, and the test that must turn red. */
export interface Mutant {
  /** Rule or attack. */
  readonly id: string;
  /** What is taken out, in a few words. */
  readonly defence: string;
  readonly file: string;
  /** Exact text, which stands once in the file. */
  readonly find: string;
  readonly replace: string;
  /** Test file, and the part of the test's name that must fail. */
  readonly test: string;
  readonly name: string;
  /** Of a walk, the rows that tell: all of them would take minutes (`WALK` in `test/walk/sample.ts`). */
  readonly walk?: string;
  /** Without the defence its test waits for what never comes, until its time is up. */
  readonly hangs?: true;
}
