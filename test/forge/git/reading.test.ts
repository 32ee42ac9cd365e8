import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { GitProcess } from '../../../src/forge/embedded/git/processes.ts';
import { fuzzAsync, tellCount } from '../../fuzz/cases.ts';
import { type EmbeddedGit, startEmbeddedGit } from '../../support/embedded-git.ts';

tellCount('how git is read');

let forge: EmbeddedGit;
beforeAll(async () => {
  forge = await startEmbeddedGit();
});
afterAll(() => forge.close());

/** About the marks at which a stream of 16 or 64 KiB stops, and a pipe and a frame. */
const sizes = fc.oneof(fc.constantFrom(0, 1, 16_384, 65_535, 65_536, 65_537, 131_072), fc.integer({ min: 0, max: 400_000 }));
/** After each piece the reader waits for so many turns of the loop, over and over. */
const pauses = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 6 });

async function read({ output }: GitProcess, turns: readonly number[], mostBytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of output) {
    parts.push(part as Buffer);
    bytes += (part as Buffer).length;
    if (bytes >= mostBytes) break;
    for (let left = turns[parts.length % turns.length] ?? 0; left > 0; left -= 1) await setImmediate();
  }
  return Buffer.concat(parts);
}

test('whatever is written to git comes back whole, however it is cut and however slowly it is read, and git’s end is heard', async () => {
  const cut = fc.array(fc.integer({ min: 1, max: 90_000 }), { minLength: 1, maxLength: 5 });
  await fuzzAsync(30, fc.tuple(sizes, cut, pauses), async ([size, cuts, turns]) => {
    const whole = randomBytes(size);
    const git = forge.runner.start(forge.path, ['-c', 'alias.back=!cat', 'back']);
    const write = async (): Promise<void> => {
      for (let at = 0, index = 0; at < size; index += 1) {
        const end = at + (cuts[index % cuts.length] ?? size);
        if (!git.input.write(whole.subarray(at, end))) await once(git.input, 'drain');
        at = end;
      }
      git.input.end();
    };
    const [back] = await Promise.all([read(git, turns, Infinity), write()]);
    expect(back.equals(whole)).toBe(true);
    expect(await git.done).toMatchObject({ code: 0, clean: true });
  });
});

test('git’s end is heard also where nobody reads on: before its first byte, in the middle, or after its last', async () => {
  await fuzzAsync(30, fc.tuple(sizes, fc.integer({ min: 0, max: 400_000 }), pauses), async ([size, mostBytes, turns]) => {
    const git = forge.runner.start(forge.path, ['-c', `alias.say=!head -c ${size} /dev/zero`, 'say']);
    git.input.end();
    if (mostBytes % 7 === 0) git.output.destroy();
    else await read(git, turns, mostBytes);
    await git.done;
  });
});

test('git’s end is heard also before anybody reads what it said last', async () => {
  await fuzzAsync(
    30,
    sizes.filter((size) => size < 65_536),
    async (size) => {
      const git = forge.runner.start(forge.path, ['-c', `alias.say=!head -c ${size} /dev/zero`, 'say']);
      git.input.end();
      // Less than a stream holds without a reader.
      expect(await git.done).toMatchObject({ code: 0, clean: true });
      expect((await read(git, [0], Infinity)).length).toBe(size);
    },
  );
});
