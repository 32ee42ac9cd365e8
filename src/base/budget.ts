/** Work that one evaluation may still do, in steps of about ten nanoseconds; below zero, it was too much. Whoever works takes away from it. */
export interface Budget {
  left: number;
}

/** About a second: the server thinks about nobody else meanwhile. */
export function newBudget(): Budget {
  return { left: 100_000_000 };
}
