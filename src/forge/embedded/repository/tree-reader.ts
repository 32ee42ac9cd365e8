import { JobpassError } from '../../../base/errors.ts';
import type { Oid } from '../../../base/ids.ts';
import type { GitProcess, GitRunner } from '../git/processes.ts';

/** @param tree a tree, or a commit for its tree @returns the bytes of the tree object. @throws upstream_failed, too_large */
export type ReadTree = (tree: Oid) => Promise<Buffer>;

const maxTreeBytes = 64 * 1024 * 1024;

/** Lends `work` a reader of trees, one question at a time: one git for all of them, which is started by the first. */
export async function withTrees<Result>(git: GitRunner, repository: string, work: (read: ReadTree) => Promise<Result>): Promise<Result> {
  let reader: TreeReader | undefined;
  try {
    return await work((tree) => (reader ??= new TreeReader(git.start(repository, ['cat-file', '--batch']))).read(tree));
  } finally {
    await reader?.end();
  }
}

class TreeReader {
  readonly #git: GitProcess;
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(git: GitProcess) {
    this.#git = git;
    this.#chunks = (git.output as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  }

  /** git-cat-file(1): `<id> tree <size>`, the object and an empty line; something else where there is none. */
  async read(tree: Oid): Promise<Buffer> {
    this.#git.input.write(`${tree}^{tree}\n`);
    let end = this.#rest.indexOf(0x0a);
    for (; end < 0; end = this.#rest.indexOf(0x0a)) await this.#more(1);
    const [, size] = /^[0-9a-f]+ tree (\d+)$/.exec(this.#rest.toString('latin1', 0, end)) ?? [];
    if (size === undefined) throw new JobpassError('upstream_failed', {}, new Error(`git has no tree of ${tree}`));
    if (Number(size) > maxTreeBytes) {
      // What is left of its answer would keep it from ending.
      this.#git.kill();
      throw new JobpassError('too_large', 'A folder of this repository is too large to be changed over the API');
    }
    const from = end + 1;
    const to = from + Number(size);
    await this.#more(to + 1 - this.#rest.length);
    const bytes = this.#rest.subarray(from, to);
    this.#rest = this.#rest.subarray(to + 1);
    return bytes;
  }

  async end(): Promise<void> {
    this.#git.input.end();
    await this.#git.done;
  }

  /** At least so many bytes more. */
  async #more(bytes: number): Promise<void> {
    const chunks = [this.#rest];
    for (let missing = bytes; missing > 0;) {
      const { value, done } = await this.#chunks.next();
      if (done === true) throw new JobpassError('upstream_failed', {}, new Error('git cat-file ended early'));
      chunks.push(value);
      missing -= value.length;
    }
    this.#rest = Buffer.concat(chunks);
  }
}
