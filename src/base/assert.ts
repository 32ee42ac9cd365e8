import { JobpassError } from './errors.ts';

/** Throws `internal` where an invariant does not hold; the text reaches the log only. */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new JobpassError('internal', {}, new Error(`invariant broken: ${what}`));
}

/** Marks a branch that the types rule out. */
export function unreachable(value: never, what: string): never {
  throw new JobpassError('internal', {}, new Error(`unreachable: ${what}: ${String(value)}`));
}

/** @returns `value`, which an invariant says is there. */
export function present<Value>(value: Value | undefined | null, what: string): Value {
  assert(value !== undefined && value !== null, `${what} is missing`);
  return value;
}
