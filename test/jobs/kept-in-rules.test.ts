import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';

const secret = 'correct-horse-battery';
const file = `
variables: {CI_COMMIT_REF_NAME: overridden}
file: {script: x, rules: [{if: $CI_COMMIT_REF_NAME == "overridden"}]}
open: {script: x, rules: [{if: $OPEN == "yes"}]}
guarded: {script: x, rules: [{if: $GUARDED}]}
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

  const write = (branch: string, content: string) =>
    server.must('PUT', `/api/v4/projects/${id}/repository/files/.gitlab-ci.yml`, { branch, content, commit_message: 'write' });
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

  test('R6 the value of a masked variable becomes part of nothing that is kept, and an error says so', async () => {
    const why = 'the variable `GUARDED` is masked, and so becomes part of nothing that is kept or shown';
    const said = async (text: string): Promise<unknown> => {
      const branch = `masked-${text.length}`;
      await server.must('POST', `/api/v4/projects/${id}/repository/branches`, { branch, ref: 'main' });
      await server.must('POST', `/api/v4/projects/${id}/protected_branches`, { name: branch });
      await write(branch, text);
      const made = await server.call('POST', `/api/v4/projects/${id}/pipeline`, { token: server.root, body: { ref: branch } });
      const { body } = await server.call('GET', `/api/v4/projects/${id}/ci/lint?ref=${branch}&dry_run=true`, { token: server.root });
      const { message } = made.body as { message?: { base?: readonly string[] } };
      expect(message?.base).toEqual(body['errors']);
      return message?.base;
    };
    expect(await said('a: {script: x, resource_group: r-$GUARDED}')).toEqual([`line 1: job \`a\`: resource_group: ${why}`]);
    expect(await said('variables: {A: $GUARDED}\na: {script: x, environment: $A}')).toEqual([`line 2: job \`a\`: environment: ${why}`]);
    expect(await said('workflow: {name: p $GUARDED}\na: {script: x}')).toEqual([`workflow: name: ${why}`]);
    expect(await said('include: ci/$GUARDED.yml\na: {script: x}')).toEqual([`line 1: include: ${why}`]);
    const compare = 'a: {script: x, rules: [{changes: {paths: [x], compare_to: $GUARDED}}]}';
    expect(await said(compare)).toEqual([`rules:changes: \`compare_to\`: ${why}`]);
    const { rows } = await server.store.jobs.listJobs(null, id as never, [], { page: 1, perPage: 100 });
    expect(JSON.stringify(rows)).not.toContain(secret);
  });

  test('rules of a job with an environment see what is kept for that environment, and its name may hold kept variables', async () => {
    await server.must('POST', `/api/v4/projects/${id}/variables`, { key: 'PLACE', value: 'live' });
    await server.must('POST', `/api/v4/projects/${id}/variables`, { key: 'WHERE', value: 'there', environment_scope: 'live/*' });
    const text = [
      'live: {script: x, tags: [live], environment: {name: "$PLACE/eu", url: "https://$WHERE.example"}, rules: [{if: $WHERE == "there" && $CI_ENVIRONMENT_NAME == "live/eu"}]}',
      'other: {script: x, environment: test, rules: [{if: $WHERE}]}',
      'none: {script: x, rules: [{if: $WHERE}]}',
      'ruled: {script: x, environment: "$TO", rules: [{if: $PLACE, variables: {TO: by-rule}}]}',
    ].join('\n');
    await write('work', text);
    expect(await jobsOf('work')).toEqual(['live', 'ruled']);
    const { list } = await server.call('GET', `/api/v4/projects/${id}/environments`, { token: server.root });
    expect(list.map(({ name }) => name)).toEqual(expect.arrayContaining(['by-rule', 'live/eu']));
    const { token: runner } = await server.runner({ tags: ['live'] });
    const job = await server.claim(runner);
    expect(job?.payload['variables']).toContainEqual(
      expect.objectContaining({ key: 'CI_ENVIRONMENT_URL', value: 'https://there.example' }),
    );
  });
});
