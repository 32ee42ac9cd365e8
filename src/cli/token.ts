import { ApiClient } from './api-client.ts';
import { type Command, parseFlags, usage } from './command.ts';

export const token: Command = {
  name: 'token',
  about: 'inspect or revoke a pass',
  help: () => `usage: jobpass token inspect|revoke [--url URL]

The pass comes from JOBPASS_TOKEN or JOBPASS_TOKEN_FILE. \`revoke\` gives it back: it is dead from then on.

example: JOBPASS_TOKEN="$CI_EXTENDED_JOB_TOKEN" jobpass token revoke --url "$CI_SERVER_URL"
`,
  async run(args, io) {
    const flags = parseFlags(args, [], ['url'], [], true);
    const [verb] = flags.positionals;
    if (verb !== 'inspect' && verb !== 'revoke') return usage('say inspect or revoke');
    const answer = await new ApiClient(flags.text('url')).form(`/-/jobpass/oauth/${verb === 'inspect' ? 'introspect' : 'revoke'}`);
    io.out(`${JSON.stringify(verb === 'inspect' ? answer : { revoked: true })}\n`);
    return 0;
  },
};
