/** What git answered: its exit code, and what it wrote. */
export interface GitAnswer {
  readonly code: number;
  readonly output: Buffer;
}

const mostBytes = 8 * 1024 * 1024;
const mostAnswerBytes = 64 * 1024;

/**
 * Answers of git that follow from whole object ids alone. An object never changes, so neither do they: who asks again is told from memory, without
 * another process. Small answers only, the last ones asked for; refusals are not kept, since an object that is missing may yet be pushed.
 */
export class KnownAnswers {
  readonly #answers = new Map<string, GitAnswer>();
  #bytes = 0;

  /** @param question names the repository and all that the answer depends on */
  async ask(question: string, find: () => Promise<GitAnswer>): Promise<GitAnswer> {
    const known = this.#answers.get(question);
    if (known !== undefined) {
      this.#forget(question, known);
      this.#keep(question, known);
      return known;
    }
    const answer = await find();
    if (answer.code === 0 && sizeOf(question, answer) <= mostAnswerBytes && !this.#answers.has(question)) this.#keep(question, answer);
    return answer;
  }

  #keep(question: string, answer: GitAnswer): void {
    this.#answers.set(question, answer);
    this.#bytes += sizeOf(question, answer);
    for (const [oldest, forgotten] of this.#answers) {
      if (this.#bytes <= mostBytes) return;
      this.#forget(oldest, forgotten);
    }
  }

  #forget(question: string, answer: GitAnswer): void {
    this.#answers.delete(question);
    this.#bytes -= sizeOf(question, answer);
  }
}

function sizeOf(question: string, { output }: GitAnswer): number {
  return 2 * question.length + output.length;
}
