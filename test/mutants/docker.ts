import type { Mutant } from './mutant.ts';

const executor = 'test/runner/docker.test.ts';

export const dockerMutants: readonly Mutant[] = [
  {
    id: 'A52',
    defence: 'the fetch pass goes to the exact registry alone',
    file: 'src/runner/executors/docker/reference.ts',
    find: 'registries.some((one) => one.toLowerCase() === reference.registry)',
    replace: 'registries.some((one) => reference.registry.startsWith(one))',
    test: 'test/runner/docker-reference.test.ts',
    name: 'A52',
  },
  {
    id: 'A34',
    defence: 'a local image counts under its own name alone',
    file: 'src/runner/executors/docker/reference.ts',
    find: 'filter((one) => one?.repository === repository)',
    replace: 'filter((one) => one?.path !== repository)',
    test: 'test/runner/docker-reference.test.ts',
    name: 'A34 an image that the engine has',
  },
  {
    id: 'A34',
    defence: 'an image of the forge is asked for anew, whatever the pull policy',
    file: 'src/runner/executors/docker/images.ts',
    find: "if (policy !== 'always' && !authorised) {",
    replace: "if (policy !== 'always') {",
    test: 'test/runner/docker-reference.test.ts',
    name: 'A34',
  },
  {
    id: 'R7',
    defence: 'a service never gets the pass',
    file: 'src/runner/job/needs.ts',
    find: "const variables = variablesOf(job, undefined, 'withhold', environment);",
    replace: "const variables = variablesOf(job, undefined, 'variable', environment);",
    test: 'test/runner/docker-reference.test.ts',
    name: 'R7 services',
  },
  {
    id: 'A53',
    defence: 'what root of a container made is handed back',
    file: 'src/runner/executors/docker/docker.ts',
    find: "'chown', ['-R', '-h', '-P',",
    replace: "'true', ['-R', '-h', '-P',",
    test: executor,
    name: 'A53 what root',
  },
  {
    id: 'A53',
    defence: 'a runner that is not root gets back what root of a container made',
    file: 'src/runner/executors/docker/hand-back.ts',
    find: "chown, '-h', await",
    replace: "'/bin/true', '-h', await",
    test: 'test/runner/own-user.test.ts',
    name: 'A53',
  },
  {
    id: 'R15',
    defence: 'a slot is emptied of read-only folders too, where the runner is not root',
    file: 'src/runner/executors/place.ts',
    find: 'if (process.getuid?.() === 0) await runAs',
    replace: 'if (slotDir !== "") await runAs',
    test: 'test/runner/own-user.test.ts',
    name: 'R15',
  },
];
