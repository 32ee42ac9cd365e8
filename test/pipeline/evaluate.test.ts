import { expect, test } from 'vitest';
import { planPipeline } from '../../src/pipeline/evaluate.ts';
import { parseCiFile } from '../../src/pipeline/parse.ts';
import { errorText, type Plan } from '../../src/pipeline/plan.ts';

function planned(text: string, given: Readonly<Record<string, string>> = {}): Plan | string {
  const parsed = parseCiFile(text);
  if (!parsed.ok) return parsed.errors.map(errorText).join('\n');
  const result = planPipeline(parsed.file, new Map(Object.entries(given)));
  return result.ok ? result.plan : result.errors.map(errorText).join('\n');
}
function plan(text: string, given?: Readonly<Record<string, string>>): Plan {
  const result = planned(text, given);
  if (typeof result === 'string') throw new Error(result);
  return result;
}
const names = (text: string, given?: Readonly<Record<string, string>>): string[] => plan(text, given).jobs.map((job) => job.name);

test('jobs take what the file says for all of them', () => {
  const text = `
default: {image: d, tags: [t], timeout: 1h, artifacts: {paths: [x]}}
before_script: [b]
after_script: [c]
variables: {G: g}
one: {stage: build, script: x}
two: {script: y, image: own, before_script: [], tags: [], variables: {J: j}}
`;
  const { jobs, stages, variables } = plan(text);
  expect(stages).toEqual(['.pre', 'build', 'test', 'deploy', '.post']);
  expect(variables).toEqual({ G: 'g' });
  expect(jobs).toEqual([
    {
      name: 'one',
      stage: 'build',
      stageIndex: 1,
      script: ['x'],
      beforeScript: ['b'],
      afterScript: ['c'],
      image: { name: 'd' },
      variables: {},
      artifacts: { paths: ['x'], exclude: [], when: 'on_success', untracked: false },
      when: 'on_success',
      allowFailure: false,
      allowFailureExitCodes: [],
      tags: ['t'],
      timeoutSeconds: 3600,
    },
    expect.objectContaining({ name: 'two', image: { name: 'own' }, beforeScript: [], tags: [], variables: { J: 'j' } }),
  ]);
  expect(JSON.parse(JSON.stringify(jobs))).toEqual(jobs);
});

test('the first rule that matches decides', () => {
  const text = `
a:
  script: x
  variables: {V: own, W: own}
  rules:
    - {if: '$CI_COMMIT_BRANCH == "main"', when: manual, allow_failure: true, variables: {V: main}}
    - {if: $CI_COMMIT_TAG, when: never}
    - when: always
`;
  expect(plan(text, { CI_COMMIT_BRANCH: 'main' }).jobs[0]).toMatchObject({
    when: 'manual',
    allowFailure: true,
    variables: { V: 'main', W: 'own' },
  });
  expect(plan(text).jobs[0]).toMatchObject({ when: 'always', allowFailure: false, variables: { V: 'own' } });
  expect(planned(text, { CI_COMMIT_TAG: 'v1' })).toBe(
    'Pipeline will not run for the selected trigger. The rules configuration prevented any jobs from being added to the pipeline.',
  );
});

test("a manual job may fail unless its rules say when it is manual (GitLab's default)", () => {
  const { jobs } = plan(
    'a: {script: x, when: manual}\nb: {script: x, rules: [{when: manual}]}\nc: {script: x, when: manual, allow_failure: false}',
  );
  expect(jobs.map((job) => job.allowFailure)).toEqual([true, false, false]);
});

test('no matching rule, no rules at all in the list, and `never` leave the job out', () => {
  expect(names('a: {script: x, rules: [{if: $NO}]}\nb: {script: x, rules: []}\nc: {script: x, when: never}\nd: {script: x}')).toEqual([
    'd',
  ]);
});

test('rules see expanded values of the file, and given values as they stand', () => {
  const text = `
variables: {NAME: "x-$CI_COMMIT_BRANCH", SAID: "$CI_COMMIT_MESSAGE"}
a: {script: x, rules: [{if: '$NAME == "x-main"'}]}
b: {script: x, rules: [{if: '$SAID == "costs $NAME"'}]}
c: {script: x, variables: {NAME: own}, rules: [{if: '$NAME == "own"'}]}
`;
  expect(names(text, { CI_COMMIT_BRANCH: 'main', CI_COMMIT_MESSAGE: 'costs $NAME' })).toEqual(['a', 'b', 'c']);
  expect(names(text, { NAME: 'x-main', CI_COMMIT_MESSAGE: 'costs $NAME' })).toEqual(['a', 'b']);
});

test('a needed job that the rules left out', () => {
  const text = (need: string): string =>
    `a: {script: x, rules: [{if: $NO}]}\nb: {stage: deploy, script: x, needs: [${need}], dependencies: [a]}`;
  expect(planned(text('a'))).toBe('line 2: job `b` needs `a`, which the rules left out (`optional: true` makes do without it)');
  expect(plan(text('{job: a, optional: true}')).jobs).toMatchObject([{ name: 'b', needs: [], dependencies: [] }]);
});

test('no `needs` is not the same as empty `needs`', () => {
  const { jobs } = plan('a: {script: x}\nb: {script: x, needs: []}');
  expect(jobs.map((job) => job.needs)).toEqual([undefined, []]);
});

test('rules that cost too much', () => {
  const rules = Array.from({ length: 50 }, () => "{if: '$LONG =~ /(a?){900}[b-c]$/'}").join(', ');
  expect(planned(`a: {script: x, rules: [${rules}]}`, { LONG: 'a'.repeat(60_000) })).toBe(
    'line 1: job `a`: evaluating the rules takes too long',
  );
});

test('a small file whose jobs would be large', () => {
  const jobs = Array.from({ length: 100 }, (_, index) => `j${index}: {script: x}`).join('\n');
  expect(planned(`before_script: ["${'x'.repeat(500_000)}"]\n${jobs}`)).toBe("the pipeline's jobs are larger than 33554432 bytes together");
});
