import { ceilingHelp, ceilingVerbs } from './admin-ceilings.ts';
import { ApiClient } from './api-client.ts';
import { type Command, parseFlags, type Flags, usage } from './command.ts';

/** What an administrator does now and then; each is one call of the API. */
const verbs: Readonly<Record<string, (api: ApiClient, flags: Flags, rest: readonly string[]) => Promise<unknown>>> = {
  'user create': (api, flags) =>
    api.call('POST', '/api/v4/users', {
      username: flags.required('username'),
      name: flags.text('name') ?? flags.required('username'),
      email: flags.required('email'),
      admin: flags.flag('admin'),
    }),
  'user block': (api, _flags, [id]) => api.call('POST', `/api/v4/users/${number(id)}/block`),
  'user unblock': (api, _flags, [id]) => api.call('POST', `/api/v4/users/${number(id)}/unblock`),
  'token create': (api, flags, [id]) =>
    api.call('POST', `/api/v4/users/${number(id)}/personal_access_tokens`, {
      name: flags.text('name') ?? 'made by an admin',
      scopes: (flags.text('scopes') ?? 'api').split(','),
    }),
  'runner create': (api, flags) => {
    const tags = flags.text('tags')?.split(',') ?? [];
    return api.call('POST', '/api/v4/user/runners', {
      runner_type: 'instance_type',
      description: flags.text('description') ?? '',
      tag_list: tags,
      run_untagged: tags.length === 0,
    });
  },
  'runner list': (api) => api.call('GET', '/api/v4/runners/all?per_page=100'),
  'runner trust': (api, flags, [id, trust]) =>
    api.call('PUT', `/api/v4/runners/${number(id)}`, {
      trust: word(trust, ['none', 'fetch', 'full']),
      unsafe_accepted: flags.flag('unsafe'),
    }),
  'runner remove': (api, _flags, [id]) => api.call('DELETE', `/api/v4/runners/${number(id)}`),
  'project chain-depth': (api, _flags, [path, depth]) =>
    api.call('PUT', `/api/v4/projects/${encodeURIComponent(path ?? usage('say which project: its path or number'))}`, {
      jobpass_chain_depth: number(depth),
    }),
  'project exposure': (api, _flags, [path, maximum]) =>
    api.call('PUT', `/api/v4/projects/${encodeURIComponent(path ?? usage('say which project: its path or number'))}/jobpass`, {
      max_exposure: bound(maximum),
    }),
  ...ceilingVerbs,
  'runner vouch': (api, flags, [id]) => api.call('PUT', `/api/v4/runners/${number(id)}`, { vouched: !flags.flag('no') }),
  'runner owner': (api, _flags, [id, user]) => api.call('PUT', `/api/v4/runners/${number(id)}`, { responsible_user_id: number(user) }),
  'my trust': (api, _flags, [path]) =>
    api.call('PUT', `/api/v4/user/jobpass/trusted_projects/${encodeURIComponent(path ?? usage('say which project: its path or number'))}`),
  'my distrust': (api, _flags, [id]) => api.call('DELETE', `/api/v4/user/jobpass/trusted_projects/${number(id)}`),
  'my exposure': (api, _flags, [maximum]) => api.call('PUT', '/api/v4/user/jobpass', { max_exposure: bound(maximum) }),
};

export const admin: Command = {
  help: () => `usage: jobpass admin VERB… [options]

  user create --username NAME --email ADDRESS [--name TEXT] [--admin]
  user block ID | user unblock ID
  token create USER_ID [--name TEXT] [--scopes api,read_api,…]
  runner create [--description TEXT] [--tags a,b]
  runner list | runner remove ID
  runner trust ID none|fetch|full [--unsafe]     --unsafe: also where its gate says withhold. Other jobs of that machine may read the pass.
  project chain-depth PATH N                     how deep jobs started by a pass may nest (0 = they start none)
  project exposure PATH WORD                     widest that its jobs may see of their pass: withhold, variable, replace, or default
  runner vouch ID [--no]                         an admin answers for a group's or project's runner, instead of who made it
  runner owner ID USER_ID                        another user answers for it
${ceilingHelp}  my trust PATH | my distrust ID                 whoever merged last to this project's protected refs: your jobs there keep your rights
  my exposure WORD                               the same for jobs that the token's own user starts

  --url URL    the server; JOBPASS_URL
  The token comes from JOBPASS_TOKEN or JOBPASS_TOKEN_FILE. The answer is the API's, as JSON.

example: jobpass admin runner create --description build-1
`,
  async run(args, io) {
    const flags = parseFlags(
      args,
      [],
      ['url', 'username', 'email', 'name', 'scopes', 'description', 'tags', 'permissions', 'projects'],
      ['admin', 'unsafe', 'json', 'no'],
      true,
    );
    const [one = '', two = '', ...rest] = flags.positionals;
    const verb = Object.hasOwn(verbs, `${one} ${two}`) ? verbs[`${one} ${two}`] : undefined;
    if (verb === undefined) return usage(`unknown: jobpass admin ${one} ${two}`.trim());
    io.out(`${JSON.stringify((await verb(new ApiClient(flags.text('url')), flags, rest)) ?? { ok: true }, undefined, 2)}\n`);
    return 0;
  },
};

function number(text: string | undefined): number {
  if (text === undefined || !/^\d{1,15}$/.test(text)) return usage(`a number is wanted, not ${text ?? 'nothing'}`);
  return Number(text);
}

function bound(text: string | undefined): string | null {
  const chosen = word(text, ['withhold', 'variable', 'replace', 'default']);
  return chosen === 'default' ? null : chosen;
}

function word(text: string | undefined, words: readonly string[]): string {
  return words.find((one) => one === text) ?? usage(`one of ${words.join(', ')} is wanted`);
}
