import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { millis, type JobId, type RunnerId } from '../../src/base/ids.ts';
import { newPassToken } from '../../src/base/pass-token.ts';
import { type Claimed, oneJob, type TestServer } from '../support/server.ts';

/** A full pass for a job that runs, made as the queue makes it: what a runner with trust `full` would hold. */
async function fullPass(server: TestServer, job: Claimed, principals: readonly number[]): Promise<string> {
  const secret = newPassToken('full');
  const row = await server.store.jobs.job(null, job.id as JobId);
  if (row === undefined) throw new Error('no job');
  await server.store.transactor.write((tx) =>
    server.store.passes.insert(tx, {
      kind: 'full',
      digest: secret.digest(),
      jobId: row.id,
      pipelineId: row.pipelineId,
      projectId: row.projectId,
      sha: row.sha,
      parentId: null,
      principals: principals.map((userId) => ({ userId: userId as never, reason: 'starter' })),
      ownProjectOnly: false,
      chainDepth: 0,
      issuedAt: millis(Date.now()),
      expiresAt: millis(Date.now() + 600_000),
    }),
  );
  return secret.reveal();
}

/** The rules through real HTTP against a whole server; the same on both engines. @param start makes the server */
export function lifeSuite(engine: string, start: () => Promise<TestServer>): void {
  describe(`a pass, through real HTTP against a whole server on ${engine}`, () => {
    let server: TestServer;
    let alice: { id: number; token: string };
    let bob: { id: number; token: string };
    let app: number;
    let other: number;
    let hidden: number;
    let runner: { id: number; token: string };

    beforeAll(async () => {
      server = await start();
      [alice, bob] = [await server.user('alice'), await server.user('bob')];
      app = await server.project('team/app');
      other = await server.project('ops/settings');
      hidden = await server.project('secret/vault');
      await server.member(app, alice.id, 40);
      await server.member(other, alice.id, 20);
      await server.commit(other, 'version.txt', 'v1');
      await server.commit(app, '.gitlab-ci.yml', oneJob, { token: alice.token });
      runner = await server.runner();
    });
    afterAll(() => server.stop());

    async function startJob(): Promise<Claimed> {
      const waiting = await server.claim(runner.token);
      if (waiting !== undefined) return waiting;
      await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
      const job = await server.claim(runner.token);
      if (job === undefined) throw new Error('no job');
      return job;
    }

    test('R1 a full pass reaches what its user reaches, and nothing that the user does not', async () => {
      const job = await startJob();
      const pass = await fullPass(server, job, [alice.id]);
      expect((await server.call('GET', '/api/v4/user', { token: pass })).body['username']).toBe('alice');
      expect((await server.call('GET', `/api/v4/projects/${other}`, { token: pass })).status).toBe(200);
      expect((await server.call('GET', `/api/v4/projects/${hidden}`, { token: pass })).status).toBe(404);
      expect((await server.call('POST', `/api/v4/projects/${other}/repository/branches?branch=x&ref=main`, { token: pass })).status).toBe(
        403,
      );
      await server.finish(job);
    });

    test('R1 A37 a role that is lost, and a user that is blocked, count from the next request on', async () => {
      const job = await startJob();
      const pass = await fullPass(server, job, [alice.id]);
      await server.must('DELETE', `/api/v4/projects/${other}/members/${alice.id}`);
      expect((await server.call('GET', `/api/v4/projects/${other}`, { token: pass })).status).toBe(404);
      await server.member(other, alice.id, 20);
      expect((await server.call('GET', `/api/v4/projects/${other}`, { token: pass })).status).toBe(200);
      await server.must('POST', `/api/v4/users/${alice.id}/block`);
      expect((await server.call('GET', `/api/v4/projects/${other}`, { token: pass })).status).toBe(403);
      await server.must('POST', `/api/v4/users/${alice.id}/unblock`);
      await server.finish(job);
    });

    test('R2 A45 the first request after the end of the job is refused, on every door', async () => {
      const job = await startJob();
      const pass = await fullPass(server, job, [alice.id]);
      const asGit = { headers: { authorization: `Basic ${Buffer.from(`git:${pass}`).toString('base64')}` } };
      expect((await server.call('GET', '/api/v4/user', { token: pass })).status).toBe(200);
      expect((await server.call('GET', '/team/app.git/info/refs?service=git-upload-pack', asGit)).status).toBe(200);
      expect((await server.finish(job)).status).toBe(200);
      expect((await server.call('GET', '/api/v4/user', { token: pass })).status).toBe(401);
      expect((await server.call('GET', '/team/app.git/info/refs?service=git-upload-pack', asGit)).status).toBe(401);
      expect((await server.call('GET', '/api/v4/job', { token: job.fetchPass })).status).toBe(401);
    });

    test('R2 while a job is canceling only the fetch pass is left; a forced cancel kills it', async () => {
      const job = await startJob();
      const pass = await fullPass(server, job, [alice.id]);
      await server.must('POST', `/api/v4/projects/${app}/jobs/${job.id}/cancel`, {}, alice.token);
      expect((await server.call('GET', '/api/v4/user', { token: pass })).status).toBe(401);
      expect((await server.call('GET', '/api/v4/job', { token: job.fetchPass })).status).toBe(200);
      await server.must('POST', `/api/v4/projects/${app}/jobs/${job.id}/cancel`, { force: true }, alice.token);
      expect((await server.call('GET', '/api/v4/job', { token: job.fetchPass })).status).toBe(401);
    });

    test('R2 a runner that has been silent for 3 minutes suspends the pass', async () => {
      const job = await startJob();
      const silent = millis(Date.now() - 181_000);
      await server.store.transactor.write((tx) => server.store.jobs.changeJob(tx, job.id as JobId, ['running'], { contactAt: silent }));
      expect((await server.call('GET', '/api/v4/job', { token: job.fetchPass })).status).toBe(401);
      await server.call('PUT', `/api/v4/jobs/${job.id}`, { headers: { 'job-token': job.token }, body: { state: 'running' } });
      expect((await server.call('GET', '/api/v4/job', { token: job.fetchPass })).status).toBe(200);
      await server.finish(job);
    });

    test('R3 every principal must be allowed; a resource that one cannot see does not exist', async () => {
      const job = await startJob();
      const pass = await fullPass(server, job, [alice.id, bob.id]);
      expect((await server.call('GET', `/api/v4/projects/${other}`, { token: pass })).status).toBe(404);
      expect((await server.call('GET', '/api/v4/projects', { token: pass })).list).toEqual([]);
      await server.member(other, bob.id, 20);
      expect((await server.call('GET', `/api/v4/projects/${other}`, { token: pass })).status).toBe(200);
      expect((await server.call('GET', '/api/v4/projects', { token: pass })).list.map((row) => row['id'])).toEqual([other]);
      await server.must('DELETE', `/api/v4/projects/${other}/members/${bob.id}`);
      await server.finish(job);
    });

    test('R5 A9 no pass makes a credential, a member, a runner or a setting, whatever its user may', async () => {
      const job = await startJob();
      const pass = await fullPass(server, job, [alice.id]);
      const tries: readonly [string, string, object][] = [
        ['POST', '/api/v4/user/personal_access_tokens', { name: 'x', scopes: ['api'] }],
        ['POST', `/api/v4/projects/${app}/members`, { user_id: bob.id, access_level: 30 }],
        ['POST', '/api/v4/user/runners', { runner_type: 'project_type', project_id: app }],
        ['PUT', `/api/v4/projects/${app}`, { visibility: 'public' }],
        ['POST', `/api/v4/projects/${app}/protected_branches`, { name: 'x' }],
        ['DELETE', `/api/v4/projects/${app}`, {}],
        ['POST', '/api/v4/groups', { name: 'x', path: 'x' }],
        ['POST', `/api/v4/projects/${app}/hooks`, { url: 'https://example.com' }],
        ['POST', `/api/v4/projects/${app}/deploy_keys`, {}],
        ['POST', '/api/graphql', {}],
      ];
      for (const [method, path, body] of tries) {
        const reply = await server.call(method, path, { token: pass, body });
        expect([method, path, reply.status]).toEqual([method, path, 403]);
      }
      await server.finish(job);
    });

    test('R5 a pipeline that a pass starts is refused, and a push by it starts nothing', async () => {
      const job = await startJob();
      const pass = await fullPass(server, job, [alice.id]);
      const before = (await server.call('GET', `/api/v4/projects/${app}/pipelines`, { token: alice.token })).headers.get('x-total');
      expect((await server.call('POST', `/api/v4/projects/${app}/pipeline`, { token: pass, body: { ref: 'main' } })).status).toBe(403);
      await server.commit(app, `by-pass-${job.id}.txt`, 'x', { token: pass });
      expect((await server.call('GET', `/api/v4/projects/${app}/pipelines`, { token: alice.token })).headers.get('x-total')).toBe(before);
      await server.finish(job);
    });

    test('R4 A66 no pass writes below .jobpass/', async () => {
      const job = await startJob();
      const pass = await fullPass(server, job, [alice.id]);
      const body = { branch: 'main', commit_message: 'x', actions: [{ action: 'create', file_path: '.jobpass/policy.yml', content: 'x' }] };
      const refused = await server.call('POST', `/api/v4/projects/${app}/repository/commits`, { token: pass, body });
      expect([refused.status, refused.text]).toEqual([403, expect.stringContaining('.jobpass/')]);
      await server.finish(job);
    });

    test('R8 the fetch pass fetches, and does nothing else', async () => {
      const job = await startJob();
      const basic = { authorization: `Basic ${Buffer.from(`x:${job.fetchPass}`).toString('base64')}` };
      expect((await server.call('GET', '/ops/settings.git/info/refs?service=git-upload-pack', { headers: basic })).status).toBe(200);
      expect((await server.call('GET', '/team/app.git/info/refs?service=git-receive-pack', { headers: basic })).status).toBe(403);
      expect((await server.call('GET', '/secret/vault.git/info/refs?service=git-upload-pack', { headers: basic })).status).toBe(404);
      expect((await server.call('GET', `/api/v4/projects/${other}`, { token: job.fetchPass })).status).toBe(403);
      await server.finish(job);
    });

    test('R8 the runner gives the fetch pass back, and it is dead from then on', async () => {
      const job = await startJob();
      const form = { 'content-type': 'application/x-www-form-urlencoded' };
      expect(
        (await server.call('POST', '/-/jobpass/oauth/introspect', { headers: form, raw: `token=${job.fetchPass}` })).body['active'],
      ).toBe(true);
      expect((await server.call('POST', '/-/jobpass/oauth/revoke', { headers: form, raw: `token=${job.fetchPass}` })).status).toBe(200);
      expect((await server.call('POST', '/-/jobpass/oauth/introspect', { headers: form, raw: `token=${job.fetchPass}` })).body).toEqual({
        active: false,
      });
      expect((await server.call('GET', '/api/v4/job', { token: job.fetchPass })).status).toBe(401);
      await server.finish(job);
    });

    test('R6 no pass is anywhere in the payload but in its own field, and only its SHA-256 is kept', async () => {
      const job = await startJob();
      const { extended_job_token: extended, ...rest } = job.payload;
      expect(JSON.stringify(extended)).toMatch(/jpt_f[0-9A-Za-z]{36}/);
      expect(JSON.stringify(rest)).not.toMatch(/jpt_[xfn][0-9A-Za-z]/);
      const [kept] = await server.store.passes.forJob(null, job.id as JobId);
      expect(kept?.digest).toMatch(/^[0-9a-f]{64}$/);
      expect(JSON.stringify(kept)).not.toContain(job.fetchPass.slice(5, 20));
      await server.finish(job);
    });

    test('R7 an unsigned request never gets the full pass, also where trust is full and the job asks', async () => {
      const asking = await server.project('asking/app');
      await server.member(asking, alice.id, 40);
      const trusted = await server.runner({ tags: ['trusted'] });
      await server.must('PUT', `/api/v4/runners/${trusted.id}`, { trust: 'full', unsafe_accepted: true });
      await server.commit(
        asking,
        '.gitlab-ci.yml',
        'stages: [test]\njob:\n  tags: [trusted]\n  variables: {JOBPASS_EXPOSE: replace}\n  script: ["true"]\n',
        { token: alice.token },
      );
      const job = await server.claim(trusted.token);
      expect(job?.pass).toBeUndefined();
      expect(job?.fetchPass).toMatch(/^jpt_f/);
      if (job !== undefined) await server.finish(job);
    });

    test('R7 a runner without trust gets no pass at all', async () => {
      const distrusted = await server.runner();
      await server.must('PUT', `/api/v4/runners/${distrusted.id}`, { trust: 'none' });
      await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
      const job = await server.claim(distrusted.token);
      expect(job?.payload['extended_job_token']).toBeUndefined();
      if (job !== undefined) await server.finish(job);
    });

    test('R16 over an insecure transport no pass is issued', async () => {
      const plain = await server.runner();
      await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
      const record = await server.store.runners.byId(null, plain.id as RunnerId);
      if (record === undefined) throw new Error('no runner');
      const claim = await server.jobs.queue.claim(record, { signed: null, secure: false, managerId: null, features: [] });
      expect(claim?.payload.id).toBeGreaterThan(0);
      expect(JSON.stringify(claim?.payload)).not.toMatch(/jpt_[xfn][0-9A-Za-z]/);
      expect(await server.store.passes.forJob(null, claim?.payload.id as JobId)).toEqual([]);
      await server.call('PUT', `/api/v4/jobs/${String(claim?.payload.id)}`, {
        headers: { 'job-token': claim?.payload.token ?? '' },
        body: { state: 'success' },
      });
    });

    test('R10 every decision of a pass is in the trail, with its outcome', async () => {
      const job = await startJob();
      const pass = await fullPass(server, job, [alice.id]);
      await server.call('GET', `/api/v4/projects/${other}`, { token: pass });
      await server.call('GET', `/api/v4/projects/${hidden}`, { token: pass });
      await server.finish(job);
      // Refusals wait up to a second to be counted together; the end of the server writes them too.
      await expect
        .poll(
          async () =>
            (await server.call('GET', `/api/v4/jobpass/audit?job_id=${job.id}&per_page=100`, { token: server.root })).list.map((row) => [
              row['decision'],
              row['accesses'],
              row['outcome'],
            ]),
          { timeout: 10_000 },
        )
        .toEqual(
          expect.arrayContaining([
            ['allow', [`project:read@project:${other}`], 'done'],
            ['deny', [`project:read@project:${hidden}`], null],
          ]),
        );
    });

    test('R11 a refusal says what is missing where the resource may be seen', async () => {
      const job = await startJob();
      const pass = await fullPass(server, job, [alice.id]);
      const reply = await server.call('POST', `/api/v4/projects/${other}/repository/branches`, {
        token: pass,
        body: { branch: 'x', ref: 'main' },
      });
      expect(reply.body['message']).toBe(
        '403 Forbidden - branch:write on ops/settings is missing: it needs developer, and alice has reporter.',
      );
      await server.finish(job);
    });

    test('R13 a route that is in no list is refused to a pass and unknown to a person', async () => {
      const job = await startJob();
      const pass = await fullPass(server, job, [alice.id]);
      expect((await server.call('GET', '/api/v4/projects/1/wikis', { token: pass })).status).toBe(403);
      expect((await server.call('GET', '/api/v4/projects/1/wikis', { token: alice.token })).status).toBe(404);
      await server.finish(job);
    });

    test('R14 A38 a recycled path gives nothing away: passes and grants bind numbers', async () => {
      const job = await startJob();
      const pass = await fullPass(server, job, [alice.id]);
      const first = await server.project('recycled/name');
      await server.member(first, alice.id, 20);
      expect((await server.call('GET', '/api/v4/projects/recycled%2Fname', { token: pass })).status).toBe(200);
      await server.must('DELETE', `/api/v4/projects/${first}`);
      const second = await server.project('recycled/name');
      expect(second).toBeGreaterThan(first);
      expect((await server.call('GET', '/api/v4/projects/recycled%2Fname', { token: pass })).status).toBe(404);
      await server.finish(job);
    });

    test('R17 A26 A67 a pass in a query, a cookie or a body, and a second credential, are refused', async () => {
      const job = await startJob();
      const pass = await fullPass(server, job, [alice.id]);
      expect((await server.call('GET', `/api/v4/user?private_token=${pass}`)).status).toBe(400);
      expect((await server.call('GET', '/api/v4/user', { headers: { cookie: `token=${pass}` }, token: alice.token })).status).toBe(400);
      expect(
        (
          await server.call('POST', `/api/v4/projects/${app}/repository/tags`, {
            token: alice.token,
            body: { tag_name: 'x', ref: 'main', message: pass },
          })
        ).status,
      ).toBe(400);
      expect((await server.call('GET', '/api/v4/user', { token: pass, headers: { authorization: `Bearer ${alice.token}` } })).status).toBe(
        400,
      );
      await server.finish(job);
    });

    test('R12 A49 a pass that is printed over two pieces of a trace is revoked', async () => {
      const job = await startJob();
      const text = `token: ${job.fetchPass}\n`;
      const patch = (from: number, part: string) =>
        server.call('PATCH', `/api/v4/jobs/${job.id}/trace`, {
          headers: { 'job-token': job.token, 'content-range': `${from}-${from + part.length - 1}`, 'content-type': 'text/plain' },
          raw: part,
        });
      expect((await patch(0, text.slice(0, 20))).status).toBe(202);
      expect((await patch(20, text.slice(20))).status).toBe(202);
      expect((await server.call('GET', '/api/v4/job', { token: job.fetchPass })).status).toBe(401);
      const trace = (await server.call('GET', `/api/v4/projects/${app}/jobs/${job.id}/trace`, { token: alice.token })).text;
      expect(trace).not.toContain(job.fetchPass);
      await server.finish(job);
    });

    test('A46 twenty claims at once of one job: one claimant', async () => {
      await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
      const claims = (await Promise.all(Array.from({ length: 20 }, () => server.claim(runner.token)))).filter((job) => job !== undefined);
      expect(claims).toHaveLength(1);
      for (const job of claims) await server.finish(job);
    });

    test('A55 who pushed unprotected commits is a principal', async () => {
      await server.member(app, bob.id, 30);
      await server.must('POST', `/api/v4/projects/${app}/repository/branches`, { branch: 'shared', ref: 'main' }, alice.token);
      while (await server.claim(runner.token).then((job) => (job === undefined ? undefined : server.finish(job)))) continue;
      const owners = async (file: string, token: string): Promise<number[]> => {
        await server.commit(app, file, 'x', { token, branch: 'shared' });
        const job = await server.claim(runner.token);
        if (job === undefined) return [];
        await server.finish(job);
        const [pass] = await server.store.passes.forJob(null, job.id as JobId);
        return pass?.principals.map((principal) => Number(principal.userId)) ?? [];
      };
      // Alice as who last moved main, which the branch was cut from (A59).
      expect(await owners('bobs.txt', bob.token)).toEqual([bob.id, alice.id]);
      expect(await owners('typo.txt', alice.token)).toEqual([alice.id, bob.id]);
    });

    test('R2 A61 a write that was admitted asks again at the moment it takes effect', async () => {
      const job = await startJob();
      const pass = await fullPass(server, job, [alice.id]);
      const body = {
        branch: 'main',
        commit_message: 'late',
        actions: [{ action: 'create', file_path: `late-${job.id}.txt`, content: 'x' }],
      };
      // The job ends while the commit is on its way: whichever comes first, a commit that exists was made by a living pass.
      const [commit, finished] = await Promise.all([
        server.call('POST', `/api/v4/projects/${app}/repository/commits`, { token: pass, body }),
        server.finish(job),
      ]);
      expect(finished.status).toBe(200);
      const file = await server.call('GET', `/api/v4/projects/${app}/repository/files/late-${job.id}.txt?ref=main`, { token: alice.token });
      expect([commit.status === 201, file.status === 200]).toEqual([file.status === 200, file.status === 200]);
      expect((await server.call('GET', '/api/v4/user', { token: pass })).status).toBe(401);
    });
  });
}
