import { JobpassError } from '../base/errors.ts';
import { ApiClient } from './api-client.ts';
import { type Command, parseFlags, usage } from './command.ts';

export const token: Command = {
  help: () => `usage: jobpass token inspect|revoke [--url URL]
       jobpass token narrow --scope "PERMISSIONS" [--projects "PLACES"] [--seconds N] [--url URL]

The pass comes from JOBPASS_TOKEN, JOBPASS_TOKEN_FILE, or the job's own CI_EXTENDED_JOB_TOKEN. \`revoke\` gives it back: it is dead from then on. \`narrow\` prints a new pass that may do less and dies with
this one, to hand to a tool that needs no more.

  --scope TEXT       what it may do: names and patterns such as code:download, release:*, *:read
  --projects TEXT    where: group/project, or group/* for all of a group; everywhere else it may do nothing
  --seconds N        how long at most; else as long as this one

example: jobpass token narrow --scope release:write --projects group/app --url "$CI_SERVER_URL"
`,
  async run(args, io) {
    const flags = parseFlags(args, [], ['url', 'scope', 'projects', 'seconds'], [], true);
    const [verb = ''] = flags.positionals;
    if (!['inspect', 'revoke', 'narrow'].includes(verb)) usage('say inspect, narrow or revoke');
    const client = new ApiClient(flags.text('url'), undefined, ['JOBPASS_TOKEN', 'CI_EXTENDED_JOB_TOKEN']);
    switch (verb) {
      case 'inspect':
        io.out(`${JSON.stringify(await client.form('/-/jobpass/oauth/introspect'))}\n`);
        return 0;
      case 'revoke':
        await client.form('/-/jobpass/oauth/revoke');
        io.out('{"revoked":true}\n');
        return 0;
      case 'narrow': {
        const seconds = flags.text('seconds');
        const more: [string, string][] = [
          ['grant_type', 'urn:ietf:params:oauth:grant-type:token-exchange'],
          ['subject_token_type', 'urn:ietf:params:oauth:token-type:access_token'],
          ['scope', flags.required('scope')],
          ...(flags.text('projects') ?? '')
            .split(/[\s,]+/)
            .flatMap((place): [string, string][] => (place === '' ? [] : [['resource', place]])),
          ...(seconds === undefined ? [] : [['expires_in', seconds] satisfies [string, string]]),
        ];
        const answer = await client.form('/-/jobpass/oauth/token', 'subject_token', more);
        // The pass alone, so that a script can keep it in a variable.
        if (typeof answer !== 'object' || answer === null || !('access_token' in answer) || typeof answer.access_token !== 'string')
          throw new JobpassError('upstream_failed', 'The server answered without a pass.');
        io.out(`${answer.access_token}\n`);
        return 0;
      }
      default:
        return usage('say inspect, narrow or revoke');
    }
  },
};
