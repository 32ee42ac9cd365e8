import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { silentLog } from '../../src/base/log.ts';
import { Secret } from '../../src/base/secret.ts';
import { type RunnerHandle, startRunner } from '../../src/runner/loop.ts';
import { registerRunner } from '../../src/runner/register.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const ciFile = `stages: [build, use]
make:
  stage: build
  script:
    - 'printf "VERSION=1.2\\nCI_JOB_NAME=mine\\n" > build.env'
    - 'echo "<testsuites/>" > a.xml'
    - 'echo "{}" > scan.json'
  artifacts:
    reports: {dotenv: build.env, junit: "*.xml", sast: scan.json}
use:
  stage: use
  script: ['echo "version $VERSION of $CI_JOB_NAME"', 'test ! -e build.env']
flaky:
  stage: use
  retry: {max: 1, exit_codes: 7}
  script: ["exit 7"]
`;

describe('the runner and what jobs report', () => {
  let server: TestServer;
  let dir: string;
  let alice: { id: number; token: string };
  let app: number;
  let handle: RunnerHandle | undefined;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'jobpass-runner-reports-'));
    await chmod(dir, 0o711);
    server = await startTestServer();
    alice = await server.user('alice');
    app = await server.project('team/app');
    await server.member(app, alice.id, 40);
    const { token } = await server.runner();
    const configPath = join(dir, 'config.toml');
    const buildsDir = join(dir, 'builds');
    await registerRunner({ url: server.url, token: new Secret(token), executor: 'shell', configPath, name: 'reports', buildsDir });
    handle = await startRunner({ configPath, log: silentLog, traceIntervalMs: 20 });
  });
  afterAll(async () => {
    await handle?.stop();
    await server.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const jobs = async () => (await server.call('GET', `/api/v4/projects/${app}/jobs?per_page=50`, { token: alice.token })).list;
  const ended = async (name: string, count = 1) => {
    await expect
      .poll(
        async () => (await jobs()).filter((one) => one['name'] === name && ['success', 'failed'].includes(String(one['status']))).length,
        {
          timeout: 20_000,
        },
      )
      .toBe(count);
    return (await jobs()).filter((one) => one['name'] === name);
  };

  test('R13 reports are sent each in its form; a dotenv report reaches the next job, but not over what the server says; retry makes anew', async () => {
    await server.commit(app, '.gitlab-ci.yml', ciFile, { token: alice.token });
    const [make] = await ended('make');
    expect(make).toMatchObject({ status: 'success' });
    const kept = await server.store.jobs.reportsOf(null, Number(make?.['id']) as never);
    expect(kept.map(({ type, format, filename }) => [type, format, filename])).toEqual([
      ['dotenv', 'gzip', '.env.gz'],
      ['junit', 'gzip', 'junit.xml.gz'],
      ['sast', 'raw', 'gl-sast-report.json'],
    ]);
    const [use] = await ended('use');
    const trace = await server.call('GET', `/api/v4/projects/${app}/jobs/${String(use?.['id'])}/trace`, { token: alice.token });
    expect(trace.text).toContain('version 1.2 of use');
    expect(use).toMatchObject({ status: 'success' });
    const tries = await ended('flaky', 2);
    expect(tries.map((one) => [one['status'], one['failure_reason']])).toEqual([
      ['failed', 'script_failure'],
      ['failed', 'script_failure'],
    ]);
  });
});
