import { type Command, parseFlags } from './command.ts';
import { runDemo } from './demo/demo.ts';

export const demo: Command = {
  name: 'demo',
  about: 'server, runners and a sample pipeline, in one',
  help: () => `usage: jobpass demo [--data DIR] [--exit] [--json]

Runs the main job from nothing: an ordinary user's pipeline clones a private submodule of another group, reads a private project over the API, pushes
to another repository and publishes a release, with nothing but its pass; then the same pass answers 401.

  --data DIR    keep everything there (default: a temporary folder, removed at the end)
  --exit        leave after the table (also when the output is not a terminal)
  --json        one line for machines
`,
  run(args, io) {
    const flags = parseFlags(args, [], ['data'], ['exit', 'json']);
    const json = flags.flag('json');
    return runDemo({
      folder: flags.text('data'),
      exit: json || flags.flag('exit') || !io.terminal,
      json,
      out: (text) => io.out(text),
      interrupted: io.stopped().then(() => undefined),
    });
  },
};
