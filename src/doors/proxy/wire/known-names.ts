const namesKept = 1000;
const nameChars = 64;

/** What a header's name says, found out once for each spelling: requests have the same few names over and over. Bounded, as anybody can send any name. */
export class KnownNames<What> {
  readonly #known = new Map<string, What>();
  readonly #find: (name: string) => What;

  constructor(find: (name: string) => What) {
    this.#find = find;
  }

  of(name: string): What {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const found = this.#find(name);
    if (this.#known.size < namesKept && name.length <= nameChars) this.#known.set(name, found);
    return found;
  }
}
