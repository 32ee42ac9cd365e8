import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TestServer } from '../support/server.ts';
import { type ShellRunner, startShellRunner } from './support/shell-runner.ts';

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
  let runner: ShellRunner;
  let server: TestServer;
  let alice: ShellRunner['alice'];
  let app: number;

  beforeAll(async () => {
    runner = await startShellRunner();
    ({ server, alice, app } = runner);
  });
  afterAll(() => runner.close());

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
