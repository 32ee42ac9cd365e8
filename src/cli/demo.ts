import { type Command, parseFlags } from './command.ts';
import { runDemo } from './demo/demo.ts';

export const demo: Command = {
  help: () => `usage: jobpass demo [--data DIR] [--engine unix:///…] [--no-engine] [--exit] [--json]

Runs the main job from nothing: an ordinary user's pipeline clones a private submodule of another group, reads a private project over the API, pushes
to another repository and publishes a release, with nothing but its pass; then the same pass answers 401. With a container engine, all of that runs in a
private build image of another group, made of what this machine has, and reaches another project's registry too.

  --data DIR    keep everything there (default: a temporary folder, removed at the end)
  --engine URL  socket of the container engine (default: DOCKER_HOST, or docker's own)
  --no-engine   leave containers out
  --exit        leave after the table (also when the output is not a terminal)
  --json        one line for machines
`,
  run(args, io) {
    const flags = parseFlags(args, [], ['data', 'engine'], ['exit', 'json', 'no-engine']);
    const json = flags.flag('json');
    return runDemo({
      folder: flags.text('data'),
      exit: json || flags.flag('exit') || !io.terminal,
      json,
      engine: flags.flag('no-engine') ? null : flags.text('engine'),
      out: (text) => io.out(text),
      interrupted: io.stopped().then(() => undefined),
    });
  },
};
