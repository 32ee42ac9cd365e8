import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { makeAddresses } from '../../src/base/addresses.ts';
import { id, millis } from '../../src/base/ids.ts';
import { newPassToken } from '../../src/base/pass-token.ts';
import { Secret } from '../../src/base/secret.ts';
import { buildPayload, type PayloadParts, payloadProblem } from '../../src/jobs/payload.ts';
import { sampleJob } from '../support/sample-job.ts';

const [full, fetchPass] = [newPassToken('full').reveal(), newPassToken('fetch').reveal()];

function parts(change: Partial<PayloadParts> = {}): PayloadParts {
  return {
    instance: {
      addresses: makeAddresses(['https://forge.example'], 'https://registry.example:5050'),
      maxExposure: 'replace',
      principals: 'intersect',
      version: 'test',
    },
    project: {
      id: id(7),
      path: 'team/app',
      visibility: 'private',
      archived: false,
      namespaceId: id(3),
      rootGroupId: id(3),
      defaultBranch: 'main',
      chainDepth: 0,
    },
    pipeline: {
      id: id(5),
      iid: 1,
      projectId: id(7),
      ref: 'main',
      tag: false,
      sha: 'a'.repeat(40),
      beforeSha: '0'.repeat(40),
      source: 'push',
      status: 'running',
      userId: id(1),
      creators: [id(1)],
      parentJobId: null,
      passId: null,
      chainDepth: 0,
      variables: [{ key: 'GIVEN', value: 'by the pipeline' }],
      sourceVariables: {},
      inputs: {},
      mergeRequestId: null,
      yamlErrors: null,
      createdAt: millis(0),
      updatedAt: millis(0),
      startedAt: null,
      finishedAt: null,
      name: null,
      autoCancel: { onNewCommit: 'conservative', onJobFailure: 'none' },
      upstream: null,
    },
    job: sampleJob({ timeoutSeconds: 600 }),
    plan: {
      name: 'job',
      stage: 'test',
      stageIndex: 0,
      script: ['make'],
      beforeScript: ['setup'],
      afterScript: ['clean'],
      variables: { GIVEN: 'by the job', LOCAL: '1' },
      when: 'on_success',
      allowFailure: false,
      allowFailureExitCodes: [],
      tags: [],
    },
    globals: { GIVEN: 'by the file' },
    rawGlobals: [],
    kept: [],
    idTokens: new Map(),
    caches: [],
    inputsKey: 'protected-0123456789abcdef',
    predefined: new Map([['CI', 'true']]),
    jobToken: new Secret('glcbt-token'),
    extended: {
      token: full,
      fetch_token: fetchPass,
      username: 'gitlab-ci-token',
      expires_at: '2026-11-23T10:00:00Z',
      exposure: 'variable',
      notes: [],
      hosts: { api: [], git: [], registry: [] },
    },
    ofEnvironment: [],
    dependencies: [],
    protected: true,
    inVariable: false,
    runner: { id: id(7), description: 'blue', tags: ['a', 'b'] },
    ...change,
  };
}

describe("a job's payload", () => {
  test('R6 no pass is anywhere but in its own field, in none of its forms', () => {
    const { extended_job_token: extended, ...rest } = buildPayload(parts());
    expect(extended?.token).toBe(full);
    const text = JSON.stringify(rest);
    for (const pass of [full, fetchPass])
      for (const form of [pass, Buffer.from(pass).toString('base64').slice(0, 50), Buffer.from(pass).toString('hex'), pass.slice(5, 25)])
        expect(text).not.toContain(form);
    expect(payloadProblem(buildPayload(parts()))).toBeUndefined();
  });

  test('R6 a pass that a pipeline variable carries stops the job instead of going out', () => {
    const { pipeline } = parts();
    const leaking = buildPayload(parts({ pipeline: { ...pipeline, variables: [{ key: 'X', value: `Bearer ${fetchPass}` }] } }));
    expect(payloadProblem(leaking)).toBe('a pass is outside its field');
  });

  test('the ordinary token stands where GitLab puts it, always as a masked variable', () => {
    const payload = buildPayload(parts());
    expect(payload.git_info.repo_url).toBe('https://gitlab-ci-token:glcbt-token@forge.example/team/app.git');
    const secrets = payload.variables.filter(({ value }) => value.includes('glcbt-token'));
    expect(secrets.map(({ key }) => key)).toEqual(['CI_JOB_TOKEN', 'CI_REPOSITORY_URL', 'CI_REGISTRY_PASSWORD']);
    expect(secrets.every(({ masked, public: open }) => masked && !open)).toBe(true);
    expect(payload.credentials).toEqual([
      { type: 'registry', url: 'registry.example:5050', username: 'gitlab-ci-token', password: 'glcbt-token' },
    ]);
    expect(payload.features.token_mask_prefixes).toEqual(['jpt_']);
  });

  test('reports stand beside the archive, each in the form of its type, whatever became of the job', () => {
    const { plan } = parts();
    const artifacts = {
      paths: ['out'],
      exclude: [],
      when: 'on_success',
      untracked: false,
      reports: { junit: ['*.xml'], sast: ['s.json'], horoscope: ['h'] },
    } as const;
    const sent = buildPayload(parts({ plan: { ...plan, artifacts } })).artifacts;
    expect(sent.map((one) => [one.artifact_type, one.artifact_format, one.name, one.when])).toEqual([
      ['archive', 'zip', null, 'on_success'],
      ['junit', 'gzip', 'junit.xml', 'always'],
      ['sast', 'raw', 'gl-sast-report.json', 'always'],
    ]);
    expect(buildPayload(parts({ plan: { ...plan, artifacts: { ...artifacts, paths: [] } } })).artifacts).toHaveLength(2);
  });

  test('options of the executors stand beside the image, each under its own name', () => {
    const { plan } = parts();
    const image = { name: 'i', docker: { user: 'dave' }, kubernetes: { user: '1001:1001' } };
    expect(buildPayload(parts({ plan: { ...plan, image } })).image).toEqual({
      name: 'i',
      executor_opts: { docker: { user: 'dave' }, kubernetes: { user: '1001:1001' } },
    });
    expect(buildPayload(parts({ plan: { ...plan, image: { name: 'i' } } })).image).toEqual({ name: 'i' });
  });

  test('R6 assist: the one place beside its field is a masked variable, and only the full pass', () => {
    const payload = buildPayload(parts({ inVariable: true }));
    expect(payload.variables.filter(({ value }) => value.includes('jpt_'))).toEqual([
      { key: 'CI_EXTENDED_JOB_TOKEN', value: full, public: false, masked: true, raw: true },
    ]);
    expect([payloadProblem(payload, true), payloadProblem(payload)]).toEqual([undefined, 'a pass is outside its field']);
    const shown = { ...payload, variables: payload.variables.map((one) => ({ ...one, masked: false })) };
    expect(payloadProblem(shown, true)).toBe('a pass is outside its field');
    const { pipeline } = parts();
    const twice = buildPayload(parts({ inVariable: true, pipeline: { ...pipeline, variables: [{ key: 'X', value: full }] } }));
    expect(payloadProblem(twice, true)).toBe('a pass is outside its field');
  });

  test('later variables win: the file, the job, the pipeline', () => {
    const given = buildPayload(parts()).variables.filter(({ key }) => key === 'GIVEN');
    expect(given.map(({ value }) => value)).toEqual(['by the pipeline']);
    const { pipeline, plan } = parts();
    const valueOf = (change: Partial<PayloadParts>) =>
      buildPayload(parts({ pipeline: { ...pipeline, variables: [] }, ...change })).variables.find(({ key }) => key === 'GIVEN')?.value;
    expect([valueOf({}), valueOf({ plan: { ...plan, variables: {} } })]).toEqual(['by the job', 'by the file']);
  });

  test('a branch and a tag are fetched by their own refspec, as deep as GIT_DEPTH says', () => {
    expect(buildPayload(parts()).git_info).toMatchObject({ refspecs: ['+refs/heads/main:refs/remotes/origin/main'], depth: 20 });
    const tag = parts({ job: sampleJob({ tag: true, ref: 'v1' }), globals: { GIT_DEPTH: '0' } });
    expect(buildPayload(tag).git_info).toMatchObject({ refspecs: ['+refs/tags/v1:refs/tags/v1'], ref_type: 'tag', depth: 0 });
    expect(buildPayload(parts({ globals: { GIT_DEPTH: '-1; rm' } })).git_info.depth).toBe(20);
  });

  test('what a stock runner would choke on is found before it is sent', () => {
    const payload = buildPayload(parts());
    expect(payloadProblem({ ...payload, git_info: { ...payload.git_info, sha: 'abc' } })).toContain('sha');
    expect(payloadProblem({ ...payload, steps: [] })).toContain('script');
    expect(payloadProblem({ ...payload, runner_info: { timeout: Number.NaN } })).toContain('number');
    expect(payloadProblem({ ...payload, variables: [{ key: 'A', value: 1 as never, public: true, masked: false }] })).toContain('variable');
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.string()), (globals) => {
        expect(payloadProblem(buildPayload(parts({ globals })))).toBeUndefined();
      }),
    );
  });
});
