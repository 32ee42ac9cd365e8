import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';

const secret = 'correct-horse-battery';
const file = `
variables: {CI_COMMIT_REF_NAME: overridden}
file: {script: x, rules: [{if: $CI_COMMIT_REF_NAME == "overridden"}]}
open: {script: x, rules: [{if: $OPEN == "yes"}]}
guarded: {script: x, resource_group: r-$GUARDED, rules: [{if: $GUARDED}]}
given: {script: x, rules: [{if: $GIVEN == "main"}]}
`;

describe('CI/CD variables in rules', () => {
  let server: TestServer;
  let id: number;
  beforeAll(async () => {
    server = await startTestServer();
    id = await server.project('team/app');
    await server.commit(id, '.gitlab-ci.yml', file);
    const variable = (key: string, value: string, more: object) =>
      server.must('POST', `/api/v4/projects/${id}/variables`, { key, value, ...more });
    await variable('OPEN', 'yes', {});
    await variable('GUARDED', secret, { masked: true, protected: true });
    await server.must('POST', `/api/v4/projects/${id}/repository/branches`, { branch: 'work', ref: 'main' });
  });
  afterAll(() => server.stop());

  const jobsOf = async (ref: string, variables: readonly object[] = []): Promise<readonly string[]> => {
    const made = await server.must('POST', `/api/v4/projects/${id}/pipeline`, { ref, variables });
    const { list } = await server.call('GET', `/api/v4/projects/${id}/pipelines/${String(made['id'])}/jobs`, { token: server.root });
    return list.map((job) => String(job['name'])).toSorted();
  };

  test("the file's win over predefined ones, kept ones over the file's; R13 protected ones count on protected refs only", async () => {
    expect(await jobsOf('main', [{ key: 'GIVEN', value: '$CI_COMMIT_BRANCH' }])).toEqual(['file', 'given', 'guarded', 'open']);
    expect(await jobsOf('work')).toEqual(['file', 'open']);
  });

  test('R13 a file that is given with a pipeline is refused, not taken for a text', async () => {
    const body = { ref: 'main', variables: [{ key: 'A', value: 'x', variable_type: 'file' }] };
    const reply = await server.call('POST', `/api/v4/projects/${id}/pipeline`, { token: server.root, body });
    expect([reply.status, reply.text]).toEqual([501, expect.stringContaining('keep one for the project')]);
  });

  test('R6 the value of a masked variable becomes part of nothing that is kept', async () => {
    await jobsOf('main');
    const { rows } = await server.store.jobs.listJobs(null, id as never, [], { page: 1, perPage: 100 });
    expect(rows.some(({ name }) => name === 'guarded')).toBe(true);
    expect(JSON.stringify(rows)).not.toContain(secret);
    const { list } = await server.call('GET', `/api/v4/projects/${id}/resource_groups`, { token: server.root });
    expect(list.map((one) => one['key'])).toEqual(['r-']);
  });
});
