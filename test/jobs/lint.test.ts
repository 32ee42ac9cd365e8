import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
let alice: { id: number; token: string };
let app: number;
let secret: number;
const lint = (body: Record<string, unknown>, token = alice.token) =>
  server.call('POST', `/api/v4/projects/${app}/ci/lint`, { token, body });

beforeAll(async () => {
  server = await startTestServer();
  alice = await server.user('alice');
  [app, secret] = [await server.project('team/app'), await server.project('other/secret')];
  await server.member(app, alice.id, 30);
  await server.commit(app, 'ci/build.yml', '.build: {script: [make], tags: [linux]}');
  await server.commit(secret, 'a.yml', '.x: {script: hidden}');
});
afterAll(() => server.stop());

test('what is sent is judged and shown in one piece, with what it includes', async () => {
  const content = 'include: ci/build.yml\nbuild: {extends: .build, stage: build}\n';
  const { body } = await lint({ content, include_jobs: true });
  expect(body).toMatchObject({
    valid: true,
    errors: [],
    warnings: [],
    includes: [{ type: 'local', location: 'ci/build.yml', blob: null, extra: {}, context_project: 'team/app' }],
    jobs: [{ name: 'build', stage: 'build', script: ['make'], tag_list: ['linux'], when: 'on_success', allow_failure: false, needs: null }],
  });
  expect(body['merged_yaml']).toBe(
    [
      '---',
      '.build:',
      '  script:',
      '    - make',
      '  tags:',
      '    - linux',
      'build:',
      '  script:',
      '    - make',
      '  tags:',
      '    - linux',
      '  stage: build',
      '',
    ].join('\n'),
  );
});

test('mistakes are those that a pipeline would fail with; rules count in a dry run only', async () => {
  const broken = 'a: {script: x, cach: y}';
  const { body } = await lint({ content: broken });
  expect(body).toMatchObject({ valid: false, errors: ['line 1: job `a`: unknown keyword `cach`'], includes: [] });
  expect(body['jobs']).toBeUndefined();
  await server.commit(app, '.gitlab-ci.yml', broken, { token: server.root, branch: 'broken', start: 'main' });
  const made = await server.call('POST', `/api/v4/projects/${app}/pipeline`, { token: alice.token, body: { ref: 'broken' } });
  expect(made.body['message']).toEqual({ base: body['errors'] });
  const never = { content: 'a: {script: x, rules: [{when: never}]}' };
  expect((await lint(never)).body).toMatchObject({ valid: true });
  const dry = await lint({ ...never, dry_run: true, ref: 'broken' });
  expect(dry.body).toMatchObject({ valid: false, errors: [expect.stringContaining('rules configuration prevented any jobs')] });
  expect((await lint({ ...never, dry_run: true })).body['errors']).toEqual(['You may not start a pipeline on this branch or tag.']);
  expect((await lint({ content: 'a: {script: x}', ref: 'none' })).body['errors']).toEqual(['Reference not found']);
  expect((await lint({})).status).toBe(400);
});

test('what is sent is judged before the first push as well; nothing stands there to be included', async () => {
  const empty = await server.project('team/fresh');
  await server.member(empty, alice.id, 30);
  const ask = async (body: object) => (await server.call('POST', `/api/v4/projects/${empty}/ci/lint`, { token: alice.token, body })).body;
  expect(await ask({ content: 'a: {script: x}' })).toMatchObject({ valid: true, errors: [] });
  expect(await ask({ content: 'a: {script: x, stage: none}' })).toMatchObject({ valid: false });
  expect(await ask({ content: 'include: ci/build.yml\na: {script: x}' })).toMatchObject({
    valid: false,
    errors: ['line 1: include: there is no file `ci/build.yml`'],
  });
  // A pipeline has to stand on something.
  expect(await ask({ content: 'a: {script: x}', dry_run: true })).toMatchObject({ errors: ['Reference not found'] });
});

test('what may start two pipelines for one push is warned of, as GitLab does', async () => {
  const jobs = [
    'open: {script: x, rules: [{if: $A}, {when: on_success}]}',
    'many: {script: x, parallel: 2, rules: [{when: always}]}',
    'closed: {script: x, rules: [{if: $A}, {when: never}]}',
    'asked: {script: x, rules: [{if: $A, when: always}]}',
    'valued: {script: x, rules: [{when: always, variables: {A: b}}]}',
  ];
  const { body } = await lint({ content: jobs.join('\n') });
  const warning = (name: string) =>
    expect.stringMatching(`^jobs:${name} may allow multiple pipelines to run for a single action due to .rules:when. clause`);
  expect(body).toMatchObject({ valid: true, warnings: [warning('open'), warning('many')] });
  const ruled = `workflow: {rules: [{when: always}]}\n${jobs.join('\n')}`;
  expect((await lint({ content: ruled })).body['warnings']).toEqual([]);
});

test('R4 R7 what a file says to jobpass and means nothing is warned of', async () => {
  const content = [
    'variables: {JOBPASS_PROJECT: team/app, JOBPASS_URL: https://forge.example}',
    'fine: {script: x, variables: {JOBPASS_EXPOSE: variable, JOBPASS_PERMISSIONS: "code:* release:write", JOBPASS_PROJECTS: team/app}}',
    'typo: {script: x, parallel: 2, variables: {JOBPASS_EXPOSE: varaible, JOBPASS_PERMISSIONS: code:clone, JOBPASS_PERMISSION: code:*}}',
    'ruled: {script: x, rules: [{if: $A, variables: {JOBPASS_EXPOSE: ""}}]}',
  ].join('\n');
  expect((await lint({ content })).body).toMatchObject({
    valid: true,
    warnings: [
      'variables: `JOBPASS_PROJECT` means nothing to jobpass, JOBPASS_PROJECTS does',
      'jobs:typo: JOBPASS_EXPOSE is "varaible", which is none of withhold, variable, replace: the script would not see its pass',
      'jobs:typo: JOBPASS_PERMISSIONS: there is no permission "code:clone": the pass could do nothing',
      'jobs:typo: `JOBPASS_PERMISSION` means nothing to jobpass, JOBPASS_PERMISSIONS does',
      'jobs:ruled:rules: JOBPASS_EXPOSE is "", which is none of withhold, variable, replace: the script would not see its pass',
    ],
  });
});

test('A57 R3 a rule looks into another project with the rights of everybody behind the pipeline', async () => {
  const content = 'a: {script: x, rules: [{exists: {paths: [a.yml], project: other/secret}}]}\nb: {script: x}';
  const why = 'rules:exists: project `other/secret` does not exist, or not everybody whose pipeline this is may read it';
  const asked = { dry_run: true, ref: 'broken' };
  const { body } = await lint({ content, ...asked });
  expect(body).toMatchObject({ valid: false, errors: [why] });
  const none = content.replace('other/secret', 'no/where');
  expect((await lint({ content: none, ...asked })).body['errors']).toEqual([why.replace('other/secret', 'no/where')]);
});

test('the file of the repository, at a ref of its own', async () => {
  const path = `/api/v4/projects/${app}/ci/lint`;
  expect((await server.call('GET', path, { token: alice.token })).status).toBe(404);
  const at = await server.call('GET', `${path}?content_ref=broken`, { token: alice.token });
  expect(at.body).toMatchObject({ valid: false, merged_yaml: '---\na:\n  script: x\n  cach: "y"\n' });
  expect((await server.call('GET', path)).status).toBe(404);
});

test('A41 A57 R3 what is included is read with the rights of who asks, an administrator’s power aside', async () => {
  const content = 'include: {project: other/secret, file: a.yml}\na: {extends: .x}';
  const why = 'line 1: include: project `other/secret` does not exist, or not everybody whose pipeline this is may read it';
  expect((await lint({ content })).body).toMatchObject({ valid: false, errors: [why], merged_yaml: null });
  const { id } = await server.must('POST', '/api/v4/users', { username: 'boss', name: 'boss', email: 'boss@example.com', admin: true });
  const { token } = await server.must('POST', `/api/v4/users/${String(id)}/personal_access_tokens`, { name: 'x', scopes: ['api'] });
  expect((await lint({ content }, String(token))).body).toMatchObject({ valid: false, errors: [why] });
  await server.member(secret, alice.id, 20);
  expect((await lint({ content })).body).toMatchObject({ valid: true, includes: [{ type: 'file', extra: { project: 'other/secret' } }] });
});

test('R5 variables of the project decide rules; a masked one shows nowhere, and to who may not run jobs there they are not there', async () => {
  const variables = `/api/v4/projects/${app}/variables`;
  await server.must('POST', variables, { key: 'PLAIN', value: 'ci/build', protected: false });
  await server.must('POST', variables, { key: 'SECRET', value: 'hunter2hunter2', masked: true, protected: true });
  const rule = 'include: {local: ci/build.yml, rules: [{if: $SECRET =~ /^hunter/}]}\na: {script: x}\n';
  const files = async (token: string) => ((await lint({ content: rule }, token)).body['includes'] as unknown[]).length;
  expect([await files(server.root), await files(alice.token)]).toEqual([1, 0]);
  const shown = await lint({ content: 'include: $SECRET.yml\na: {script: x}' }, server.root);
  expect([shown.body['errors'], shown.text.includes('hunter2')]).toEqual([
    ['line 1: include: the variable `SECRET` is masked, and so becomes part of nothing that is kept or shown'],
    false,
  ]);
  expect((await lint({ content: 'include: $PLAIN.yml\na: {script: x}' }, server.root)).body['valid']).toBe(true);
  const ruled = await lint(
    { content: 'a: {script: x, rules: [{if: $SECRET}]}\nb: {script: x}', dry_run: true, include_jobs: true },
    server.root,
  );
  expect((ruled.body['jobs'] as { name: string }[]).map(({ name }) => name)).toEqual(['a', 'b']);
});
