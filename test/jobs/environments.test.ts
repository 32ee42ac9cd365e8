import { afterAll, beforeAll, expect, test } from 'vitest';
import { environmentSlug } from '../../src/jobs/environment-slug.ts';
import { tierOf } from '../../src/pipeline/environment-tier.ts';
import { type Claimed, startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

test('an environment is what its jobs made of it, a deployment the job that made it', async () => {
  const alice = await server.user('alice');
  const app = await server.project('acme/app');
  await server.member(app, alice.id, 40);
  const { token: runner } = await server.runner();
  const file = [
    'deploy: {script: x, environment: {name: review/$CI_COMMIT_BRANCH, url: "https://$HOST.example.com/$CI_ENVIRONMENT_SLUG"}}',
    'check: {stage: deploy, script: x, environment: {name: review/main, action: verify}}',
    'stop: {stage: deploy, script: x, when: manual, environment: {name: review/main, action: stop}}',
  ].join('\n');
  await server.commit(app, '.gitlab-ci.yml', file, { token: alice.token });
  const root = `/api/v4/projects/${app}`;
  const get = (path: string) => server.call('GET', `${root}/${path}`, { token: alice.token });
  const claim = async (): Promise<Claimed> => {
    const job = await server.claim(runner);
    if (job === undefined) throw new Error('no job to take');
    return job;
  };
  const told = (job: Claimed) =>
    Object.fromEntries(
      (job.payload['variables'] as readonly { key: string; value: string }[])
        .filter(({ key }) => key.startsWith('CI_ENVIRONMENT_'))
        .map(({ key, value }) => [key, value]),
    );
  const [place] = (await get('environments')).list;
  expect(place).toMatchObject({ name: 'review/main', state: 'available', tier: 'development', external_url: null });
  const deploy = await claim();
  const slug = environmentSlug('review/main');
  expect(told(deploy)).toEqual({
    CI_ENVIRONMENT_NAME: 'review/main',
    CI_ENVIRONMENT_SLUG: slug,
    CI_ENVIRONMENT_ACTION: 'start',
    CI_ENVIRONMENT_TIER: 'development',
    CI_ENVIRONMENT_URL: `https://.example.com/${slug}`,
  });
  expect((await get('deployments?environment=review/main')).list).toMatchObject([
    { id: deploy.id, status: 'running', ref: 'main', environment: { name: 'review/main' }, deployable: { name: 'deploy' } },
  ]);
  // What the job reports is in the address that people are shown.
  const form = '--b\r\ncontent-disposition: form-data; name="file"; filename=".env"\r\n\r\nHOST=one\n\r\n--b--\r\n';
  const headers = { 'job-token': deploy.token, 'content-type': 'multipart/form-data; boundary=b' };
  const stored = await server.call('POST', `/api/v4/jobs/${deploy.id}/artifacts?artifact_type=dotenv&artifact_format=gzip`, {
    headers,
    raw: form,
  });
  expect(stored.status).toBe(201);
  await server.finish(deploy);
  expect((await get(`deployments/${deploy.id}`)).body).toMatchObject({ status: 'success', user: { username: 'alice' } });
  expect((await get(`environments/${String(place?.['id'])}`)).body).toMatchObject({ external_url: `https://one.example.com/${slug}` });
  await server.finish(await claim());
  const stop = (await get('jobs?scope[]=manual')).list[0]?.['id'];
  await server.must('POST', `${root}/jobs/${String(stop)}/play`, {}, alice.token);
  await server.finish(await claim());
  expect((await get('environments?states=stopped')).list).toMatchObject([{ name: 'review/main' }]);
  // Only `start` deploys.
  expect((await get('deployments')).list).toHaveLength(1);
  await server.must('POST', `${root}/pipeline`, { ref: 'main' }, alice.token);
  await server.finish(await claim());
  expect((await get('environments?states=available')).list).toHaveLength(1);
  const remove = () => server.call('DELETE', `${root}/environments/${String(place?.['id'])}`, { token: alice.token });
  expect((await remove()).status).toBe(403);
  await server.must('POST', `${root}/environments/${String(place?.['id'])}/stop`, {}, alice.token);
  expect((await remove()).status).toBe(204);
  expect((await get('deployments')).list).toEqual([]);
});

test('slugs are host names, and two names never have one; the tier is guessed from the name', () => {
  expect(environmentSlug('production')).toBe('production');
  const odd = ['review/Main', 'review/main', 'review-main', '1st', 'a'.repeat(40), 'x--y', 'Ünï'];
  const slugs = odd.map(environmentSlug);
  expect(new Set(slugs).size).toBe(odd.length);
  for (const slug of slugs) expect(slug).toMatch(/^[a-z][a-z0-9-]{0,22}[a-z0-9]$/);
  expect(['production', 'live', 'staging', 'qa', 'review/x', 'lab'].map(tierOf)).toEqual([
    'production',
    'production',
    'staging',
    'testing',
    'development',
    'other',
  ]);
});
