import type { Mutant } from './mutant.ts';

const reads = 'test/walk/reads.test.ts';
const everyCell = 'every cell answers what the rules say';

/** Broad defences: without one of them the walk turns red, whatever else is tested. */
export const walkMutants: readonly Mutant[] = [
  {
    id: 'R1',
    defence: 'admin power never counts for a pass',
    file: 'src/policy/decide.ts',
    find: 'const decision = decidePrincipal(principal, false,',
    replace: 'const decision = decidePrincipal(principal, principal.admin,',
    test: reads,
    name: everyCell,
  },
  {
    id: 'R3',
    defence: 'a list shows what every principal may see',
    file: 'src/pass/admit.ts',
    find: 'return { principals: usersOf(identity), ...(within',
    replace: 'return { principals: usersOf(identity).slice(0, 1), ...(within',
    test: reads,
    name: everyCell,
    walk: '/subgroups,/api/v4/projects,/api/v4/groups',
  },
  {
    id: 'R5',
    defence: 'the never-allowed permissions, on every route',
    file: 'src/policy/decide.ts',
    find: "if (rule.pass === 'never')",
    replace: 'if (false)',
    test: 'test/walk/writes.test.ts',
    name: everyCell,
    walk: '/members,/ceiling',
  },
  {
    id: 'R8',
    defence: 'a fetch pass pushes no image',
    file: 'src/policy/decide.ts',
    find: "'container:read', 'registry:login', 'pass:self'",
    replace: "'container:read', 'container:push', 'registry:login', 'pass:self'",
    test: 'test/walk/large-files.test.ts',
    name: everyCell,
    walk: '/v2',
  },
  {
    id: 'R2',
    defence: 'an expired pass is dead, on every route',
    file: 'src/pass/life.ts',
    find: "if (now >= pass.expiresAt) return 'the pass has expired';",
    replace: '',
    test: 'test/walk/doors.test.ts',
    name: 'R3 introspection tells of living passes only',
  },
  {
    id: 'R2',
    defence: 'who removes a runner ends what it holds',
    file: 'src/jobs/runners.ts',
    find: "await revoker.revokeForJob(tx, job, 'its runner was removed');",
    replace: 'if (job === 0) return taken;',
    test: 'test/walk/death.test.ts',
    name: 'R2 its runner is removed',
  },
  {
    id: 'R13',
    defence: 'a broken multipart body is refused, not waited for',
    file: 'src/doors/runner/upload.ts',
    find: 'const late = (): void => void setImmediate(malformed);',
    replace: 'const late = (): void => undefined;',
    test: 'test/fuzz/files.test.ts',
    name: 'R13 a multipart body',
  },
  {
    id: 'A22',
    defence: 'no dots in a path, however they are written',
    file: 'src/policy/match.ts',
    find: "part !== '' && part !== '.' && part !== '..'",
    replace: "part !== '' && part !== '.'",
    test: 'test/fuzz/requests.test.ts',
    name: 'A22 a path is read in one way only',
  },
];
