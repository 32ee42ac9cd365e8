import { admin } from './admin.ts';
import { audit } from './audit.ts';
import { type Command, errorLine, type Io, UsageError, version } from './command.ts';
import { demo } from './demo.ts';
import { gate } from './gate.ts';
import { gateway } from './gateway.ts';
import { runner } from './runner.ts';
import { serve } from './serve.ts';
import { token } from './token.ts';

const commands: readonly Command[] = [serve, demo, gateway, runner, gate, admin, audit, token];

const overview = `jobpass ${version}: a pass for every CI job

usage: jobpass COMMAND [options]

${commands.map(({ name, about }) => `  ${name.padEnd(9)}${about}`).join('\n')}

  jobpass COMMAND --help    says more
  --version                 prints the version

exit codes: 0 done, 1 failed, 2 wrong use
`;

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  const io = makeIo();
  const [name, ...rest] = args;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    io.out(overview);
    return name === undefined ? 2 : 0;
  }
  if (name === '--version' || name === '-v') {
    io.out(`${version}\n`);
    return 0;
  }
  const command = commands.find((one) => one.name === name);
  try {
    if (command === undefined) throw new UsageError(`there is no command \`${name}\``);
    if (rest.includes('--help') || rest.includes('-h')) {
      io.out(command.help());
      return 0;
    }
    return await command.run(rest, io);
  } catch (error) {
    if (error instanceof UsageError) {
      process.stderr.write(`jobpass: ${error.message}. Try: jobpass ${command === undefined ? '' : `${command.name} `}--help\n`);
      return 2;
    }
    process.stderr.write(`jobpass: ${errorLine(error)}\n`);
    return 1;
  }
}

function makeIo(): Io {
  return {
    out: (text) => void process.stdout.write(text),
    terminal: process.stdout.isTTY,
    stopped: () =>
      new Promise((resolve) => {
        const done = (signal: string): void => {
          process.off('SIGINT', done);
          process.off('SIGTERM', done);
          process.off('SIGQUIT', done);
          resolve(signal);
        };
        process.on('SIGINT', done);
        process.on('SIGTERM', done);
        process.on('SIGQUIT', done);
      }),
  };
}
