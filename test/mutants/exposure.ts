import type { Mutant } from './mutant.ts';

export const exposureMutants: readonly Mutant[] = [
  {
    id: 'R7',
    defence: 'the bound of the project counts',
    file: 'src/jobs/bounds.ts',
    find: "maximum: await deps.exposureBounds.of(tx, { kind: 'project', id: project.id })",
    replace: 'maximum: null',
    test: 'test/jobs/lifecycle.test.ts',
    name: 'R7 project and starting user bound',
  },
  {
    id: 'R7',
    defence: 'the bound of the starting user counts',
    file: 'src/jobs/bounds.ts',
    find: "maximum: await deps.exposureBounds.of(tx, { kind: 'user', id: starter })",
    replace: 'maximum: null',
    test: 'test/jobs/lifecycle.test.ts',
    name: 'R7 project and starting user bound',
  },
  {
    id: 'A50',
    defence: 'what a trigger gives only narrows',
    file: 'src/jobs/exposure.ts',
    find: "const asked = order.find((word) => word === (ask.asked ?? 'withhold'));",
    replace: "const asked = order.find((word) => word === (ask.given ?? ask.asked ?? 'withhold'));",
    test: 'test/jobs/exposure.test.ts',
    name: 'A50 what a trigger gives',
  },
  {
    id: 'R3',
    defence: 'only a project that was trusted by name is trusted',
    file: 'src/jobs/whose.ts',
    find: 'const trusted = await deps.trustedProjects.has(null, job.userId, project.id);',
    replace: 'const trusted = true;',
    test: 'test/jobs/trust.test.ts',
    name: 'R3 A59 who trusts a project',
  },
  {
    id: 'A44',
    defence: 'a runner is vouched for by name only',
    file: 'src/jobs/whose.ts',
    find: "runner.scope === 'instance' || runner.vouched ?",
    replace: 'true ?',
    test: 'test/jobs/trust.test.ts',
    name: 'R3 A44',
  },
];
