import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { newPassToken } from '../../src/base/pass-token.ts';
import { Secret } from '../../src/base/secret.ts';
import { UpstreamClient } from '../../src/forge/gitlab/client.ts';
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
    // Or with none.
    gate.gitlab.answers.set('POST /runners/verify', (_heard, response) => {
      response.destroy();
      return undefined;
    });
    for (let count = 0; count < 6; count += 1) {
      const odd = { body: { token: `glrt-${count}` }, headers: { signature: 'sig1=:AA==:' } };
      expect((await gate.call('POST', '/api/v4/jobs/request', undefined, odd)).status).toBe(502);
    }
    gate.gitlab.answers.set('GET /projects/7/issues', [200, []]);
    expect((await gate.call('GET', '/api/v4/projects/7/issues', job.pass)).status).toBe(200);
    await gate.end(job);
  });

  test('R2 A65 neither do odd questions of one pass take the others away', async () => {
    const [odd, other] = [await gate.job(), await gate.job()];
    gate.gitlab.answers.set('GET /projects/900', [500, {}]);
    for (let count = 0; count < 6; count += 1) expect((await gate.call('GET', '/api/v4/projects/900', odd.pass)).status).toBe(502);
    gate.gitlab.answers.set('GET /projects/7/issues', [200, []]);
    expect((await gate.call('GET', '/api/v4/projects/7/issues', other.pass)).status).toBe(200);
    await gate.end(odd);
    await gate.end(other);
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

  test('A65 R13 for what looks like a pass and is none nothing is asked of the forge', async () => {
    const asked = () => gate.gitlab.heard.filter(({ path }) => path.includes('libs')).length;
    const before = asked();
    for (const path of ['/api/v4/projects/libs%2Fsecret', '/libs/secret.git/info/refs?service=git-upload-pack', '/api/v4/groups/libs'])
      expect((await gate.call('GET', path, newPassToken('full').reveal())).status, path).toBe(401);
    expect(asked()).toBe(before);
  });

  test('R2 A65 however much one pass asks for at once, others are answered, and what they have in flight is not cut for want of an answer', async () => {
    const [greedy, other] = [await gate.job(), await gate.job()];
    const { gitlab } = gate;
    const release = Promise.withResolvers<void>();
    const full = Promise.withResolvers<void>();
    let [held, most] = [0, 0];
    for (let id = 1000; id < 1100; id += 1)
      gitlab.answers.set(`GET /projects/${id}`, async () => {
        held += 1;
        most = Math.max(most, held);
        if (held === 16) full.resolve();
        await release.promise;
        held -= 1;
        return [404, {}];
      });
    const download = Promise.withResolvers<ServerResponse>();
    gitlab.answers.set('GET /projects/7/repository/archive', (_heard, response) => {
      response.writeHead(200, { 'content-type': 'application/gzip' });
      response.write('begin');
      download.resolve(response);
      return undefined;
    });
    const answer = await fetch(`${gate.gateway.url}/api/v4/projects/7/repository/archive`, { headers: { 'private-token': other.pass } });
    const archive = await download.promise;
    const asking = Array.from({ length: 100 }, (_, index) => gate.call('GET', `/api/v4/projects/${1000 + index}`, greedy.pass));
    await full.promise;
    const asked = (): number => gitlab.heard.filter(({ path, headers }) => path === '/job' && headers['job-token'] === other.token).length;
    const before = asked();
    await expect.poll(() => asked() - before, { timeout: 20_000 }).toBeGreaterThan(1);
    expect((await gate.call('GET', '/api/v4/projects/8/repository/tree', other.pass)).status).toBe(404);
    archive.end('end');
    expect(await answer.text()).toBe('beginend');
    expect(most).toBe(16);
    release.resolve();
    await Promise.all(asking);
    await gate.end(greedy);
    await gate.end(other);
  });

  test('R2 A65 whether a job lives is asked though every other connection to the forge is held', async () => {
    const client = new UpstreamClient({ url: gate.gitlab.url, adminTokenFile: join(gate.gateway.dataDir, 'admin-token'), ca: undefined });
    const release = Promise.withResolvers<void>();
    const full = Promise.withResolvers<void>();
    let arrived = 0;
    gate.gitlab.answers.set('GET /held', async () => {
      arrived += 1;
      if (arrived === 64) full.resolve();
      await release.promise;
      return [404, {}];
    });
    const held = Array.from({ length: 100 }, () => client.ask('GET', '/held'));
    await full.promise;
    expect((await client.askAsJob(new Secret('glcbt-none'), '/job')).status).toBe(401);
    gate.gitlab.answers.set('POST /held', async () => {
      await release.promise;
      return [404, {}];
    });
    const strange = Array.from({ length: 100 }, () => client.post('/held', {}));
    expect((await client.askAsJob(new Secret('glcbt-none'), '/job')).status).toBe(401);
    release.resolve();
    await Promise.all([...held, ...strange]);
    const again = Promise.withResolvers<void>();
    gate.gitlab.answers.set('POST /held', async () => {
      await again.promise;
      return [404, {}];
    });
    const more = Array.from({ length: 100 }, () => client.post('/held', {}));
    expect((await client.ask('GET', '/version')).status, 'what strangers ask for is in a line of its own').toBe(200);
    again.resolve();
    await Promise.all(more);
    await client.close();
  });

  test('A65 of a push of many refs the forge is asked about a few commits at a time', async () => {
    const job = await gate.job();
    let [at, most] = [0, 0];
    const lines = Array.from({ length: 100 }, (_, index) => {
      const oid = index.toString(16).padStart(40, 'c');
      gate.gitlab.answers.set(`GET /projects/7/repository/commits/${oid}`, async () => {
        at += 1;
        most = Math.max(most, at);
        // Time for more to come, if there were more.
        for (let turn = 0; turn < 3; turn += 1) await (await fetch(`${gate.gitlab.url}/api/v4/version`)).text();
        at -= 1;
        return [404, {}];
      });
      const text = `${'0'.repeat(40)} ${oid} refs/heads/b${index}${index === 0 ? '\0 report-status' : ''}`;
      return `${(text.length + 4).toString(16).padStart(4, '0')}${text}`;
    });
    gate.gitlab.answers.set('POST /team/app.git/git-receive-pack', [200, '']);
    const authorization = `Basic ${Buffer.from(`x:${job.pass}`).toString('base64')}`;
    const headers = { authorization, 'content-type': 'application/x-git-receive-pack-request' };
    const pushed = await gate.call('POST', '/team/app.git/git-receive-pack', undefined, { raw: `${lines.join('')}0000PACK`, headers });
    expect([pushed.status, most]).toEqual([200, 8]);
    await gate.end(job);
  });
});
