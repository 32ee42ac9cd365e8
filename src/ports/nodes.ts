/** The processes that serve one store, side by side. What one of them left half done is another's only once it is gone. */
export interface Nodes {
  /** This one: a positive number that no other living one has. */
  readonly self: number;
  /** There can be no other one: what is older than this process is nobody's. */
  readonly alone: boolean;
  /**
   * Does what a node left to be done, unless it lives, or another one does it meanwhile. 0 = of a time when nodes had no numbers.
   * @returns false where it was not done
   */
  inherit(node: number, work: () => Promise<void>): Promise<boolean>;
  close(): Promise<void>;
}
