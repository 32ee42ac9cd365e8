import { hostname } from 'node:os';
import { JobpassError } from '../base/errors.ts';
import { jsonLog } from '../base/log.ts';
import { Secret } from '../base/secret.ts';
import { formatFindings } from '../runner/gate/report.ts';
import { startRunner } from '../runner/loop.ts';
import { registerRunner, unregisterRunner, verifyRunner } from '../runner/register.ts';
import { type Command, type Flags, type Io, parseFlags, usage } from './command.ts';
import { secretFromEnv, serverUrl } from './config.ts';

const verbs: Readonly<Record<string, (flags: Flags, io: Io) => Promise<number>>> = {
  async register(flags, io) {
    const token = secretFromEnv('JOBPASS_RUNNER_TOKEN');
    if (token === undefined)
      throw new JobpassError(
        'invalid_input',
        'Give the runner token (glrt-…, of `jobpass admin runner create`) in JOBPASS_RUNNER_TOKEN, or a file with it in JOBPASS_RUNNER_TOKEN_FILE.',
      );
    const configPath = flags.text('config') ?? 'config.toml';
    const { id } = await registerRunner({
      url: serverUrl(flags.text('url')),
      token: new Secret(token),
      name: flags.text('name') ?? hostname(),
      executor: flags.text('executor') ?? 'shell',
      configPath,
      buildsDir: flags.text('builds-dir'),
      unsafe: flags.flag('unsafe'),
      tlsCaFile: flags.text('tls-ca-file'),
      docker: { image: flags.text('docker-image'), host: flags.text('docker-host') },
      ssh: {
        host: flags.text('ssh-host'),
        port: flags.text('ssh-port'),
        user: flags.text('ssh-user'),
        identity_file: flags.text('ssh-identity-file'),
        known_hosts_file: flags.text('ssh-known-hosts-file'),
      },
    });
    io.out(`runner ${id} is registered in ${configPath}; start it: jobpass runner run --config ${configPath}\n`);
    return 0;
  },
  async run(flags, io) {
    const log = jsonLog();
    const runner = await startRunner({ configPath: flags.text('config') ?? 'config.toml', log, unsafe: flags.flag('unsafe') });
    const stopped = io.stopped();
    process.on('SIGHUP', () => void runner.reload());
    io.out(`gate:\n${formatFindings(runner.verdict)}`);
    const signal = await stopped;
    log.info('runner.draining', { signal });
    const ended = runner.drain();
    // A second signal ends the jobs too, and waits for them only so long.
    const late = io.stopped().then(async () => {
      void runner.stop();
      await new Promise((resolve) => setTimeout(resolve, runner.shutdownTimeoutSeconds * 1000).unref());
      return 'late' as const;
    });
    if ((await Promise.race([ended, late])) !== 'late') return 0;
    log.error('runner.jobs_did_not_end', { seconds: runner.shutdownTimeoutSeconds });
    return process.exit(1);
  },
  async verify(flags, io) {
    const results = await verifyRunner({ configPath: flags.text('config') ?? 'config.toml' });
    for (const { name, problem } of results) io.out(`${name}: ${problem ?? 'is known to its server'}\n`);
    return results.every(({ problem }) => problem === undefined) ? 0 : 1;
  },
  async unregister(flags, io) {
    const names = await unregisterRunner({ configPath: flags.text('config') ?? 'config.toml', name: flags.text('name') });
    io.out(`${names.join(', ')}: removed\n`);
    return 0;
  },
};

export const runner: Command = {
  help: () => `usage: jobpass runner register|run|verify|unregister [--config config.toml]

register   --url URL [--name TEXT] [--executor shell|docker|ssh] [--tls-ca-file FILE] [--builds-dir DIR] [--unsafe]
           [--docker-image NAME] [--docker-host unix:///…]
           [--ssh-host NAME --ssh-user NAME --ssh-identity-file FILE] [--ssh-port N] [--ssh-known-hosts-file FILE]
           the token (glrt-…) comes from JOBPASS_RUNNER_TOKEN or JOBPASS_RUNNER_TOKEN_FILE; makes a key that signs this runner's requests
run        [--unsafe]   takes jobs until SIGTERM, SIGINT or SIGQUIT, then finishes those that run; a second signal ends them, and after
           shutdown_timeout (30 s) the runner with them. A change of the file is heeded within seconds, or at SIGHUP
verify     asks the server about each entry
unregister [--name TEXT]   takes the entry of that name, without --name every one, off its server and out of the file

config.toml is gitlab-runner's. --unsafe overrides the gate: jobs that ask see their pass although others of this machine could read it; an
admin has to accept that as well (jobpass admin runner trust ID full --unsafe).

example: JOBPASS_RUNNER_TOKEN=glrt-… jobpass runner register --url http://127.0.0.1:8929
`,
  run(args, io) {
    const flags = parseFlags(
      args,
      [],
      [
        'config',
        'url',
        'name',
        'executor',
        'tls-ca-file',
        'builds-dir',
        'docker-image',
        'docker-host',
        'ssh-host',
        'ssh-port',
        'ssh-user',
        'ssh-identity-file',
        'ssh-known-hosts-file',
      ],
      ['unsafe'],
      true,
    );
    const [verb = ''] = flags.positionals;
    const work = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined;
    return work === undefined ? usage('say register, run, verify or unregister') : work(flags, io);
  },
};
