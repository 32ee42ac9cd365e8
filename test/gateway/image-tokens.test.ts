import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { jobOfBoth, type Scene, scene } from '../support/scripted.ts';

describe('tokens for images', () => {
  let gate: Scene;
  beforeAll(async () => {
    gate = await scene();
  });
  beforeEach(() => gate.gitlab.answers.clear());
  afterAll(() => gate.stop());
  const basic = (pass: string) => ({ authorization: `Basic ${Buffer.from(`x:${pass}`).toString('base64')}` });

  test('R3 R4 R13 of other services of the forge none is asked for: they are good for all that its user may reach, without a scope', async () => {
    const job = await gate.job();
    gate.gitlab.answers.set('GET /jwt/auth', [200, { token: 'x' }]);
    const asked = (query: string) => gate.call('GET', `/jwt/auth?${query}`, undefined, { headers: basic(job.pass) });
    const before = gate.gitlab.carried().length;
    for (const query of ['service=dependency_proxy', 'service=container_registry&service=dependency_proxy', 'service=', ''])
      expect((await asked(query)).status, query).toBe(404);
    expect(gate.gitlab.carried().length).toBe(before);
    expect((await asked('service=container_registry')).status).toBe(200);
    await gate.end(job);
  });

  test('R3 for several people images are pulled, and pushed nowhere: rules of who may push are asked for one user only', async () => {
    const both = await jobOfBoth(gate);
    gate.gitlab.answers.set('GET /jwt/auth', [200, { token: 'x' }]);
    const query = 'service=container_registry&scope=repository:team/app:pull,push,delete';
    expect((await gate.call('GET', `/jwt/auth?${query}`, undefined, { headers: basic(both.pass) })).status).toBe(200);
    const asked = new URLSearchParams(gate.gitlab.heard.findLast(({ path }) => path.startsWith('/jwt/auth'))?.path.split('?')[1]);
    expect(asked.getAll('scope')).toEqual(['repository:team/app:pull']);
    await gate.end(both);
  });
});
