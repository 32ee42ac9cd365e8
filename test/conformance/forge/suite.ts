import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Place } from '../../support/place.ts';
import type { Claimed, ForgeClient } from '../../support/server.ts';

/** Where places part, and why; everything else is the same. */
export interface Differences {
  /** How long a role that was taken away may still count: look-ups are kept so long. */
  readonly roleMs: number;
  /** What a pass hears whose user was blocked: of a GitLab, that its job is over, as it takes no job token of such a user. */
  readonly blocked: 401 | 403;
  /** What a list answers to a pass of several people. */
  readonly listOfSeveral: 'filtered' | 'refused';
}

/** What people do with passes, over HTTP alone: the same at the embedded forge and through the gateway. @param open makes the place */
export function forgeSuite(name: string, open: () => Promise<Place>, differences: Differences): void {
  describe(`passes at ${name}`, () => {
    let place: Place;
    let forge: ForgeClient;
    let alice: { id: number; token: string };
    let bob: { id: number; token: string };
    let [app, lib, hidden] = [0, 0, 0];

    beforeAll(async () => {
      place = await open();
      ({ forge } = place);
      [alice, bob] = [await forge.user('alice'), await forge.user('bob')];
      app = await forge.project('team/app');
      lib = await forge.project('libs/secret');
      hidden = await forge.project('vault/closed');
      await forge.member(app, alice.id, 40);
      await forge.member(app, bob.id, 30);
      await forge.member(lib, alice.id, 20);
      await forge.commit(lib, 'secret.txt', 'of the library\n');
      const ci = `job:\n  rules: [{if: '$CI_PIPELINE_SOURCE == "api"'}]\n  variables: {JOBPASS_EXPOSE: variable}\n  script: ["true"]\n`;
      await forge.commit(app, '.gitlab-ci.yml', ci, { token: alice.token });
    }, 60_000);
    afterAll(() => place?.stop());

    async function job(ref = 'main', by = alice): Promise<Claimed & { pass: string }> {
      await forge.must('POST', `/api/v4/projects/${app}/pipeline`, { ref }, by.token);
      const claimed = await forge.claim(place.runner.token);
      if (claimed?.pass === undefined) throw new Error(`no pass: ${JSON.stringify(claimed?.payload['extended_job_token'])}`);
      return { ...claimed, pass: claimed.pass };
    }
    const status = async (method: string, path: string, token: string, body?: unknown): Promise<number> =>
      (await forge.call(method, path, { token, ...(body === undefined ? {} : { body }) })).status;
    const git = async (path: string, pass: string): Promise<number> =>
      (await forge.call('GET', path, { headers: { authorization: `Basic ${Buffer.from(`git:${pass}`).toString('base64')}` } })).status;
    const becomes = async (ask: () => Promise<number>, wanted: number): Promise<void> => {
      await expect.poll(ask, { timeout: differences.roleMs + 10_000 }).toBe(wanted);
    };

    test('R1 a full pass reaches what its user reaches, says who that is, and reaches nothing else', async () => {
      const one = await job();
      expect((await forge.call('GET', '/api/v4/user', { token: one.pass })).body['username']).toBe('alice');
      expect(await status('GET', `/api/v4/projects/${lib}`, one.pass)).toBe(200);
      expect(await status('GET', '/api/v4/projects/libs%2Fsecret', one.pass)).toBe(200);
      expect(await status('GET', `/api/v4/projects/${hidden}`, one.pass)).toBe(404);
      for (const read of ['compare?from=main&to=main', 'archive', 'archive.tar.gz?sha=main', 'archive.zip'])
        for (const [project, expected] of [
          [lib, 200],
          [hidden, 404],
        ] as const)
          expect(await status('GET', `/api/v4/projects/${project}/repository/${read}`, one.pass), read).toBe(expected);
      expect(await status('POST', `/api/v4/projects/${lib}/repository/branches`, one.pass, { branch: 'x', ref: 'main' })).toBe(403);
      expect(await git('/libs/secret.git/info/refs?service=git-upload-pack', one.pass)).toBe(200);
      await forge.finish(one);
    });

    test('R1 files, branches, tags and releases are written as the user', async () => {
      const one = await job();
      const at = `/api/v4/projects/${app}`;
      const file = { branch: 'written', start_branch: 'main', content: 'x', commit_message: 'by the job' };
      expect(await status('POST', `${at}/repository/files/a.txt`, one.pass, file)).toBe(201);
      expect((await forge.call('GET', `${at}/repository/files/a.txt/raw?ref=written`, { token: alice.token })).text).toBe('x');
      expect(await status('POST', `${at}/repository/branches`, one.pass, { branch: 'made', ref: 'main' })).toBe(201);
      expect(await status('DELETE', `${at}/repository/branches/made`, one.pass)).toBe(204);
      expect(await status('POST', `${at}/repository/tags`, one.pass, { tag_name: 'v1', ref: 'main' })).toBe(201);
      const made = await forge.call('POST', `${at}/releases`, {
        token: one.pass,
        body: { tag_name: 'v1', name: 'One', description: 'text' },
      });
      expect([made.status, made.body['author']]).toEqual([201, expect.objectContaining({ username: 'alice' })]);
      expect(await status('PUT', `${at}/releases/v1`, one.pass, { description: 'better' })).toBe(200);
      await forge.finish(one);
    });

    test('R1 A37 a role that is lost counts, and one that is given', async () => {
      const one = await job();
      const read = () => status('GET', `/api/v4/projects/${lib}`, one.pass);
      expect(await read()).toBe(200);
      await forge.must('DELETE', `/api/v4/projects/${lib}/members/${alice.id}`);
      await becomes(read, 404);
      await forge.member(lib, alice.id, 20);
      await becomes(read, 200);
      await forge.finish(one);
    });

    test('R1 a user that is blocked lends nothing any more', async () => {
      const one = await job();
      const read = () => status('GET', `/api/v4/projects/${lib}`, one.pass);
      await forge.must('POST', `/api/v4/users/${alice.id}/block`);
      try {
        await becomes(read, differences.blocked);
      } finally {
        await forge.must('POST', `/api/v4/users/${alice.id}/unblock`);
      }
      await forge.finish(one);
    });

    test('R2 A45 the first request after the end of the job is refused, at every door', async () => {
      const one = await job();
      const refs = '/team/app.git/info/refs?service=git-upload-pack';
      expect([await status('GET', '/api/v4/user', one.pass), await git(refs, one.fetchPass)]).toEqual([200, 200]);
      expect((await forge.finish(one)).status).toBe(200);
      expect(await status('GET', '/api/v4/user', one.pass)).toBe(401);
      expect([await git(refs, one.pass), await git(refs, one.fetchPass)]).toEqual([401, 401]);
    });

    test('R2 a forced cancel ends the pass within a second', async () => {
      const one = await job();
      expect(await status('GET', '/api/v4/user', one.pass)).toBe(200);
      await forge.must('POST', `/api/v4/projects/${app}/jobs/${one.id}/cancel`, { force: true }, alice.token);
      await becomes(() => status('GET', '/api/v4/user', one.pass), 401);
    });

    test('R3 A55 who pushed unprotected commits is a principal: the pass reaches what both may', async () => {
      await forge.commit(app, 'bobs.txt', 'x', { token: bob.token, branch: 'shared', start: 'main' });
      const one = await job('shared');
      expect(JSON.stringify(one.payload['extended_job_token'])).toContain('bob (pusher)');
      expect(await status('GET', `/api/v4/projects/${app}`, one.pass)).toBe(200);
      expect(await status('GET', `/api/v4/projects/${lib}`, one.pass)).toBe(404);
      const list = await forge.call('GET', '/api/v4/projects', { token: one.pass });
      if (differences.listOfSeveral === 'refused') expect(list.status).toBe(403);
      else expect(list.list.map((row) => row['id'])).toEqual([app]);
      await forge.finish(one);
    });

    test('R5 A9 no pass makes a credential, a member, a runner or a setting, whatever its user may', async () => {
      const one = await job();
      for (const [method, path] of [
        ['POST', '/api/v4/user/personal_access_tokens'],
        ['POST', `/api/v4/users/${alice.id}/impersonation_tokens`],
        ['POST', `/api/v4/projects/${app}/members`],
        ['POST', '/api/v4/user/runners'],
        ['PUT', `/api/v4/projects/${app}`],
        ['POST', `/api/v4/projects/${app}/protected_branches`],
        ['DELETE', `/api/v4/projects/${app}`],
        ['POST', `/api/v4/projects/${app}/hooks`],
        ['POST', `/api/v4/projects/${app}/deploy_keys`],
        ['PUT', `/api/v4/projects/${app}/jobpass/ceiling`],
        ['POST', '/api/graphql'],
      ] as const)
        expect([method, path, await status(method, path, one.pass, { runner_type: 'instance_type' })]).toEqual([method, path, 403]);
      await forge.finish(one);
    });

    test('R5 what a pass wrote runs without a full pass', async () => {
      const one = await job();
      const body = {
        branch: 'by-pass',
        start_branch: 'main',
        commit_message: 'x',
        actions: [{ action: 'create', file_path: 'p.txt', content: 'x' }],
      };
      expect(await status('POST', `/api/v4/projects/${app}/repository/commits`, one.pass, body)).toBe(201);
      await forge.finish(one);
      expect(await forge.claim(place.runner.token), 'it started nothing').toBeUndefined();
    });

    test('R4 the ceiling of a project bounds its passes from the next request on', async () => {
      const one = await job();
      const read = () => status('GET', `/api/v4/projects/${lib}/repository/tree`, one.pass);
      const at = `/api/v4/projects/${app}/jobpass/ceiling`;
      expect(await read()).toBe(200);
      expect(await status('PUT', at, bob.token, { permissions: ['project:read'] })).toBe(403);
      await forge.must('PUT', at, { permissions: ['project:read'] }, alice.token);
      expect(await read()).toBe(403);
      await forge.must('DELETE', at, undefined, alice.token);
      expect(await read()).toBe(200);
      await forge.finish(one);
    });

    test('R4 A66 no pass writes below .jobpass/', async () => {
      const one = await job();
      const actions = [{ action: 'create', file_path: '.jobpass/policy.yml', content: 'x' }];
      const body = { branch: 'main', commit_message: 'x', actions };
      expect(await status('POST', `/api/v4/projects/${app}/repository/commits`, one.pass, body)).toBe(403);
      await forge.finish(one);
    });

    test('R6 no pass is anywhere in the payload but in its own field', async () => {
      const one = await job();
      const { extended_job_token: extended, ...rest } = one.payload;
      expect(JSON.stringify(extended)).toMatch(/jpt_f[0-9A-Za-z]{36}/);
      expect(JSON.stringify(rest)).not.toMatch(/jpt_[xfn][0-9A-Za-z]/);
      await forge.finish(one);
    });

    test('R8 the fetch pass fetches, does nothing else, and is given back', async () => {
      const one = await job();
      expect(await git('/libs/secret.git/info/refs?service=git-upload-pack', one.fetchPass)).toBe(200);
      expect(await git('/team/app.git/info/refs?service=git-receive-pack', one.fetchPass)).toBe(403);
      expect(await git('/vault/closed.git/info/refs?service=git-upload-pack', one.fetchPass)).toBe(404);
      expect(await status('GET', `/api/v4/projects/${lib}`, one.fetchPass)).toBe(403);
      const form = { headers: { 'content-type': 'application/x-www-form-urlencoded' }, raw: `token=${one.fetchPass}` };
      expect((await forge.call('POST', '/-/jobpass/oauth/revoke', form)).status).toBe(200);
      expect(await git('/libs/secret.git/info/refs?service=git-upload-pack', one.fetchPass)).toBe(401);
      await forge.finish(one);
    });

    test('R2 while a job is canceling only the fetch pass is left', async () => {
      const one = await job();
      const refs = '/libs/secret.git/info/refs?service=git-upload-pack';
      expect(await status('GET', '/api/v4/user', one.pass)).toBe(200);
      await forge.must('POST', `/api/v4/projects/${app}/jobs/${one.id}/cancel`, {}, alice.token);
      await becomes(() => status('GET', '/api/v4/user', one.pass), 401);
      expect(await git(refs, one.fetchPass)).toBe(200);
      await forge.must('POST', `/api/v4/projects/${app}/jobs/${one.id}/cancel`, { force: true }, alice.token);
      await becomes(() => git(refs, one.fetchPass), 401);
    });

    test('R1 a package goes up and comes down as the user; what the user may not write stays as it is', async () => {
      const one = await job();
      const at = (project: number): string => `/api/v4/projects/${project}/packages/generic/tool/1.0/tool.bin`;
      const put = (project: number, token: string) =>
        forge.call('PUT', at(project), { token, headers: { 'content-type': 'application/octet-stream' }, raw: 'bytes\n' });
      expect((await put(app, one.pass)).status).toBe(201);
      const down = await forge.call('GET', at(app), { token: one.pass });
      expect([down.status, down.text]).toEqual([200, 'bytes\n']);
      expect([(await put(lib, one.pass)).status, (await put(hidden, one.pass)).status, (await put(app, one.fetchPass)).status]).toEqual([
        403, 404, 403,
      ]);
      await forge.finish(one);
    });

    test('R5 A40 a large file goes up and down with the pass itself, by what the batch answer says', async () => {
      const one = await job();
      const bytes = `large ${one.id}`;
      const oid = createHash('sha256').update(bytes).digest('hex');
      const type = 'application/vnd.git-lfs+json';
      const authorization = `Basic ${Buffer.from(`x:${one.pass}`).toString('base64')}`;
      const batch = (operation: string, project = 'team/app') =>
        forge.call('POST', `/${project}.git/info/lfs/objects/batch`, {
          headers: { authorization, accept: type, 'content-type': type },
          raw: JSON.stringify({ operation, transfers: ['basic'], objects: [{ oid, size: bytes.length }] }),
        });
      const hrefOf = async (operation: string): Promise<string> => {
        const { status: code, text } = await batch(operation);
        expect([code, text.includes('"Authorization"')], text).toEqual([200, false]);
        const { objects } = JSON.parse(text) as { objects: { actions: Record<string, { href: string }> }[] };
        const href = objects[0]?.actions[operation]?.href ?? '';
        expect(href.startsWith(`${place.url}/`), href).toBe(true);
        return href.slice(place.url.length);
      };
      const up = await forge.call('PUT', await hrefOf('upload'), {
        headers: { authorization, 'content-type': 'application/octet-stream' },
        raw: bytes,
      });
      expect(up.status).toBe(200);
      expect((await forge.call('GET', await hrefOf('download'), { headers: { authorization } })).text).toBe(bytes);
      expect([(await batch('upload', 'libs/secret')).status, (await batch('download', 'vault/closed')).status]).toEqual([403, 404]);
      await forge.finish(one);
    });

    test('A14 A16 images: a token for what was allowed, and no more', async () => {
      const one = await job();
      const authorization = `Basic ${Buffer.from(`x:${one.pass}`).toString('base64')}`;
      const begin = async (path: string): Promise<number> => {
        const query = `service=container_registry&scope=repository:${path}:pull,push`;
        const { status: code, body } = await forge.call('GET', `/jwt/auth?${query}`, { headers: { authorization } });
        if (code !== 200) return code;
        const headers = { authorization: `Bearer ${String(body['token'])}` };
        return (await forge.call('POST', `/v2/${path}/blobs/uploads/`, { headers, raw: '' })).status;
      };
      expect(await begin('team/app')).toBe(202);
      expect([401, 403]).toContain(await begin('libs/secret'));
      // What is hidden is answered as what is not there, whichever answer a registry has for that.
      expect([401, 403, 404]).toContain(await begin('vault/closed'));
      expect(await begin('no/such')).toBe(await begin('vault/closed'));
      await forge.finish(one);
      expect(await begin('team/app')).toBe(401);
    });

    test('R10 every decision of a pass is in the trail', async () => {
      const one = await job();
      await status('GET', `/api/v4/projects/${lib}`, one.pass);
      await status('GET', `/api/v4/projects/${hidden}`, one.pass);
      await forge.finish(one);
      const trail = async () =>
        (await forge.call('GET', `/api/v4/jobpass/audit?job_id=${one.id}&per_page=100`, { token: forge.root })).list.map((row) => [
          row['decision'],
          row['accesses'],
        ]);
      const wanted = [
        ['allow', [`project:read@project:${lib}`]],
        ['deny', [`project:read@project:${hidden}`]],
      ];
      await expect.poll(trail, { timeout: 10_000 }).toEqual(expect.arrayContaining(wanted));
    });

    test('R11 a refusal says what is missing, in the same words', async () => {
      const one = await job();
      const reply = await forge.call('POST', `/api/v4/projects/${lib}/repository/branches`, {
        token: one.pass,
        body: { branch: 'x', ref: 'main' },
      });
      expect(reply.body['message']).toBe(
        '403 Forbidden - branch:write on libs/secret is missing: it needs developer, and alice has reporter.',
      );
      await forge.finish(one);
    });

    test('R12 A49 a pass that is printed over two pieces of a trace is dead', async () => {
      const one = await job();
      const text = `token: ${one.pass}\n`;
      for (const [from, part] of [
        [0, text.slice(0, 20)],
        [20, text.slice(20)],
      ] as const) {
        const headers = { 'job-token': one.token, 'content-range': `${from}-${from + part.length - 1}`, 'content-type': 'text/plain' };
        expect((await forge.call('PATCH', `/api/v4/jobs/${one.id}/trace`, { headers, raw: part })).status).toBe(202);
      }
      expect(await status('GET', '/api/v4/user', one.pass)).toBe(401);
      await forge.finish(one);
    });

    test('R13 R17 unlisted routes, odd places and second credentials', async () => {
      const one = await job();
      expect(await status('GET', `/api/v4/projects/${app}/wikis`, one.pass)).toBe(403);
      expect(await status('GET', `/api/v4/user?private_token=${one.pass}`, one.pass)).toBe(400);
      for (const headers of [{ cookie: `a=${one.pass}` }, { authorization: `Bearer ${alice.token}` }, { 'job-token': one.token }])
        expect((await forge.call('GET', '/api/v4/user', { token: one.pass, headers })).status).toBe(400);
      for (const wrong of ['jpt_', 'jpt_x123', `jpt_x${'a'.repeat(36)}`]) expect(await status('GET', '/api/v4/projects', wrong)).toBe(401);
      for (const path of ['team%2Fapp%2F..%2Fapp', 'team%252Fapp', `${app}%00`, `${app};x`])
        expect([400, 403, 404]).toContain(await status('GET', `/api/v4/projects/${path}`, one.pass));
      await forge.finish(one);
    });

    test('R14 A38 a recycled path gives nothing away', async () => {
      const one = await job();
      const first = await forge.project('recycled/name');
      await forge.member(first, alice.id, 20);
      const read = () => status('GET', '/api/v4/projects/recycled%2Fname', one.pass);
      expect(await read()).toBe(200);
      await forge.must('DELETE', `/api/v4/projects/${first}`);
      const second = await forge.project('recycled/name');
      expect(second).toBeGreaterThan(first);
      await becomes(read, 404);
      await forge.finish(one);
    });

    test('A46 twenty claims at once of one job: one claimant', async () => {
      await forge.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
      const claims = (await Promise.all(Array.from({ length: 20 }, () => forge.claim(place.runner.token)))).filter(
        (one) => one !== undefined,
      );
      expect(claims).toHaveLength(1);
      for (const one of claims) await forge.finish(one);
    });
  });
}
