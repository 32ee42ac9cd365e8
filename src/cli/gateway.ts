import { JobpassError } from '../base/errors.ts';
import { parseId, type ProjectId, type RunnerId } from '../base/ids.ts';
import { jsonLog } from '../base/log.ts';
import { Secret } from '../base/secret.ts';
import { type GatewayConfig, startGateway } from '../gateway.ts';
import { type Command, describeSettings, parseFlags, usage } from './command.ts';
import { lookUpstream, runDoctor } from './gateway-doctor.ts';
import { readNamed, readSettings, type Setting, type Values } from './config.ts';
import { authorityIn, listenConfig, listenSettings, listIn, originOf, passSettings, textIn } from './server-settings.ts';

const settings: readonly Setting[] = [
  { name: 'upstream', kind: 'text', value: 'URL', about: 'the GitLab behind it, such as https://gitlab.internal.example' },
  { name: 'admin-token-file', kind: 'text', value: 'FILE', about: "file with an administrator's token of scope api there" },
  { name: 'upstream-ca', kind: 'text', value: 'FILE', about: 'authority that signed its certificate (PEM)' },
  { name: 'data', kind: 'text', value: 'DIR', fallback: './jobpass-gateway', about: 'where passes, audit and keys are kept' },
  ...listenSettings,
  ...passSettings,
  {
    name: 'chain-depth',
    kind: 'list',
    value: 'ID=N',
    about: 'project there whose jobs may be started by passes, N deep (1 to 10); without it such jobs get no pass',
  },
  { name: 'ceiling', kind: 'text', value: 'FILE', about: 'what passes may do at most (JSON: permissions, projects)' },
  { name: 'trust-runner', kind: 'list', value: 'ID', about: 'older runner there that may show jobs their pass: its gate verdict is yours' },
  {
    name: 'signed-runner',
    kind: 'list',
    value: 'ID[=KEY]',
    about: 'jobpass runner there that may do so: its requests are signed, its own verdict counts',
  },
  {
    name: 'expose-runner',
    kind: 'list',
    value: 'ID',
    about: 'older runner whose jobs find their pass in a masked variable: its gate verdict is yours',
  },
  { name: 'distrust-runner', kind: 'list', value: 'ID', about: 'runner there that gets no pass at all' },
  {
    name: 'assist-runner',
    kind: 'list',
    value: 'ID',
    about: "older runner whose jobs' own token fetches what their user may: its gate verdict is yours",
  },
  { name: 'vouch-runner', kind: 'list', value: 'ID', about: 'group or project runner whose maker you answer for' },
  { name: 'acting', kind: 'text', value: 'HOW', fallback: 'impersonation', about: 'how REST is asked as a user: impersonation | sudo' },
  { name: 'webhook-secret-file', kind: 'text', value: 'FILE', about: 'secret token of its webhooks to /-/jobpass/webhook' },
  { name: 'trusted-proxy', kind: 'list', value: 'CIDR', about: 'proxy in front, whose X-Forwarded-For is believed' },
  { name: 'object-storage', kind: 'list', value: 'URL', about: "the forge's object storage, where it redirects to it" },
];

export const gateway: Command = {
  help: () => `usage: jobpass gateway --upstream URL --admin-token-file FILE [options]
       jobpass gateway doctor --upstream URL --admin-token-file FILE [options] [--json]

Stands in front of an unmodified GitLab and gives its jobs their pass. Requests without a pass go through untouched.
\`doctor\` looks at the GitLab and these settings, says what is right and what to change, and exits with 1 where it would not work.

${describeSettings(settings)}
  --config FILE           TOML file with these names as keys

example: jobpass gateway --upstream https://gitlab.internal.example --admin-token-file /etc/jobpass/admin-token \\
           --listen 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem --external-url https://gitlab.example.com
`,
  async run(args, io) {
    const flags = parseFlags(args, settings, ['config'], ['json'], true);
    const [command, ...more] = flags.positionals;
    if (more.length > 0 || (command !== undefined && command !== 'doctor')) usage(`there is no \`gateway ${command ?? ''}\``);
    const config = gatewayConfig(readSettings(settings, flags.values, flags.text('config')));
    if (command === 'doctor') return runDoctor(config, io, flags.flag('json'));
    const log = jsonLog();
    if (config.allowPlainHttp) log.warn('server.plain_http', { message: 'passes may travel unencrypted: use this in a lab only' });
    readNamed('admin-token-file', config.adminTokenFile);
    const running = await startGateway(config, log);
    // From before it is said: whoever reads it may stop it at once.
    const stopped = io.stopped();
    io.out(`listening on ${running.url}, in front of ${config.upstream}\n`);
    void lookUpstream(config, log);
    const signal = await stopped;
    log.info('server.draining', { signal });
    void io.stopped().then(() => process.exit(1));
    await running.close();
    return 0;
  },
};

/** @throws invalid_input, usage */
function gatewayConfig(values: Values): GatewayConfig {
  const ca = textIn(values, 'upstream-ca');
  const ceiling = textIn(values, 'ceiling');
  const acting = textIn(values, 'acting') ?? 'impersonation';
  if (acting !== 'impersonation' && acting !== 'sudo') usage('--acting is impersonation or sudo');
  return {
    ...listenConfig(values),
    upstream: originOf('upstream', textIn(values, 'upstream') ?? usage('--upstream is missing')),
    adminTokenFile: textIn(values, 'admin-token-file') ?? usage('--admin-token-file is missing'),
    upstreamCa: ca === undefined ? undefined : authorityIn('upstream-ca', ca),
    ceiling: ceiling === undefined ? undefined : readNamed('ceiling', ceiling),
    acting,
    webhookSecret: secretIn(textIn(values, 'webhook-secret-file')),
    chainDepths: new Map(listIn(values, 'chain-depth').map(chainDepth)),
    dataDir: textIn(values, 'data') ?? './jobpass-gateway',
    trustedRunners: runnersIn(values, 'trust-runner'),
    signedRunners: listIn(values, 'signed-runner').map(signedRunner),
    exposedRunners: runnersIn(values, 'expose-runner'),
    distrustedRunners: runnersIn(values, 'distrust-runner'),
    vouchedRunners: runnersIn(values, 'vouch-runner'),
    assistedRunners: runnersIn(values, 'assist-runner'),
    trustedProxies: listIn(values, 'trusted-proxy'),
    objectStorage: listIn(values, 'object-storage').map((url) => originOf('object-storage', url)),
  };
}

/** @throws invalid_input for one that could be guessed */
function secretIn(file: string | undefined): Secret | undefined {
  if (file === undefined) return undefined;
  const text = readNamed('webhook-secret-file', file).trim();
  if (text.length < 16) throw new JobpassError('invalid_input', '--webhook-secret-file: at least 16 characters.');
  return new Secret(text);
}

/** `7`, or `7=` and the key that `jobpass runner` has (43 characters). */
function signedRunner(text: string): GatewayConfig['signedRunners'][number] {
  const [, number = '', key] = /^(\d+)(?:=([A-Za-z0-9_-]{43}))?$/.exec(text) ?? [];
  const id = parseId<RunnerId>(number);
  if (id === undefined)
    throw new JobpassError('invalid_input', '--signed-runner is the number of a runner, or NUMBER=KEY with its public key.');
  return { id, key };
}

/** `7=2`: in project 7 two deep. */
function chainDepth(text: string): readonly [ProjectId, number] {
  const [, number = '', depth = ''] = /^(\d+)=(10|[0-9])$/.exec(text) ?? [];
  const id = parseId<ProjectId>(number);
  if (id === undefined) throw new JobpassError('invalid_input', '--chain-depth is the number of a project and a depth of 10 at most: 7=1.');
  return [id, Number(depth)];
}

function runnersIn(values: Values, name: string): readonly RunnerId[] {
  return listIn(values, name).map((text) => {
    const id = parseId<RunnerId>(text);
    if (id === undefined) throw new JobpassError('invalid_input', `--${name} is the number of a runner.`);
    return id;
  });
}
