import fc from 'fast-check';

/** Who stands where in a story: numbers of `people`, `branches` and `runners`. */
export type Step =
  | { readonly does: 'push' | 'pipeline' | 'variables'; readonly who: number; readonly branch: number }
  | { readonly does: 'branch'; readonly who: number; readonly branch: number; readonly from: number }
  | { readonly does: 'protect' | 'unprotect'; readonly branch: number }
  | { readonly does: 'trust' | 'distrust'; readonly who: number }
  | { readonly does: 'retry'; readonly who: number }
  | { readonly does: 'run'; readonly runner: number; readonly writes: number; readonly starts: number; readonly end: 'success' | 'failed' };

export const people = ['alice', 'bob', 'carol'] as const;
export const branches = ['main', 'x', 'y'] as const;
const who = fc.nat(people.length - 1);
const branch = fc.nat(branches.length - 1);
/** 0 = nothing. */
const target = fc.nat(branches.length);
const run = fc.record({
  does: fc.constant('run' as const),
  runner: fc.nat(2),
  writes: target,
  starts: target,
  end: fc.constantFrom('success' as const, 'success' as const, 'failed' as const),
});
export const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ does: fc.constantFrom('push' as const, 'pipeline' as const, 'variables' as const), who, branch }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('branch' as const), who, branch, from: branch }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constantFrom('protect' as const, 'unprotect' as const), branch }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constantFrom('trust' as const, 'distrust' as const), who }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('retry' as const), who }) },
  { weight: 4, arbitrary: run },
);

export type Hands = ReadonlySet<number>;
export interface Line {
  /** Principals that it brings where it carries variables or a pass made it. */
  readonly hands: Hands;
  readonly user: number;
  readonly depth: number;
}

/** R3 written down a second time: what a story means, without looking at the server. */
export class Model {
  readonly pushers = new Map<string, Hands>();
  readonly parents = new Map<string, string>();
  readonly heads = new Map<string, string>();
  readonly movers = new Map<string, Hands>();
  readonly guarded = new Set<string>(['main']);
  readonly trusting = new Set<number>();
  readonly lines = new Map<number, Line>();
  readonly rights = new Map<number, Hands>();
  /** Jobs whose archive is there, by pipeline. */
  readonly built = new Map<number, number>();

  moved(branchName: string, sha: string, by: Hands): void {
    const before = this.heads.get(branchName);
    if (before !== undefined && !this.parents.has(sha) && before !== sha) this.parents.set(sha, before);
    if (!this.pushers.has(sha)) this.pushers.set(sha, by);
    this.heads.set(branchName, sha);
    this.movers.set(branchName, by);
  }

  #reach(sha: string | undefined): ReadonlySet<string> {
    const found = new Set<string>();
    for (let at = sha; at !== undefined; at = this.parents.get(at)) found.add(at);
    return found;
  }

  rightsOf(job: { starter: number; pipeline: number; sha: string; ref: string; stage: string }, runnerOwner: number | undefined): Hands {
    const found = new Set([job.starter, ...(this.lines.get(job.pipeline)?.hands ?? [])]);
    const safe = new Set([...this.guarded].flatMap((name) => [...this.#reach(this.heads.get(name))]));
    for (const sha of this.#reach(job.sha)) if (!safe.has(sha)) for (const pusher of this.pushers.get(sha) ?? []) found.add(pusher);
    if (runnerOwner !== undefined) found.add(runnerOwner);
    const source = job.stage === 'test' ? this.built.get(job.pipeline) : undefined;
    if (source !== undefined) for (const maker of this.rights.get(source) ?? []) found.add(maker);
    if (!this.trusting.has(job.starter))
      for (const name of this.guarded.has(job.ref) ? [job.ref] : this.#standsOn(job.sha, safe))
        for (const mover of this.movers.get(name) ?? []) found.add(mover);
    return found;
  }

  /** The protected branches that have the newest protected commit of a history: `main` alone where it has it. */
  #standsOn(sha: string, safe: ReadonlySet<string>): readonly string[] {
    const base = [...this.#reach(sha)].find((one) => safe.has(one));
    const having = base === undefined ? [] : [...this.guarded].filter((name) => this.#reach(this.heads.get(name)).has(base));
    return having.includes('main') ? ['main'] : having;
  }
}
