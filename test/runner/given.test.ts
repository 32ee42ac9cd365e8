import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { silentLog } from '../../src/base/log.ts';
import { Secret } from '../../src/base/secret.ts';
import { type RunnerHandle, startRunner } from '../../src/runner/loop.ts';
import { registerRunner } from '../../src/runner/register.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const secret = 'correct-horse-battery';
const ciFile = `variables: {LAYER: file, DEEP: $MIDDLE, MIDDLE: $LAYER-$CI_JOB_NAME, PLAIN: {value: $LAYER, expand: false}}
publish:
  hooks: {pre_get_sources_script: [echo hooked]}
  id_tokens: {PROOF: {aud: "https://vault.example"}}
  script:
    - 'echo "deep=$DEEP plain=$PLAIN secret=$DEPLOY_KEY proof=$PROOF"'
    - 'echo "file holds $(cat "$CONFIG")"'
    - 'echo "Lines: 87.5%"'
  coverage: '/Lines: (\\d+\\.\\d+)%/'
  release: {tag_name: v$CI_PIPELINE_IID, description: from $LAYER}
`;

describe('the runner and what a job is given', () => {
  let server: TestServer;
  let dir: string;
  let alice: { id: number; token: string };
  let app: number;
  let handle: RunnerHandle | undefined;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'jobpass-runner-given-'));
    await chmod(dir, 0o711);
    server = await startTestServer();
    alice = await server.user('alice');
    app = await server.project('team/app');
    await server.member(app, alice.id, 40);
    const { token } = await server.runner();
    const configPath = join(dir, 'config.toml');
    await registerRunner({
      url: server.url,
      token: new Secret(token),
      executor: 'shell',
      configPath,
      name: 'given',
      buildsDir: join(dir, 'builds'),
    });
    handle = await startRunner({ configPath, log: silentLog, traceIntervalMs: 20 });
  });
  afterAll(async () => {
    await handle?.stop();
    await server.stop();
    await rm(dir, { recursive: true, force: true });
  });

  test('variables in their order, masked ones kept out of the log, files as files; hooks, coverage and a release', async () => {
    const variable = (key: string, value: string, more: object) =>
      server.must('POST', `/api/v4/projects/${app}/variables`, { key, value, ...more }, alice.token);
    await variable('LAYER', 'project', {});
    await variable('DEPLOY_KEY', secret, { masked: true, protected: true });
    await variable('CONFIG', 'two\nlines', { variable_type: 'file' });
    await server.commit(app, '.gitlab-ci.yml', ciFile, { token: alice.token });
    const job = async () => (await server.call('GET', `/api/v4/projects/${app}/jobs`, { token: alice.token })).list[0];
    await expect.poll(async () => String((await job())?.['status']), { timeout: 30_000 }).toMatch(/^(?:success|failed)$/);
    const ended = await job();
    const { text } = await server.call('GET', `/api/v4/projects/${app}/jobs/${String(ended?.['id'])}/trace`, { token: alice.token });
    expect([ended?.['status'], text]).toEqual(['success', expect.stringContaining('hooked')]);
    expect(text).toContain('deep=project-publish plain=$LAYER secret=[MASKED] proof=[MASKED]');
    expect(text).toContain('file holds two');
    expect(text).not.toContain(secret);
    expect(await server.must('GET', `/api/v4/projects/${app}/jobs/${String(ended?.['id'])}`, undefined, alice.token)).toMatchObject({
      coverage: 87.5,
    });
    expect(await server.must('GET', `/api/v4/projects/${app}/releases/v1`, undefined, alice.token)).toMatchObject({
      description: 'from project',
      author: { username: 'alice' },
    });
  });
});
