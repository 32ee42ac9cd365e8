import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Scene, scene } from '../support/scripted.ts';

// Whoever has no credential at all, and what they can do to the passes of others.
describe('strangers at the gateway', () => {
  let gate: Scene;
  beforeAll(async () => {
    gate = await scene();
  });
  beforeEach(() => gate.gitlab.answers.clear());
  afterAll(() => gate.stop());

  test('R2 odd questions of a stranger, which the forge answers with an error, take no pass away', async () => {
    const job = await gate.job();
    // As GitLab does, with a zero byte in a parameter.
    gate.gitlab.answers.set('POST /runners/verify', [400, { error: '400 Bad Request' }]);
    for (let count = 0; count < 6; count += 1) {
      const odd = { body: { token: `\0${count}` }, headers: { signature: 'sig1=:AA==:' } };
      expect((await gate.call('POST', '/api/v4/jobs/request', undefined, odd)).status).toBe(502);
    }
    gate.gitlab.answers.set('GET /projects/7/issues', [200, []]);
    expect((await gate.call('GET', '/api/v4/projects/7/issues', job.pass)).status).toBe(200);
    await gate.end(job);
  });

  test("R12 A49 what a stranger sends as a job's trace neither stands between two pieces of the runner's, nor is kept", async () => {
    const job = await gate.job();
    const trace = `/api/v4/jobs/${job.id}/trace`;
    gate.gitlab.answers.set(`PATCH /jobs/${job.id}/trace`, [202]);
    const patch = (raw: string, token: string) => gate.call('PATCH', trace, undefined, { raw, headers: { 'job-token': token } });
    const halves = [job.pass.slice(0, 20), job.pass.slice(20)] as const;
    await patch(halves[0], 'glcbt-stranger');
    await patch(halves[1], job.token);
    expect((await gate.call('GET', '/api/v4/user', job.pass)).status).toBe(200);
    await patch(`\n${halves[0]}`, job.token);
    await patch('x'.repeat(8192), 'glcbt-stranger');
    await patch(halves[1], job.token);
    expect((await gate.call('GET', '/api/v4/user', job.pass)).status).toBe(401);
    // One that prints a pass is heard all the same.
    const other = await gate.job();
    await patch(other.pass, 'glcbt-stranger');
    expect((await gate.call('GET', '/api/v4/user', other.pass)).status).toBe(401);
    await gate.end(other);
    await gate.end(job);
  });
});
