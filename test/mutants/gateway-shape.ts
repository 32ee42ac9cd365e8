import type { Mutant } from './mutant.ts';

const test = 'test/gateway/edges.test.ts';

/** What a GitLab reads of a request, or shows in an answer, beside what was judged. */
export const gatewayShapeMutants: readonly Mutant[] = [
  {
    id: 'R13',
    defence: 'numbers in a path are numbers',
    file: 'src/doors/proxy/judge.ts',
    find: 'isNumber.test(name) && parseId(value) === undefined',
    replace: 'false',
    test,
    name: 'R13 A22 a word in the place',
  },
  {
    id: 'A22',
    defence: 'one service of git',
    file: 'src/doors/proxy/judge.ts',
    find: "query.getAll('service').join()",
    replace: "query.get('service')",
    test,
    name: 'A22 refs are asked for with one service',
  },
  {
    id: 'R5',
    defence: 'variables of schedules',
    file: 'src/doors/proxy/scrub.ts',
    find: "endpoint.includes('/pipeline_schedules') ? ofSchedules : []",
    replace: '[]',
    test,
    name: 'R5 variables and inputs of a schedule',
  },
  {
    id: 'R3',
    defence: 'what stands beside each thing of a list',
    file: 'src/doors/proxy/scrub.ts',
    find: 'Array.isArray(value) ? value.map(without) : without(value)',
    replace: 'Array.isArray(value) ? value : without(value)',
    test,
    name: 'R3 R4 what a bridge started',
  },
  {
    id: 'A66',
    defence: 'the query is looked into as well',
    file: 'src/doors/proxy/pass-requests.ts',
    find: 'checkReserved(wanted.params, [said, formOf(queryOf(this.#request.url))]);',
    replace: 'checkReserved(wanted.params, said);',
    test,
    name: 'R4 A66 below .jobpass/',
  },
  {
    id: 'R5',
    defence: 'no right to push for others',
    file: 'src/doors/proxy/params.ts',
    find: 'if (lasting.has(name))',
    replace: 'if (false)',
    test,
    name: 'R5 no pass lets others push',
  },
  {
    id: 'A22',
    defence: 'a large-file call has no query',
    file: 'src/doors/proxy/request-shape.ts',
    find: "if (method === 'POST' && (url ?? '').includes('?'))",
    replace: 'if (false)',
    test,
    name: 'A22 a large-file call says',
  },
  {
    id: 'R4',
    defence: 'the right to take a lock back by force',
    file: 'src/doors/proxy/pass-requests.ts',
    find: 'asksForForce(body)',
    replace: 'false',
    test,
    name: "R4 to take another's lock back",
  },
];
