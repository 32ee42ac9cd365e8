import { afterAll, beforeAll, expect, test } from 'vitest';
import { id, type PipelineId, type ProjectId } from '../../src/base/ids.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

test('a push that the workflow does not want makes no pipeline; one that it wants takes its variables, and `inherit` those of the file', async () => {
  const alice = await server.user('alice');
  const [app, other] = [await server.project('acme/app'), await server.project('acme/other')];
  for (const project of [app, other]) await server.member(project, alice.id, 40);
  const of = (value: string): string =>
    [
      'variables: {A: file, B: file}',
      `workflow: {rules: [{if: $CI_COMMIT_BRANCH == "${value}", variables: {A: ruled}}]}`,
      'a: {script: x, parallel: 2, inherit: {variables: [A]}}',
    ].join('\n');
  const pipelines = async (project: number) =>
    (await server.store.jobs.listPipelines(null, id<ProjectId>(project), {}, { page: 1, perPage: 10 })).rows;
  await server.commit(other, '.gitlab-ci.yml', of('another'), { token: alice.token });
  expect(await pipelines(other)).toEqual([]);
  await server.commit(app, '.gitlab-ci.yml', of('main'), { token: alice.token });
  const [made] = await pipelines(app);
  expect(made).toMatchObject({ ref: 'main', yamlErrors: null });
  const jobs = await server.store.jobs.jobsOfPipeline(null, made?.id ?? id<PipelineId>(1));
  expect(jobs.map(({ name }) => name)).toEqual(['a 1/2', 'a 2/2']);
  expect(jobs.map(({ plan }): unknown => JSON.parse(plan))).toMatchObject([{ globals: { A: 'ruled' } }, { globals: { A: 'ruled' } }]);
  expect(jobs[0]?.plan).not.toContain('"B"');
});
