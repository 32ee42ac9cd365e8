import { jsonLog } from '../base/log.ts';
import { Secret } from '../base/secret.ts';
import { startServer } from '../server.ts';
import { type Command, describeSettings, parseFlags, usage, version } from './command.ts';
import { readSettings, secretFromEnv, type Setting } from './config.ts';
import { newRootToken } from './root-token.ts';
import { runServeDoctor } from './serve-doctor.ts';
import { listenConfig, listenSettings, passSettings, textIn } from './server-settings.ts';

const settings: readonly Setting[] = [
  { name: 'data', kind: 'text', value: 'DIR', fallback: './jobpass-data', about: 'where everything is kept' },
  ...listenSettings,
  ...passSettings,
];

export const serve: Command = {
  help: () => `usage: jobpass serve [options]
       jobpass serve doctor [options] [--json]
       jobpass serve root-token [--data DIR] [--database URL]

Starts the server. The first start creates the store and prints the root token once; JOBPASS_ROOT_TOKEN, or a file named by
JOBPASS_ROOT_TOKEN_FILE, sets it instead. SIGTERM drains: requests in flight get 30 seconds, a second signal cuts them.
\`doctor\` says what these settings give up and what to change, starts nothing, and exits with 1 where it would not work.
\`root-token\` makes another token for \`root\` where that of the first start is lost, and unblocks it; with SQLite no server may run meanwhile.

${describeSettings(settings)}
  --config FILE           TOML file with these names as keys

example: jobpass serve --data ./jobpass-data --listen 127.0.0.1:8929
`,
  async run(args, io) {
    const flags = parseFlags(args, settings, ['config'], ['json'], true);
    const [command, ...more] = flags.positionals;
    if (more.length > 0 || (command !== undefined && command !== 'doctor' && command !== 'root-token'))
      usage(`there is no \`serve ${command ?? ''}\``);
    const values = readSettings(settings, flags.values, flags.text('config'));
    const config = listenConfig(values);
    const dataDir = textIn(values, 'data') ?? './jobpass-data';
    if (command === 'root-token') {
      io.out(`root token: ${(await newRootToken(dataDir, config.database)).reveal()}\nIt is shown this once; keep it.\n`);
      return 0;
    }
    if (command === 'doctor') return runServeDoctor(config, io, flags.flag('json'));
    const rootToken = secretFromEnv('JOBPASS_ROOT_TOKEN');
    const log = jsonLog();
    if (config.allowPlainHttp) log.warn('server.plain_http', { message: 'passes may travel unencrypted: use this in a lab only' });
    const server = await startServer(
      {
        ...config,
        dataDir,
        rootToken: rootToken === undefined ? undefined : new Secret(rootToken),
        version,
      },
      log,
    );
    if (server.newRootToken !== undefined) io.out(`root token: ${server.newRootToken.reveal()}\nIt is shown this once; keep it.\n`);
    // From before it is said: whoever reads it may stop it at once.
    const stopped = io.stopped();
    io.out(`listening on ${server.url}\n`);
    const signal = await stopped;
    log.info('server.draining', { signal });
    // A second signal: no more patience.
    void io.stopped().then(() => process.exit(1));
    await server.close();
    return 0;
  },
};
