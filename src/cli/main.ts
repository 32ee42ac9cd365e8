import { type Command, errorLine, type Io, UsageError, version } from './command.ts';

/** A command is loaded when it is called: reading all of them takes longer than most take to run. */
interface Entry {
  readonly name: string;
  /** One line for the overview. */
  readonly about: string;
  readonly load: () => Promise<Command>;
}

const commands: readonly Entry[] = [
  {
    name: 'serve',
    about: 'all-in-one server: forge, API, git, pipelines; doctor looks at the settings',
    load: async () => (await import('./serve.ts')).serve,
  },
  { name: 'demo', about: 'server, runners and a sample pipeline, in one', load: async () => (await import('./demo.ts')).demo },
  {
    name: 'gateway',
    about: 'in front of a GitLab; doctor looks at the settings',
    load: async () => (await import('./gateway.ts')).gateway,
  },
  { name: 'runner', about: 'register, run, verify or unregister a runner', load: async () => (await import('./runner.ts')).runner },
  { name: 'gate', about: 'judge a config.toml, say why', load: async () => (await import('./gate.ts')).gate },
  { name: 'admin', about: 'users, tokens, runners and their trust, ceilings', load: async () => (await import('./admin.ts')).admin },
  { name: 'audit', about: 'what did passes do; suggest the least they need', load: async () => (await import('./audit.ts')).audit },
  { name: 'token', about: 'inspect, narrow or revoke a pass', load: async () => (await import('./token.ts')).token },
];

const overview = `jobpass ${version}: a pass for every CI job

usage: jobpass COMMAND [options]

${commands.map(({ name, about }) => `  ${name.padEnd(9)}${about}`).join('\n')}

  jobpass COMMAND --help    says more
  --version                 prints the version

exit codes: 0 done, 1 failed, 2 wrong use
`;

const endings = ['SIGINT', 'SIGTERM', 'SIGQUIT'] as const;
/** A terminal and a supervisor tell each process of a group, and those that wait for others tell them again: all that comes at once is one word. */
const oneWordMs = 1000;

const code = await main(process.argv.slice(2));
// What a failed start had opened already must not keep the process, and so its supervisor, waiting.
if (code !== 0) process.exit(code);

async function main(args: readonly string[]): Promise<number> {
  const io = makeIo();
  // `jobpass help serve` is `jobpass serve --help`.
  const [name, ...rest] = args[0] === 'help' && args[1] !== undefined ? [args[1], '--help'] : args;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    io.out(overview);
    return name === undefined ? 2 : 0;
  }
  if (name === '--version' || name === '-v') {
    io.out(`${version}\n`);
    return 0;
  }
  const entry = commands.find((one) => one.name === name);
  try {
    if (entry === undefined) throw new UsageError(`there is no command \`${name}\``);
    const command = await entry.load();
    if (rest.includes('--help') || rest.includes('-h')) {
      io.out(command.help());
      return 0;
    }
    return await command.run(rest, io);
  } catch (error) {
    if (error instanceof UsageError) {
      process.stderr.write(`jobpass: ${error.message}. Try: jobpass ${entry === undefined ? '' : `${entry.name} `}--help\n`);
      return 2;
    }
    process.stderr.write(`jobpass: ${errorLine(error)}\n`);
    return 1;
  }
}

function makeIo(): Io {
  let toldAt = Number.NEGATIVE_INFINITY;
  return {
    out: (text) => void process.stdout.write(text),
    terminal: process.stdout.isTTY,
    stopped: () =>
      new Promise((resolve) => {
        const done = (signal: string): void => {
          if (performance.now() - toldAt < oneWordMs) return;
          toldAt = performance.now();
          for (const one of endings) process.off(one, done);
          resolve(signal);
        };
        for (const one of endings) process.on(one, done);
      }),
  };
}
