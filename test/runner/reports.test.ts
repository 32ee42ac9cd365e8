import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TestServer } from '../support/server.ts';
import { type ShellRunner, startShellRunner } from './support/shell-runner.ts';

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
  let runner: ShellRunner;
  let server: TestServer;
  let alice: ShellRunner['alice'];
  let app: number;

  beforeAll(async () => {
    runner = await startShellRunner();
    ({ server, alice, app } = runner);
  });
  afterAll(() => runner.close());

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
