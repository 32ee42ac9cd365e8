import { readFileSync } from 'node:fs';
import { JobpassError } from '../base/errors.ts';
import { jsonLog } from '../base/log.ts';
import { Secret } from '../base/secret.ts';
import { type ServerConfig, startServer } from '../server.ts';
import { type Command, describeSettings, parseFlags, version } from './command.ts';
import { readSettings, secretFromEnv, type Setting } from './config.ts';

const settings: readonly Setting[] = [
  { name: 'data', kind: 'text', value: 'DIR', fallback: './jobpass-data', about: 'where everything is kept' },
  { name: 'listen', kind: 'list', value: 'HOST:PORT', fallback: '127.0.0.1:8929', about: 'where to listen; may be given several times' },
  {
    name: 'external-url',
    kind: 'list',
    value: 'URL',
    about: 'how others reach it, where that differs; the first of several is what jobs and links get',
  },
  { name: 'registry-url', kind: 'text', value: 'URL', about: 'how images are named, where that is another of its addresses' },
  { name: 'database', kind: 'text', value: 'URL', about: 'postgres://… instead of SQLite below --data' },
  { name: 'tls-cert', kind: 'text', value: 'FILE', about: 'certificate chain (PEM)' },
  { name: 'tls-key', kind: 'text', value: 'FILE', about: 'its key (PEM)' },
  { name: 'allow-plain-http', kind: 'flag', about: 'let passes travel over plain HTTP beyond this machine' },
  {
    name: 'max-exposure',
    kind: 'text',
    value: 'WORD',
    fallback: 'replace',
    about: 'widest exposure of any job: withhold, variable or replace',
  },
  {
    name: 'principals',
    kind: 'text',
    value: 'WORD',
    fallback: 'intersect',
    about: "whose rights a pass has: intersect, or starter (looks at nobody else's hand in the job)",
  },
];

export const serve: Command = {
  name: 'serve',
  about: 'all-in-one server: forge, API, git, pipelines',
  help: () => `usage: jobpass serve [options]

Starts the server. The first start creates the store and prints the root token once; JOBPASS_ROOT_TOKEN, or a file named by
JOBPASS_ROOT_TOKEN_FILE, sets it instead. SIGTERM drains: requests in flight get 30 seconds, a second signal cuts them.

${describeSettings(settings)}
  --config FILE           TOML file with these names as keys

example: jobpass serve --data ./jobpass-data --listen 127.0.0.1:8929
`,
  async run(args, io) {
    const flags = parseFlags(args, settings, ['config']);
    const values = readSettings(settings, flags.values, flags.text('config'));
    const text = (name: string): string | undefined => {
      const value = values.get(name);
      return typeof value === 'string' ? value : undefined;
    };
    const list = (name: string): readonly string[] => {
      const value = values.get(name);
      return Array.isArray(value) ? value : [];
    };
    const registryUrl = text('registry-url');
    const rootToken = secretFromEnv('JOBPASS_ROOT_TOKEN');
    const allowPlainHttp = values.get('allow-plain-http') === true;
    const log = jsonLog();
    if (allowPlainHttp) log.warn('server.plain_http', { message: 'passes may travel unencrypted: use this in a lab only' });
    const server = await startServer(
      {
        dataDir: text('data') ?? './jobpass-data',
        listen: parseListen(list('listen')),
        database: text('database'),
        externalUrls: list('external-url').map((url) => originOf('external-url', url)),
        registryUrl: registryUrl === undefined ? undefined : originOf('registry-url', registryUrl),
        tls: tlsOf(text('tls-cert'), text('tls-key')),
        allowPlainHttp,
        maxExposure: oneOf('max-exposure', text('max-exposure'), ['withhold', 'variable', 'replace']),
        principals: oneOf('principals', text('principals'), ['intersect', 'starter']),
        rootToken: rootToken === undefined ? undefined : new Secret(rootToken),
        version,
      },
      log,
    );
    if (server.newRootToken !== undefined) io.out(`root token: ${server.newRootToken.reveal()}\nIt is shown this once; keep it.\n`);
    io.out(`listening on ${server.url}\n`);
    const signal = await io.stopped();
    log.info('server.draining', { signal });
    // A second signal: no more patience.
    void io.stopped().then(() => process.exit(1));
    await server.close();
    return 0;
  },
};

function parseListen(texts: readonly string[]): ServerConfig['listen'] {
  const [first, ...rest] = texts.map((text) => {
    const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
    const port = Number(match?.[3] ?? -1);
    if (match === null || port > 65_535) throw new JobpassError('invalid_input', '--listen is HOST:PORT, such as 127.0.0.1:8929.');
    return { host: match[1] ?? match[2] ?? '', port };
  });
  if (first === undefined) throw new JobpassError('invalid_input', '--listen is HOST:PORT, such as 127.0.0.1:8929.');
  return [first, ...rest];
}

function originOf(name: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol) || url.pathname !== '/' || url.username !== '' || url.search !== '')
    throw new JobpassError('invalid_input', `--${name} is http(s)://HOST[:PORT], without a path.`);
  return url.origin;
}

function tlsOf(cert: string | undefined, key: string | undefined): { cert: string; key: string } | undefined {
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) throw new JobpassError('invalid_input', '--tls-cert and --tls-key go together.');
  return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
}

function oneOf<Word extends string>(name: string, value: string | undefined, words: readonly Word[]): Word {
  const word = words.find((one) => one === value);
  if (word === undefined) throw new JobpassError('invalid_input', `--${name} is one of ${words.join(', ')}.`);
  return word;
}
