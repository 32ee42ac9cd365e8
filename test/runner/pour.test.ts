import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { pour } from '../../src/runner/pour.ts';

/** More than any pipe holds. */
const many = 4_000_000;

function start(command: string) {
  const child = spawn('/bin/sh', ['-c', command], { stdio: ['pipe', 'pipe', 'ignore'] });
  return { child, ended: once(child, 'close') };
}

describe('one program’s output as another’s input', () => {
  test('the other ends early, having had enough: who says it ends well all the same', async () => {
    for (const early of ['exit 0', 'head -c 10 > /dev/null', 'exec 0<&-; exit 0']) {
      const from = start(`head -c ${many} /dev/zero`);
      const into = start(early);
      into.child.stdout.resume();
      await pour(from.child.stdout, into.child.stdin);
      expect(await from.ended, early).toEqual([0, null]);
      expect(await into.ended, early).toEqual([0, null]);
    }
  });

  test('what is said arrives whole, and then its end', async () => {
    const from = start(`head -c ${many} /dev/zero`);
    const into = start('wc -c');
    let said = '';
    into.child.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()));
    await pour(from.child.stdout, into.child.stdin);
    await into.ended;
    expect(Number(said)).toBe(many);
  });

  test('more than is taken is an error, and the other hears an end', async () => {
    const from = start(`head -c ${many} /dev/zero`);
    const into = start('cat > /dev/null');
    into.child.stdout.resume();
    await expect(pour(from.child.stdout, into.child.stdin, 1000)).rejects.toMatchObject({ code: 'too_large' });
    await Promise.all([from.ended, into.ended]);
  });
});
