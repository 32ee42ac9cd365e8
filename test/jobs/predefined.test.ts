import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { makeAddresses } from '../../src/base/addresses.ts';
import { id, millis } from '../../src/base/ids.ts';
import { jobVariables, pipelineVariables } from '../../src/jobs/predefined.ts';
import { predefinedVariables, variableReference } from '../../src/jobs/predefined-reference.ts';
import { sampleJob } from '../support/sample-job.ts';

test('docs/variables.md is what the table says (node scripts/variables-doc.mjs)', () => {
  expect(readFileSync(new URL('../../docs/variables.md', import.meta.url), 'utf8')).toBe(variableReference());
});

const instance = {
  addresses: makeAddresses(['https://forge.example'], undefined),
  maxExposure: 'replace',
  principals: 'intersect',
  version: '1.2.3-rc',
} as const;
const project = {
  id: id(7),
  path: 'team/sub/app',
  visibility: 'private',
  archived: false,
  namespaceId: id(3),
  rootGroupId: id(3),
  defaultBranch: 'main',
  chainDepth: 0,
} as never;
const commit = {
  message: 'Title\n\nbody',
  title: 'Title',
  committedDate: '2026-01-01T00:00:00Z',
  authorName: 'A',
  authorEmail: 'a@x',
} as never;
const user = { id: id(1), username: 'alice', name: 'Alice', state: 'active', isAdmin: false } as never;

function given(tag: boolean) {
  const facts = {
    project,
    user,
    commit,
    ref: tag ? 'v1' : 'main',
    tag,
    sha: 'a'.repeat(40),
    beforeSha: '0'.repeat(40),
    source: 'push',
    protected: true,
  } as const;
  const pipeline = { id: id(5), iid: 1, createdAt: millis(0), name: 'Nightly' } as never;
  const job = sampleJob({ name: 'test: [a, b]', when: 'manual', startedAt: millis(1000) });
  return { planned: pipelineVariables(instance, facts), job: jobVariables(instance, project, pipeline, job) };
}

test('every variable that a job is given stands in the table where it is known', () => {
  for (const tag of [true, false]) {
    const { planned, job } = given(tag);
    for (const name of planned.keys()) expect([name, predefinedVariables.get(name)?.known]).toEqual([name, 'pipeline']);
    for (const name of job.keys())
      expect([name, predefinedVariables.get(name)?.known]).toEqual([name, /^CI_JOB_(?:NAME|STAGE)$/.test(name) ? 'pipeline' : 'job']);
  }
});

test('their values are honest', () => {
  const { planned, job } = given(true);
  expect([planned.get('CI_SERVER_VERSION_MAJOR'), planned.get('CI_SERVER_VERSION_PATCH'), planned.get('CI_COMMIT_TAG')]).toEqual([
    '1',
    '3',
    'v1',
  ]);
  expect([planned.has('CI_COMMIT_BRANCH'), planned.get('CI_PROJECT_NAMESPACE'), planned.get('CI_PROJECT_ROOT_NAMESPACE')]).toEqual([
    false,
    'team/sub',
    'team',
  ]);
  expect(Object.fromEntries(job)).toMatchObject({
    CI_JOB_GROUP_NAME: 'test',
    CI_JOB_MANUAL: 'true',
    CI_JOB_STARTED_AT: '1970-01-01T00:00:01.000Z',
    CI_PIPELINE_NAME: 'Nightly',
    CI_NODE_TOTAL: '1',
  });
});
