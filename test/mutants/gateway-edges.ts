import type { Mutant } from './mutant.ts';

const strangers = 'test/gateway/strangers.test.ts';
const prefix = 'test/doors/proxy/push-prefix.test.ts';
const images = 'test/gateway/image-tokens.test.ts';

/** What others than the holder of a pass can do at the gateway, and what a pass asks for by another name. */
export const gatewayEdgeMutants: readonly Mutant[] = [
  {
    id: 'R2',
    defence: 'an error that one odd question brings counts for that question only',
    file: 'src/forge/gitlab/client.ts',
    find: 'if (status >= 502 && status <= 504) throw',
    replace: 'if (status >= 400 && ![401, 403, 404, 409, 422].includes(status)) throw',
    test: strangers,
    name: 'R2 odd questions of a stranger',
  },
  {
    id: 'R12',
    defence: "only the runner's pieces of a trace belong together",
    file: 'src/doors/proxy/runner-calls.ts',
    find: '(await isOfJob(deps, request, job)) ? deps.leaks : deps.newScanner()',
    replace: 'deps.leaks',
    test: strangers,
    name: 'R12 A49 what a stranger sends',
  },
  {
    id: 'A62',
    defence: 'capabilities are read as git reads them',
    file: 'src/doors/proxy/push-prefix.ts',
    find: 'if (caps !== undefined && !/^[ -~]*$/.test(caps)) throw malformed();',
    replace: '',
    test: prefix,
    name: 'R5 A62 capabilities that git reads otherwise',
  },
  {
    id: 'A62',
    defence: 'push-options with a value is push-options',
    file: 'src/doors/proxy/push-prefix.ts',
    find: "if (words.some((word) => word.startsWith('push-options='))) throw malformed();",
    replace: '',
    test: prefix,
    name: 'R5 A62 capabilities that git reads otherwise',
  },
  {
    id: 'R13',
    defence: 'tokens for images only',
    file: 'src/doors/proxy/pass-requests.ts',
    find: "if (this.#facts.query.getAll('service').join() !== service)",
    replace: 'if (false)',
    test: images,
    name: 'R3 R4 R13 of other services',
  },
];
