import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Secret } from '../../src/base/secret.ts';
import { Engine } from '../../src/runner/engine/engine.ts';
import { isTable, textsIn } from '../../src/runner/parsed.ts';
import { parseDocker } from '../../src/runner/executors/docker/config.ts';
import { bringImage } from '../../src/runner/executors/docker/images.ts';
import type { JobNeeds } from '../../src/runner/executors/executor.ts';
import { podmanInstalled, startPodman, type TestEngine } from '../support/engine.ts';

describe.skipIf(!podmanInstalled())('images that podman has', () => {
  let own: TestEngine;
  let engine: Engine;
  const needs: JobNeeds = {
    jobId: 1,
    image: undefined,
    services: [],
    serviceEnvironment: {},
    pulls: { registries: ['forge.example'], username: 'gitlab-ci-token', password: new Secret('none') },
    say: () => undefined,
    signal: new AbortController().signal,
  };
  const config = parseDocker({ pull_policy: 'never' });
  beforeAll(async () => {
    own = await startPodman();
    engine = new Engine(own.socketPath);
    // As an earlier job left it, who had the right to pull it.
    own.cli('tag', own.image, 'forge.example/group/private:1');
  }, 120_000);
  afterAll(async () => {
    engine.close();
    await own.close();
  }, 60_000);

  test('R8 A34 one of the forge is not had under a short name, nor by its digest under another', async () => {
    const facts = await engine.call('GET', '/images/forge.example%2Fgroup%2Fprivate:1/json');
    const digest = textsIn(isTable(facts) ? facts : {}, 'RepoDigests')[0]?.split('@')[1] ?? '';
    expect(digest).toMatch(/^sha256:/);
    for (const name of [
      'group/private:1',
      'private:1',
      `other/thing@${digest}`,
      `group/private@${digest}`,
      `docker.io/group/private:1@${digest}`,
    ])
      await expect(bringImage(engine, config, needs, name, undefined, undefined), name).rejects.toThrow('cannot be had');
  });

  test('one that was built here is had without a registry in its name', async () => {
    expect((await bringImage(engine, config, needs, own.image, undefined, undefined)).id).toMatch(/^sha256:/);
  });
});
