import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Secret } from '../../src/base/secret.ts';
import { registerRunner } from '../../src/runner/register.ts';
import { FakeForge } from './support/fake-forge.ts';
import { jobPayload, makeScene, textOf } from './support/jobs.ts';

test('R15 R6 jobs of two servers with one id: neither server reads the other’s trace, and both jobs end well', async () => {
  const scene = await makeScene();
  const other = await new FakeForge(join(scene.dir, 'other')).start();
  try {
    const { configPath, buildsDir } = scene;
    await registerRunner({ url: other.url, token: new Secret('glrt-good-other'), executor: 'shell', configPath, name: 'other', buildsDir });
    await writeFile(configPath, (await readFile(configPath, 'utf8')).replace('concurrent = 1\n', 'concurrent = 2\n'));
    await scene.start();
    const flag = join(scene.dir, 'end');
    const forges = [scene.forge, other] as const;
    const words = ['private to one', 'private to the other'] as const;
    // One begins when the other has begun: whatever they share, they share it now.
    for (const [index, forge] of forges.entries()) {
      forge.give(jobPayload([`echo ${words[index]}`, `until test -e ${flag}; do sleep 0.02; done`, 'echo the end'], { id: 1 }));
      await forge.when(() => textOf(forge.report(1).trace).includes(`\n${words[index]}`));
    }
    expect(await readdir(join(buildsDir, '.jobpass', 'traces'))).toHaveLength(2);
    await writeFile(flag, '');
    for (const [index, forge] of forges.entries()) {
      const { final, trace } = await forge.ended(1);
      expect(final, textOf(trace)).toMatchObject({ state: 'success' });
      expect(textOf(trace)).toContain(words[index]);
      expect(textOf(trace)).not.toContain(words[1 - index]);
    }
  } finally {
    await other.close();
    await scene.close();
  }
});
