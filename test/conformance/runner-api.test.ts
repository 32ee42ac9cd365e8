import { afterAll, beforeAll, describe, test } from 'vitest';
import { makeScene, type Scene } from './runner-api.scene.ts';
import { runnerApi } from './runner-api.table.ts';

describe('the Runner API, as a gitlab-runner of today speaks it', () => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await makeScene();
  });
  afterAll(() => scene.stop());

  test.each(runnerApi.map((row) => [`§${row.section} ${row.fact}`, row] as const))('%s', async (_name, row) => {
    await row.holds(scene);
  });
});
