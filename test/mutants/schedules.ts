import type { Mutant } from './mutant.ts';

const suite = 'test/jobs/schedules.test.ts';

export const scheduleMutants: readonly Mutant[] = [
  {
    id: 'A4',
    defence: 'a schedule belongs to who edits it',
    file: 'src/jobs/schedules.ts',
    find: '{ ...change, ownerId: actor,',
    replace: '{ ...change,',
    test: suite,
    name: 'A4 who edits',
  },
  {
    id: 'A4',
    defence: 'only its owner or a maintainer changes it',
    file: 'src/jobs/schedules.ts',
    find: 'if (schedule.ownerId === actor) return true;',
    replace: 'return true;',
    test: suite,
    name: 'A4 a developer does not touch',
  },
  {
    id: 'R1',
    defence: 'the right of the owner is asked when it runs',
    file: 'src/jobs/scheduler.ts',
    find: 'if (!(await mayRunOn(this.#deps, tx, [now.ownerId]',
    replace: 'if (false && !(await mayRunOn(this.#deps, tx, [now.ownerId]',
    test: suite,
    name: 'R1 a schedule whose owner',
  },
  {
    id: 'R3',
    defence: 'who set its variables is a principal',
    file: 'src/jobs/schedules.ts',
    find: '...[...schedule.variables, ...schedule.inputs].map(',
    replace: '...schedule.inputs.map(',
    test: suite,
    name: 'A4 who edits',
  },
  {
    id: 'A56',
    defence: 'who described a schedule steers its jobs, whoever runs them again',
    file: 'src/jobs/whose.ts',
    find: "['merge_request_event', 'schedule']",
    replace: "['merge_request_event']",
    test: suite,
    name: 'A56 who described',
  },
];
