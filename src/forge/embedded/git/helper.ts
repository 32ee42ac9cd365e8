// Runs git for the server from a small process: forking a large heap would block the server for tens of milliseconds each time.
import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { delimiter, join } from 'node:path';
import { Writable } from 'node:stream';
import { frame, type FrameKind, frameReader, type StartGit } from './frames.ts';

const maxWordsBytes = 64 * 1024;
/** How long git may take to remove its locks after SIGTERM, also on a machine with much else to do; what it says is heard by nobody meanwhile. */
const graceMs = 10_000;

const running = new Map<number, () => void>();
/** Killed before their order came, or after their end: the two travel apart. The server says when one is over. */
const doomed = new Set<number>();

/** Looked for once: each start would try all folders of PATH, in a copy of this process. */
const git = programIn(process.env['PATH'] ?? '', 'git');

const path = process.argv[2];
if (path === undefined) throw new Error('the git helper needs the path of its socket');
createServer(serve).listen({ path, backlog: 4096 }, () => process.send?.('ready'));
process.on('message', ({ kill: id, forget }: { readonly kill?: number; readonly forget?: number }) => {
  if (forget !== undefined) doomed.delete(forget);
  if (id === undefined) return;
  const kill = running.get(id);
  if (kill === undefined) doomed.add(id);
  else kill();
});
// The server's end of the channel closes with the server, however it ends.
process.on('disconnect', () => {
  for (const kill of running.values()) kill();
  process.exit(0);
});
// Ctrl-C reaches the whole terminal group, but the server still drains.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

/** @returns the bare name where no folder has it, so that a start says what is wrong */
function programIn(folders: string, name: string): string {
  const places = folders.split(delimiter).filter((folder) => folder !== '');
  return places.map((folder) => join(folder, name)).find(isProgram) ?? name;
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

function serve(socket: Socket): void {
  let feed: ((kind: FrameKind, bytes: Buffer) => void) | undefined;
  const read = frameReader((kind, bytes) => {
    if (feed !== undefined) feed(kind, bytes);
    else if (kind === 'start') feed = start(socket, JSON.parse(bytes.toString('utf8')));
    else socket.destroy();
  });
  socket.on('data', read);
  socket.on('error', () => socket.destroy());
}

function spawnGit(order: StartGit) {
  return spawn(git, [...order.args], {
    cwd: order.cwd,
    env: { ...order.env },
    // Its own group: receive-pack's children are killed with it.
    detached: true,
    stdio: order.hooks ? ['pipe', 'pipe', 'pipe', 'pipe', 'pipe'] : ['pipe', 'pipe', 'pipe'],
  });
}

/** @returns undefined where it cannot be started: too many processes or files, no memory, too long a command. What else runs here goes on. */
function started(order: StartGit): ReturnType<typeof spawnGit> | undefined {
  try {
    const child = spawnGit(order);
    if (child.pid !== undefined) return child;
    child.once('error', () => undefined);
  } catch {
    // As above.
  }
  return undefined;
}

function start(socket: Socket, order: StartGit): (kind: FrameKind, bytes: Buffer) => void {
  const exit = (code: number): void => void socket.end(frame('exit', Buffer.from(JSON.stringify({ code }))));
  const child = started(order);
  if (child === undefined) {
    doomed.delete(order.id);
    exit(127);
    return () => undefined;
  }
  const [input, output, words, ask, answer] = child.stdio;
  let killed = false;
  let timer: NodeJS.Timeout | undefined;
  const signal = (name: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, name);
    } catch {
      // It ended in the meantime.
    }
  };
  const kill = (): void => {
    if (killed) return;
    killed = true;
    // git removes its ref locks and its quarantine on SIGTERM; SIGKILL would leave a ref locked for good.
    signal('SIGTERM');
    timer = setTimeout(() => signal('SIGKILL'), graceMs);
    output.resume();
    socket.resume();
  };
  running.set(order.id, kill);
  if (doomed.delete(order.id)) kill();
  socket.on('close', () => running.get(order.id)?.());

  output.on('data', (bytes: Buffer) => {
    if (killed || socket.write(frame('output', bytes))) return;
    output.pause();
    socket.once('drain', () => output.resume());
  });
  output.on('end', () => socket.write(frame('output_end')));
  let said = 0;
  words.on('data', (bytes: Buffer) => {
    if ((said += bytes.length) <= maxWordsBytes) socket.write(frame('words', bytes));
  });
  ask?.on('data', (bytes: Buffer) => {
    // git runs a hook when it has read its pack: what still comes is junk, and must not keep the answer from getting through.
    input.destroy();
    socket.write(frame('hook_ask', bytes));
  });
  input.on('error', () => undefined);
  answer?.on('error', () => undefined);
  child.once('close', (code) => {
    running.delete(order.id);
    clearTimeout(timer);
    exit(code ?? 128);
  });

  return (kind, bytes) => {
    if (kind === 'input' && !killed && !input.destroyed && !input.write(bytes)) {
      socket.pause();
      const resume = (): void => {
        input.off('drain', resume);
        input.off('close', resume);
        socket.resume();
      };
      input.once('drain', resume);
      input.once('close', resume);
    } else if (kind === 'input_end') input.end();
    else if (kind === 'hook_answer' && answer instanceof Writable) answer.write(bytes);
  };
}
