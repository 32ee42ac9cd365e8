import { randomBytes } from 'node:crypto';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode } from '../../../base/errors.ts';
import type { BuildPlace } from '../executor.ts';
import { quote } from '../shell/script.ts';

/** Tells whether a shell has read its script: an image's entrypoint may end well without starting one. */
export interface BeginMark {
  /** What the shell has to do first. */
  readonly line: string;
  /** True where it never did; for after its end. */
  missing(): Promise<boolean>;
}

/** A file beside the checkout. */
export function beginMark({ tmpDir, seen }: BuildPlace): BeginMark {
  const name = `begun-${randomBytes(8).toString('hex')}`;
  return {
    line: `(: > ${quote(`${seen.tmpDir}/${name}`)}) 2>/dev/null\n`,
    // Only where the folder is as it was made: a script may do with it what it likes.
    missing: async () => (await isGone(join(tmpDir, name))) && !(await isGone(join(tmpDir, 'home'))),
  };
}

function isGone(path: string): Promise<boolean> {
  return lstat(path).then(
    () => false,
    (error: unknown) => hasCode(error, 'ENOENT'),
  );
}
