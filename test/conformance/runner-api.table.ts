import { gzipSync } from 'node:zlib';
import { expect } from 'vitest';
import { limits } from '../../src/base/limits.ts';
import { allFeatures, GitlabRunner } from './gitlab-runner-client.ts';
import type { Scene } from './runner-api.scene.ts';
import { payloadErrors } from './runner-payload.ts';

/** One fact of the Runner API that a server has to keep, and the case that shows it. */
export interface Row {
  /** Section of runner-protocol.md. */
  readonly section: 1 | 2 | 3 | 6 | 7 | 10;
  readonly fact: string;
  readonly holds: (scene: Scene) => Promise<void>;
}

const on = (scene: Scene, path: string, body: object, token?: string) => scene.server.must('PUT', path, body, token);
const settings = '/api/v4/application/settings';
const withArtifacts = `stages: [a, b]
make:
  tags: [TAG]
  stage: a
  script: ["true"]
  artifacts: {paths: [out]}
use:
  tags: [TAG]
  stage: b
  script: ["true"]
`;

const identity: readonly Row[] = [
  {
    section: 1,
    fact: 'POST /runners: 410 with the way out while registration tokens are off',
    async holds(scene) {
      const answer = await new GitlabRunner(scene.server.url, '').register('glrtr-anything');
      expect([answer.status, JSON.stringify(answer.json)]).toEqual([410, expect.stringContaining('POST /api/v4/user/runners')]);
    },
  },
  {
    section: 1,
    fact: 'POST /runners: 201 {id, token, token_expires_at}; the runner is what it asked to be; 403 for an unknown token; 400 without one',
    async holds(scene) {
      await on(scene, settings, { allow_runner_registration_token: true });
      try {
        const { token } = await scene.server.must('POST', '/api/v4/runners/reset_registration_token');
        const client = new GitlabRunner(scene.server.url, '');
        const wish = {
          description: 'old',
          maintenance_note: 'note',
          tag_list: 'a, b',
          run_untagged: false,
          locked: true,
          maximum_timeout: 900,
        };
        const answer = await client.register(String(token), { ...wish, access_level: 'ref_protected', paused: true });
        const made = answer.json as { id: number; token: string; token_expires_at: null };
        expect([answer.status, Object.keys(made).toSorted(), made.token_expires_at]).toEqual([
          201,
          ['id', 'token', 'token_expires_at'],
          null,
        ]);
        expect(await scene.server.must('GET', `/api/v4/runners/${made.id}`)).toMatchObject({
          ...wish,
          tag_list: ['a', 'b'],
          access_level: 'ref_protected',
          paused: true,
          runner_type: 'instance_type',
        });
        client.token = made.token;
        expect((await client.verify()).status).toBe(200);
        expect([(await client.register('glrtr-unknown')).status, (await client.register('')).status]).toEqual([403, 400]);
        for (const seconds of [5, 2 ** 31]) {
          expect((await client.register(String(token), { maximum_timeout: seconds })).status).toBe(400);
          const changed = await scene.server.call('PUT', `/api/v4/runners/${made.id}`, {
            token: scene.server.root,
            body: { maximum_timeout: seconds },
          });
          expect(changed.status).toBe(400);
        }
      } finally {
        await on(scene, settings, { allow_runner_registration_token: false });
      }
    },
  },
  {
    section: 1,
    fact: 'A9 a registration token has the scope that it was made for, dies with a reset and with the role of who made it',
    async holds(scene) {
      await on(scene, settings, { allow_runner_registration_token: true });
      try {
        const bob = await scene.server.user(`bob${Date.now()}`);
        await scene.server.member(scene.project, bob.id, 40);
        const reset = async () =>
          String(
            (await scene.server.must('POST', `/api/v4/projects/${scene.project}/runners/reset_registration_token`, {}, bob.token))['token'],
          );
        const client = new GitlabRunner(scene.server.url, '');
        const first = await reset();
        const { id } = (await client.register(first)).json as { id: number };
        expect(await scene.server.must('GET', `/api/v4/runners/${id}`)).toMatchObject({
          runner_type: 'project_type',
          responsible_user_id: bob.id,
        });
        const second = await reset();
        expect((await client.register(first)).status).toBe(403);
        await scene.server.must('PUT', `/api/v4/projects/${scene.project}/members/${bob.id}`, { access_level: 30 });
        expect((await client.register(second)).status).toBe(403);
        // It is a token for making runners and for nothing else.
        expect((await scene.server.call('GET', '/api/v4/user', { token: second })).status).toBe(401);
      } finally {
        await on(scene, settings, { allow_runner_registration_token: false });
      }
    },
  },
  {
    section: 1,
    fact: 'POST /runners/verify: 200 {id != 0, token, token_expires_at} for a glrt- token; 403 for another',
    async holds(scene) {
      const { client, id } = await scene.runner();
      const answer = await client.verify();
      expect([answer.status, answer.json]).toEqual([200, { id, token: client.token, token_expires_at: null }]);
      expect(client.token).toMatch(/^glrt-/);
      expect((await new GitlabRunner(scene.server.url, 'glrt-unknown').verify()).status).toBe(403);
    },
  },
  {
    section: 1,
    fact: 'POST /runners/verify: 422 for a runner whose project is gone',
    async holds(scene) {
      const project = await scene.server.project('team/gone');
      const { client } = await scene.runner({ create: { runner_type: 'project_type', project_id: project } });
      expect((await client.verify()).status).toBe(200);
      await scene.server.must('DELETE', `/api/v4/projects/${project}`);
      expect((await client.verify()).status).toBe(422);
    },
  },
  {
    section: 1,
    fact: 'A35 system_id: one manager for each machine, with version, executor and features; without one `<legacy>`; a bad one is 400',
    async holds(scene) {
      const { client, id } = await scene.runner();
      await client.verify();
      await new GitlabRunner(scene.server.url, client.token, { systemId: 'r_abcdefABCDEF' }).requestJob();
      await client.send('POST', '/jobs/request', { json: { token: client.token, info: client.info } });
      const managers = (await scene.server.call('GET', `/api/v4/runners/${id}/managers`, { token: scene.server.root })).list;
      expect(managers.map((one) => one['system_id'])).toEqual([client.systemId, 'r_abcdefABCDEF', '<legacy>']);
      expect(managers[0]).toMatchObject({ version: '19.4.0', revision: 'd79f3e7b', platform: 'linux', architecture: 'amd64' });
      expect((await client.send('POST', '/jobs/request', { json: { token: client.token, system_id: 'a b' } })).status).toBe(400);
    },
  },
  {
    section: 1,
    fact: 'DELETE /runners/managers with a body: 204, the runner stays; 404 unknown, 400 without system_id, 403 for a bad token',
    async holds(scene) {
      const { client } = await scene.runner();
      await client.verify();
      expect([(await client.unregisterManager()).status, (await client.unregisterManager()).status]).toEqual([204, 404]);
      expect((await client.send('DELETE', '/runners/managers', { json: { token: client.token } })).status).toBe(400);
      expect((await client.verify()).status).toBe(200);
      expect((await new GitlabRunner(scene.server.url, 'glrt-no').unregisterManager()).status).toBe(403);
    },
  },
  {
    section: 1,
    fact: 'DELETE /runners/managers: a runner that came with a registration token goes with its last machine, also one never heard of',
    async holds(scene) {
      await on(scene, settings, { allow_runner_registration_token: true });
      try {
        const { token } = await scene.server.must('POST', '/api/v4/runners/reset_registration_token');
        const register = async () =>
          ((await new GitlabRunner(scene.server.url, '').register(String(token))).json as { token: string }).token;
        const [one, other] = [new GitlabRunner(scene.server.url, await register()), new GitlabRunner(scene.server.url, '')];
        other.token = one.token;
        await one.verify();
        await other.verify();
        expect([(await one.unregisterManager()).status, (await other.verify()).status]).toEqual([204, 200]);
        expect([(await other.unregisterManager()).status, (await other.verify()).status]).toEqual([204, 403]);
        const silent = new GitlabRunner(scene.server.url, await register());
        expect([(await silent.unregisterManager()).status, (await silent.verify()).status]).toEqual([204, 403]);
      } finally {
        await on(scene, settings, { allow_runner_registration_token: false });
      }
    },
  },
  {
    section: 1,
    fact: 'DELETE /runners with the token in the body: 204, and 403 from then on',
    async holds(scene) {
      const { client } = await scene.runner();
      expect([(await client.unregister()).status, (await client.unregister()).status]).toEqual([204, 403]);
    },
  },
  {
    section: 1,
    fact: 'POST /runners/reset_authentication_token: 201 {token, token_expires_at}, no token header; the old token is 403',
    async holds(scene) {
      const { client } = await scene.runner();
      const old = client.token;
      const answer = await client.resetToken();
      expect([answer.status, answer.json]).toEqual([201, { token: expect.stringMatching(/^glrt-/), token_expires_at: null }]);
      expect((await client.verify()).status).toBe(200);
      expect((await new GitlabRunner(scene.server.url, old).verify()).status).toBe(403);
      expect((await new GitlabRunner(scene.server.url, old).resetToken()).status).toBe(403);
    },
  },
  {
    section: 1,
    fact: 'A60 the token of a runner with a key is reset by a signed request only: who stole it locks nobody out',
    async holds(scene) {
      const { client, id } = await scene.runner();
      const { store } = scene.server;
      await store.transactor.write((tx) => store.runners.change(tx, id as never, { publicKey: 'k' }));
      expect((await client.resetToken()).status).toBe(403);
      expect((await client.verify()).status).toBe(200);
    },
  },
  {
    section: 1,
    fact: 'POST /runners/:id/reset_authentication_token with Private-Token and the body `null`: 201; 403 for who is no admin',
    async holds(scene) {
      const { client, id } = await scene.runner();
      const answer = await client.resetTokenWithPat(id, scene.server.root);
      expect(answer.status).toBe(201);
      expect((await client.verify()).status).toBe(403);
      client.token = (answer.json as { token: string }).token;
      expect((await client.verify()).status).toBe(200);
      expect((await client.resetTokenWithPat(id, scene.alice.token)).status).toBe(403);
    },
  },
  {
    section: 1,
    fact: 'token_expires_at: RFC 3339 where the instance sets a life; a new token has a new one; past it 403',
    async holds(scene) {
      await on(scene, settings, { runner_token_expiration_interval: 7200 });
      try {
        const { client, id } = await scene.runner();
        const { token_expires_at: end } = (await client.verify()).json as { token_expires_at: string };
        expect(Math.abs(Date.parse(end) - Date.now() - 7200_000)).toBeLessThan(60_000);
        const again = (await client.resetToken()).json as { token_expires_at: string };
        expect(again.token_expires_at >= end).toBe(true);
        await scene.server.store.transactor.write((tx) =>
          scene.server.store.runners.change(tx, id as never, { tokenExpiresAt: 1 as never }),
        );
        expect((await client.verify()).status).toBe(403);
      } finally {
        await on(scene, settings, { runner_token_expiration_interval: null });
      }
    },
  },
  {
    section: 10,
    fact: 'GET /runners/router/discovery: 501, so that requests keep coming through us',
    async holds(scene) {
      const { client } = await scene.runner();
      const answer = await client.once('GET', '/runners/router/discovery', { headers: { 'runner-token': client.token } });
      expect(answer.status).toBe(501);
    },
  },
];

const requests: readonly Row[] = [
  {
    section: 2,
    fact: '204 with X-GitLab-Last-Update where there is nothing, also while paused; never 403 for that',
    async holds(scene) {
      const runner = await scene.runner();
      const answer = await runner.client.requestJob();
      expect([answer.status, runner.client.unhealthy]).toEqual([204, 0]);
      expect(runner.client.lastUpdate).toMatch(/^[\w-]+$/);
      await runner.set({ paused: true });
      await runner.pipeline();
      runner.client.lastUpdate = undefined;
      expect([(await runner.client.requestJob()).status, runner.client.unhealthy]).toEqual([204, 0]);
      await runner.set({ paused: false });
      expect((await runner.client.requestJob()).status).toBe(201);
    },
  },
  {
    section: 2,
    fact: 'a request that echoes the version is held, and gets the job that comes',
    async holds(scene) {
      const runner = await scene.runner();
      await runner.client.requestJob();
      const held = runner.client.requestJob();
      await runner.pipeline();
      expect((await held).status).toBe(201);
    },
  },
  {
    section: 2,
    fact: 'a version of another server is answered at once, with the one of this',
    async holds(scene) {
      const { client } = await scene.runner();
      client.lastUpdate = 'somewhere-7';
      expect((await client.requestJob()).status).toBe(204);
      expect(client.lastUpdate).not.toBe('somewhere-7');
    },
  },
  {
    section: 2,
    fact: 'a held request of a runner that is unpaused, or gets another tag, looks again',
    async holds(scene) {
      const runner = await scene.runner();
      await runner.client.requestJob();
      await runner.set({ tag_list: ['nothing'] });
      await runner.pipeline();
      const held = runner.client.requestJob();
      await runner.set({ tag_list: [runner.tag] });
      expect((await held).status).toBe(201);
    },
  },
  {
    section: 2,
    fact: '403 for an unknown token only',
    async holds(scene) {
      const client = new GitlabRunner(scene.server.url, 'glrt-unknown');
      expect([(await client.requestJob()).status, client.unhealthy]).toEqual([403, 1]);
    },
  },
  {
    section: 2,
    fact: 'the body is at most 32 KiB: 413',
    async holds(scene) {
      const { client } = await scene.runner();
      const info = { ...client.info, name: 'x'.repeat(limits.jobRequestBodyBytes) };
      expect((await client.send('POST', '/jobs/request', { json: { token: client.token, info } })).status).toBe(413);
    },
  },
  {
    section: 2,
    fact: 'all 31 flags are taken; a job that needs one that is missing fails with runner_unsupported, and is not given',
    async holds(scene) {
      expect(Object.keys(allFeatures)).toHaveLength(31);
      const { return_exit_code: _one, ...less } = allFeatures;
      const runner = await scene.runner({ features: less });
      await runner.pipeline('job:\n  tags: [TAG]\n  script: ["true"]\n  allow_failure:\n    exit_codes: [3]\n');
      expect((await runner.client.requestJob()).status).toBe(204);
      const jobs = (await scene.server.call('GET', `/api/v4/projects/${scene.project}/jobs`, { token: scene.alice.token })).list;
      expect(jobs[0]).toMatchObject({ status: 'failed', failure_reason: 'runner_unsupported', tag_list: [runner.tag] });
    },
  },
  {
    section: 2,
    fact: 'A46 one claimant: many machines ask at once with one token, one gets the job',
    async holds(scene) {
      const runner = await scene.runner();
      await runner.pipeline();
      const machines = Array.from({ length: 20 }, () => new GitlabRunner(scene.server.url, runner.client.token));
      const statuses = (await Promise.all(machines.map((one) => one.requestJob()))).map((answer) => answer.status);
      expect(statuses.filter((status) => status === 201)).toHaveLength(1);
      expect(statuses.filter((status) => status === 204)).toHaveLength(19);
    },
  },
  {
    section: 2,
    fact: 'tags, run_untagged, ref_protected, project and group scope decide who gets a job',
    async holds(scene) {
      const other = await scene.server.project('elsewhere/app');
      const runner = await scene.runner();
      const strangers = [
        await scene.runner(),
        await scene.runner({ create: { runner_type: 'project_type', project_id: other, run_untagged: true } }),
      ];
      await runner.pipeline();
      for (const stranger of strangers) expect((await stranger.client.requestJob()).status).toBe(204);
      await runner.set({ access_level: 'ref_protected' });
      expect((await runner.client.requestJob()).status).toBe(204);
      await runner.set({ access_level: 'not_protected' });
      expect((await runner.client.requestJob()).status).toBe(201);
    },
  },
];

const payloads: readonly Row[] = [
  {
    section: 3,
    fact: 'no field has a wrong type, and ours is one more',
    async holds(scene) {
      const runner = await scene.runner();
      const job = await runner.job(
        'variables: {A: "1"}\njob:\n  tags: [TAG]\n  image: {name: alpine, entrypoint: [""]}\n  services: [{name: postgres, alias: db}]\n  script: ["true"]\n  after_script: ["true"]\n  artifacts: {paths: [out], exclude: [x], expire_in: 1 day}\n',
      );
      expect(payloadErrors(job.payload)).toEqual([]);
      expect(Object.keys(job.payload)).toContain('extended_job_token');
      expect(payloadErrors({ ...job.payload, id: '1', steps: {} })).toEqual(['id: not int', 'steps: not a list']);
    },
  },
  {
    section: 3,
    fact: 'what a checkout needs: repo_url with the token, sha of at least 8 digits, refspecs, a true project_id, masked CI_JOB_TOKEN',
    async holds(scene) {
      const { payload } = await (await scene.runner()).job();
      const {
        git_info: git,
        job_info: info,
        variables,
      } = payload as unknown as {
        git_info: { repo_url: string; sha: string; refspecs: string[]; depth: number };
        job_info: { project_id: number };
        variables: { key: string; value: string; masked: boolean }[];
      };
      expect(git.repo_url).toBe(`${scene.server.url.replace('://', `://gitlab-ci-token:${payload.token}@`)}/team/app.git`);
      expect([git.sha.length, git.refspecs.length, info.project_id]).toEqual([40, 1, scene.project]);
      expect(variables.find(({ key }) => key === 'CI_JOB_TOKEN')).toMatchObject({ value: payload.token, masked: true });
    },
  },
  {
    section: 3,
    fact: 'variables: a file, masked and raw ones say so; cache[] keys end with tier and principals; hooks[]; steps script, release, after_script',
    async holds(scene) {
      const variable = (key: string, more: object) =>
        scene.server.must('POST', `/api/v4/projects/${scene.project}/variables`, { key, value: 'long-enough', ...more }, scene.alice.token);
      await variable('A_FILE', { variable_type: 'file' });
      await variable('A_SECRET', { masked: true, raw: true });
      const yaml =
        'job:\n  tags: [TAG]\n  script: ["true"]\n  after_script: ["true"]\n  cache: {key: deps, paths: [x]}\n  hooks: {pre_get_sources_script: ["true"]}\n  release: {tag_name: v1, description: d}\n';
      const { payload } = await (await scene.runner()).job(yaml);
      const variables = payload['variables'] as { key: string }[];
      expect(variables.find(({ key }) => key === 'A_FILE')).toMatchObject({ file: true, masked: false });
      expect(variables.find(({ key }) => key === 'A_SECRET')).toMatchObject({ masked: true, raw: true });
      expect(payload['cache']).toMatchObject([{ key: expect.stringMatching(/^deps-non_protected-[0-9a-f]{16}$/), policy: 'pull-push' }]);
      expect(payload['hooks']).toEqual([{ name: 'pre_get_sources_script', script: ['true'] }]);
      expect((payload['steps'] as { name: string }[]).map(({ name }) => name)).toEqual(['script', 'release', 'after_script']);
      expect(payloadErrors(payload)).toEqual([]);
    },
  },
  {
    section: 3,
    fact: "maximum_timeout of the runner bounds runner_info.timeout; a shorter job's stays",
    async holds(scene) {
      const runner = await scene.runner({ create: { maximum_timeout: 600 } });
      const timeoutOf = async (yaml?: string) => ((await runner.job(yaml)).payload['runner_info'] as { timeout: number }).timeout;
      expect(await timeoutOf()).toBe(600);
      expect(await timeoutOf('job:\n  tags: [TAG]\n  timeout: 5 minutes\n  script: ["true"]\n')).toBe(300);
    },
  },
];

const reports: readonly Row[] = [
  {
    section: 6,
    fact: 'PUT running right after the 201: 200 with Job-Status, before anything ran; again as a heartbeat',
    async holds(scene) {
      const runner = await scene.runner();
      const job = await runner.job();
      const answer = await job.update({ state: 'running' });
      expect([answer.status, answer.headers['job-status']]).toEqual([200, 'running']);
      await job.finish('success');
    },
  },
  {
    section: 6,
    fact: 'PATCH trace: 202, Range 0-<size>, Job-Status, X-GitLab-Trace-Update-Interval; Content-Range without unit or total',
    async holds(scene) {
      const job = await (await scene.runner()).job();
      job.write('hello\n');
      const { heard, answer } = await job.patch();
      const { range, 'job-status': status, 'x-gitlab-trace-update-interval': interval } = answer.headers;
      expect([heard, answer.status, range, status, interval]).toEqual(['go_on', 202, '0-6', 'running', '60']);
      await job.finish('success');
    },
  },
  {
    section: 6,
    fact: 'the interval is 60 s, and 3 s while somebody watches',
    async holds(scene) {
      const job = await (await scene.runner()).job();
      expect(job.intervalSeconds).toBe(60);
      await scene.server.call('GET', `/api/v4/projects/${scene.project}/jobs/${job.id}/trace`, { token: scene.alice.token });
      await job.update({ state: 'running' });
      expect(job.intervalSeconds).toBe(3);
      await job.finish('success');
    },
  },
  {
    section: 6,
    fact: 'PATCH at another place: 416 with Range, from where the runner resumes; without Content-Range 400; over 1 MiB 413',
    async holds(scene) {
      const job = await (await scene.runner()).job();
      job.write('0123456789');
      await job.patch(job.log.subarray(0, 4), 0);
      const wrong = await job.patch(job.log.subarray(8), 8);
      expect([wrong.answer.status, wrong.heard, wrong.answer.headers['job-status'], job.sent]).toEqual([416, 'resume', 'running', 4]);
      expect((await job.patch()).heard).toBe('go_on');
      const { client } = await scene.runner();
      const bare = await client.send('PATCH', `/jobs/${job.id}/trace`, {
        raw: Buffer.from('x'),
        headers: { 'job-token': job.payload.token },
      });
      expect(bare.status).toBe(400);
      expect((await job.patch(Buffer.alloc(limits.tracePatchBytes + 1, 'x'), 10)).answer.status).toBe(413);
      await job.finish('success');
    },
  },
  {
    section: 6,
    fact: 'A45 final PUT: 202 while the trace is short, and sent again; 412 where it is damaged, and all of it again; then 200',
    async holds(scene) {
      const runner = await scene.runner();
      const job = await runner.job();
      job.write('the whole log\n');
      expect((await job.update({ state: 'success' })).status).toBe(202);
      await job.patch(Buffer.from('the WRONG log\n'), 0);
      job.sent = job.log.length;
      const answers = await job.finish('success');
      expect(answers.map(({ status }) => status)).toEqual([412, 200]);
      expect(await runner.see(job)).toMatchObject({ status: 'success' });
      const trace = await scene.server.call('GET', `/api/v4/projects/${scene.project}/jobs/${job.id}/trace`, { token: scene.alice.token });
      expect(trace.text).toBe('the whole log\n');
    },
  },
  {
    section: 6,
    fact: 'failed: failure_reason and exit_code are kept; one that is not known is unknown_failure',
    async holds(scene) {
      const runner = await scene.runner();
      for (const [sent, kept] of [
        ['script_failure', 'script_failure'],
        ['image_pull_failure', 'image_pull_failure'],
        ['moon_phase', 'unknown_failure'],
      ] as const) {
        const job = await runner.job();
        await job.finish('failed', { failure_reason: sent, exit_code: 3 });
        expect(await runner.see(job)).toMatchObject({ status: 'failed', failure_reason: kept });
      }
    },
  },
  {
    section: 6,
    fact: 'R2 after the end: 403 and the state at every call; the runner gives up',
    async holds(scene) {
      const job = await (await scene.runner()).job();
      await job.finish('failed');
      const put = await job.update({ state: 'running' });
      const { heard, answer } = await job.patch(Buffer.from('late'), 0);
      const upload = await job.upload('late', 'a.zip', 'artifact_format=zip');
      for (const one of [put, answer, upload]) expect([one.status, one.headers['job-status']]).toEqual([403, 'failed']);
      expect(heard).toBe('abort');
    },
  },
  {
    section: 6,
    fact: "R2 another job's token: 403 and nothing of its state",
    async holds(scene) {
      const runner = await scene.runner();
      const [one, other] = [await runner.job(), await runner.job()];
      const answer = await runner.client.send('PUT', `/jobs/${one.id}`, { json: { token: other.payload.token, state: 'success' } });
      expect([answer.status, answer.headers['job-status']]).toEqual([403, undefined]);
      expect(await runner.see(one)).toMatchObject({ status: 'running' });
      await one.finish('success');
      await other.finish('success');
    },
  },
  {
    section: 6,
    fact: 'cancel with cancel_gracefully: canceling at the next word, any end is a cancel',
    async holds(scene) {
      const runner = await scene.runner();
      const job = await runner.job();
      await runner.cancel(job);
      job.write('bye');
      expect((await job.patch()).heard).toBe('cancel');
      const [end] = await job.finish('failed', { failure_reason: 'job_canceled' });
      expect([end?.status, end?.headers['job-status']]).toEqual([200, 'canceled']);
    },
  },
  {
    section: 6,
    fact: 'cancel without that flag, or by force: canceled at once, 403 with Job-Status is how the runner hears',
    async holds(scene) {
      const { cancel_gracefully: _flag, ...less } = allFeatures;
      const [old, runner] = [await scene.runner({ features: less }), await scene.runner()];
      for (const [who, force] of [
        [old, false],
        [runner, true],
      ] as const) {
        const job = await who.job();
        await who.cancel(job, force);
        expect(await who.see(job)).toMatchObject({ status: 'canceled' });
        const answer = await job.update({ state: 'running' });
        expect([answer.status, answer.headers['job-status']]).toEqual([403, 'canceled']);
      }
    },
  },
  {
    section: 6,
    fact: 'a log past the limit: 403, and the job has failed with trace_size_exceeded',
    async holds(scene) {
      const runner = await scene.runner();
      const job = await runner.job();
      const { heard, answer } = await job.patch(Buffer.from('x'), 0);
      expect([heard, answer.status]).toEqual(['go_on', 202]);
      await scene.fillTrace(job.id);
      const full = await job.patch(Buffer.alloc(1024, 'x'), limits.traceBytes);
      expect([full.heard, full.answer.status, full.answer.headers['job-status']]).toEqual(['abort', 403, 'failed']);
      expect(await runner.see(job)).toMatchObject({ status: 'failed', failure_reason: 'trace_size_exceeded' });
    },
  },
];

const artifacts: readonly Row[] = [
  {
    section: 7,
    fact: 'upload: multipart with one part `file`, chunked, no Content-Length: 201; download of the dependency by its token, also with direct_download',
    async holds(scene) {
      const runner = await scene.runner();
      const make = await runner.job(withArtifacts);
      const content = Buffer.alloc(5000, 'zip');
      expect((await make.upload(content, 'artifacts.zip', 'artifact_format=zip&artifact_type=archive&expire_in=1+day')).status).toBe(201);
      await make.finish('success');
      const use = await runner.next();
      const [dependency] = use.payload['dependencies'] as { id: number; token: string; artifacts_file: { size: number } }[];
      expect([dependency?.id, dependency?.artifacts_file.size]).toEqual([make.id, 5000]);
      const got = dependency === undefined ? undefined : await use.download(dependency);
      expect([got?.status, got?.raw.equals(content)]).toEqual([200, true]);
      await use.finish('success');
    },
  },
  {
    section: 7,
    fact: 'POST …/artifacts/authorize: 200 for the running job, 413 for what would be too large, 403 after its end',
    async holds(scene) {
      const runner = await scene.runner();
      const job = await runner.job();
      const ask = (query = '') =>
        runner.client.send('POST', `/jobs/${job.id}/artifacts/authorize${query}`, { headers: { 'job-token': job.payload.token } });
      expect([(await ask()).status, (await ask(`?filesize=${limits.artifactBytes + 1}`)).status]).toEqual([200, 413]);
      await job.finish('success');
      expect((await ask()).status).toBe(403);
    },
  },
  {
    section: 7,
    fact: 'formats zip, gzip and raw; reports have one each and stand beside the archive; a type or form that is not known is 400',
    async holds(scene) {
      const runner = await scene.runner();
      const job = await runner.job(withArtifacts);
      const statusOf = async (query: string, name = 'f') => (await job.upload('content', name, query)).status;
      expect(await statusOf('artifact_format=gzip&artifact_type=junit', 'junit.xml.gz')).toBe(201);
      expect(await statusOf('artifact_format=raw&artifact_type=sast', 'gl-sast-report.json')).toBe(201);
      expect(await statusOf('artifact_format=zip&artifact_type=lsif', 'lsif.zip')).toBe(201);
      expect(await statusOf('artifact_format=zip&artifact_type=archive', 'artifacts.zip')).toBe(201);
      expect(await statusOf('artifact_format=gzip&artifact_type=junit')).toBe(400);
      expect(await statusOf('artifact_format=zip&artifact_type=cobertura')).toBe(400);
      expect(await statusOf('artifact_format=raw&artifact_type=horoscope')).toBe(400);
      expect(await statusOf('artifact_format=rar&artifact_type=archive')).toBe(400);
      const kept = await scene.server.store.jobs.reportsOf(null, job.id as never);
      expect(kept.map(({ type, format }) => `${type} ${format}`)).toEqual(['junit gzip', 'lsif zip', 'sast raw']);
      await job.finish('success');
      await (await runner.next()).finish('success');
    },
  },
  {
    section: 7,
    fact: 'R3 a dotenv report feeds the jobs that depend on it, over their own variables, never over what the server says',
    async holds(scene) {
      const runner = await scene.runner();
      const make = await runner.job(withArtifacts.replace('use:\n', 'use:\n  variables: {B: own}\n'));
      const report = gzipSync('A=1\nB=two words\nCI_JOB_NAME=mine\nJOBPASS_EXPOSE=replace\n');
      expect((await make.upload(report, 'dotenv.gz', 'artifact_format=gzip&artifact_type=dotenv')).status).toBe(201);
      await make.finish('success');
      const use = await runner.next();
      const variables = use.payload['variables'] as { key: string; value: string }[];
      const value = (name: string) => variables.findLast(({ key }) => key === name)?.value;
      expect(['A', 'B', 'CI_JOB_NAME', 'JOBPASS_EXPOSE'].map(value)).toEqual(['1', 'two words', 'use', undefined]);
      await use.finish('success');
    },
  },
  {
    section: 7,
    fact: 'R3 who stands behind a dotenv report is a principal of the jobs that it feeds, also without an archive',
    async holds(scene) {
      const bob = await scene.server.user(`bob${Date.now()}`);
      await scene.server.member(scene.project, bob.id, 40);
      const runner = await scene.runner();
      const manual = 'make:\n  tags: [TAG]\n  stage: a\n  when: manual\n  allow_failure: false\n  script: ["true"]\n';
      await runner.pipeline(`stages: [a, b]\n${manual}use:\n  tags: [TAG]\n  stage: b\n  script: ["true"]\n`);
      const { project, server } = scene;
      const waiting = (await server.call('GET', `/api/v4/projects/${project}/jobs?scope[]=manual`, { token: bob.token })).list;
      await server.must('POST', `/api/v4/projects/${project}/jobs/${String(waiting[0]?.['id'])}/play`, {}, bob.token);
      const make = await runner.next();
      await make.upload(gzipSync('A=1\n'), 'dotenv.gz', 'artifact_format=gzip&artifact_type=dotenv');
      await make.finish('success');
      const use = await runner.next();
      const [pass] = await server.store.passes.forJob(null, use.id as never);
      expect(pass?.principals).toContainEqual({ userId: bob.id, reason: 'artifact' });
      expect(use.payload['dependencies']).toEqual([]);
      await use.finish('success');
    },
  },
  {
    section: 7,
    fact: 'a dotenv report that is malformed, or too large when inflated, is 400',
    async holds(scene) {
      const runner = await scene.runner();
      const job = await runner.job();
      for (const text of ['no assignment\n', '# comment\n', 'A-B=1\n', `A=${'x'.repeat(limits.dotenvBytes)}\n`])
        expect((await job.upload(gzipSync(text), 'dotenv.gz', 'artifact_format=gzip&artifact_type=dotenv')).status).toBe(400);
      await job.finish('success');
    },
  },
];

/** Every fact of runner-protocol.md that a server keeps. */
export const runnerApi: readonly Row[] = [...identity, ...requests, ...payloads, ...reports, ...artifacts];
