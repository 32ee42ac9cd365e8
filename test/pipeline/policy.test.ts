import fc from 'fast-check';
import { expect, test } from 'vitest';
import { newBudget } from '../../src/base/budget.ts';
import { planPipeline } from '../../src/pipeline/evaluate.ts';
import type { Given } from '../../src/pipeline/given.ts';
import { parseCiFile } from '../../src/pipeline/parse.ts';
import { isChosen, type Policy } from '../../src/pipeline/policy.ts';

const sources = ['push', 'web', 'api', 'trigger', 'schedule', 'pipeline', 'parent_pipeline', 'merge_request_event'] as const;
const words = [
  'branches',
  'tags',
  'pushes',
  'web',
  'api',
  'triggers',
  'schedules',
  'pipelines',
  'merge_requests',
  'main',
  'v1',
  'external',
];

interface Facts {
  readonly source: (typeof sources)[number];
  readonly tag: boolean;
  readonly ref: string;
}
const anyFacts: fc.Arbitrary<Facts> = fc.record({
  source: fc.constantFrom(...sources),
  tag: fc.boolean(),
  ref: fc.constantFrom('main', 'v1', 'feature/x'),
});
const givenOf = ({ source, tag, ref }: Facts): Given => ({
  predefined: new Map([['CI_PIPELINE_SOURCE', source], ['CI_COMMIT_REF_NAME', ref], ...(tag ? [['CI_COMMIT_TAG', ref] as const] : [])]),
  over: [],
});

/** GitLab's table of keywords, written down once more. */
function wordHolds(word: string, { source, tag, ref }: Facts): boolean {
  const request = source === 'merge_request_event' && !tag;
  switch (word) {
    case 'branches':
      return !tag && !request;
    case 'tags':
      return tag;
    case 'pushes':
      return source === 'push';
    case 'web':
    case 'api':
      return source === word;
    case 'triggers':
      return source === 'trigger';
    case 'schedules':
      return source === 'schedule';
    case 'pipelines':
      return source === 'pipeline';
    case 'merge_requests':
      return source === 'merge_request_event';
    default:
      return !request && ref === word;
  }
}

interface Parts {
  readonly refs: readonly string[] | undefined;
  readonly variables: boolean | undefined;
  readonly changes: boolean | undefined;
}
const maybe = <Value>(arbitrary: fc.Arbitrary<Value>) => fc.option(arbitrary, { nil: undefined });
const anyParts: fc.Arbitrary<Parts> = fc.record({
  refs: maybe(fc.array(fc.constantFrom(...words), { maxLength: 3 })),
  variables: maybe(fc.boolean()),
  changes: maybe(fc.boolean()),
});
const policyOf = ({ refs, variables, changes }: Parts): Policy => ({
  ...(refs === undefined ? {} : { refs: refs.map((matches) => ({ matches })) }),
  ...(variables === undefined ? {} : { variables: [{ kind: 'text', value: variables ? 'yes' : '' }] }),
  ...(changes === undefined ? {} : { changes: [changes ? 'changed' : 'same'] }),
});
const defined = (parts: Parts, facts: Facts): readonly boolean[] =>
  [parts.refs?.some((word) => wordHolds(word, facts)), parts.variables, parts.changes].filter((part) => part !== undefined);

test('a job is chosen where all of `only` holds and nothing of `except`; `only` is for branches and tags where it says nothing of refs', () => {
  fc.assert(
    fc.property(anyFacts, maybe(anyParts), maybe(anyParts), fc.boolean(), (facts, only, except, defaults) => {
      const byDefault = { refs: ['branches', 'tags'], variables: undefined, changes: undefined };
      const wanted = only === undefined ? (defaults ? byDefault : undefined) : { ...only, refs: only.refs ?? byDefault.refs };
      const model =
        (wanted === undefined || defined(wanted, facts).every(Boolean)) && (except === undefined || !defined(except, facts).some(Boolean));
      const job = {
        ...(only === undefined ? {} : { only: policyOf(only) }),
        ...(except === undefined ? {} : { except: policyOf(except) }),
      };
      const holds: Parameters<typeof isChosen>[2] = (rules) =>
        rules.some((rule) =>
          rule.changes === undefined ? rule.if?.kind === 'text' && rule.if.value !== '' : rule.changes.paths[0] === 'changed',
        );
      expect(isChosen(job, givenOf(facts), holds, newBudget(), defaults)).toBe(model);
    }),
  );
});

test('what `only` and `except` say of kinds of pipelines is what rules with the same conditions say', () => {
  const same: Readonly<Record<string, string>> = {
    branches: '$CI_COMMIT_BRANCH',
    tags: '$CI_COMMIT_TAG',
    pushes: '$CI_PIPELINE_SOURCE == "push"',
    schedules: '$CI_PIPELINE_SOURCE == "schedule"',
    merge_requests: '$CI_PIPELINE_SOURCE == "merge_request_event"',
    '/^feature/': '($CI_COMMIT_BRANCH || $CI_COMMIT_TAG) && $CI_COMMIT_REF_NAME =~ /^feature/',
  };
  const some = fc.uniqueArray(fc.constantFrom(...Object.keys(same)), { minLength: 1 });
  fc.assert(
    fc.property(anyFacts, some, fc.boolean(), (facts, refs, excepts) => {
      const conditions = refs.map((word) => ({ if: same[word] }));
      const rules = excepts
        ? [...conditions.map((rule) => ({ ...rule, when: 'never' })), { if: '$CI_COMMIT_BRANCH || $CI_COMMIT_TAG' }]
        : conditions;
      const jobs = { old: { script: 'x', [excepts ? 'except' : 'only']: refs }, ruled: { script: 'x', rules } };
      const parsed = parseCiFile(JSON.stringify(jobs));
      if (!parsed.ok) throw new Error(parsed.errors[0]?.message);
      const given = givenOf(facts);
      const branch = !facts.tag && facts.source !== 'merge_request_event';
      const known = { ...given, predefined: new Map([...given.predefined, ...(branch ? [['CI_COMMIT_BRANCH', facts.ref] as const] : [])]) };
      const planned = planPipeline(parsed.file, known);
      expect(planned.ok ? planned.plan.jobs.map(({ name }) => name) : []).toSatisfy((names: string[]) => [0, 2].includes(names.length));
    }),
  );
});

test('R13 a pattern of `only` costs the budget of the whole file, and finds nothing beyond it', () => {
  const parsed = parseCiFile(JSON.stringify({ job: { script: 'x', only: ['/^(a+)+$/'] } }));
  if (!parsed.ok) throw new Error(parsed.errors[0]?.message);
  const [job] = parsed.file.jobs;
  const chosen = (left: number) => {
    const budget = { left };
    const given = givenOf({ source: 'push', tag: false, ref: 'a'.repeat(1000) });
    return [job !== undefined && isChosen(job, given, () => false, budget, true), budget.left < 0];
  };
  expect([chosen(100_000), chosen(1000)]).toEqual([
    [true, false],
    [false, true],
  ]);
});
