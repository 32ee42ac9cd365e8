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
/** How long a push may take to end by itself where nothing more comes and no hook of it is answered; unpacking what had come takes its time. */
const pushMs = 5000;

const running = new Map<number, () => void>();
let leaving = false;
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
// The server's end of the channel closes with the server, however it ends. Whoever reads from git stays until it is gone: to write to nobody ends it like a signal.
process.on('disconnect', () => {
  leaving = true;
  for (const kill of running.values()) kill();
  setTimeout(() => process.exit(0), pushMs + graceMs).unref();
  leaveWhenIdle();
});
// Ctrl-C reaches the whole terminal group, but the server still drains.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

function leaveWhenIdle(): void {
  if (leaving && running.size === 0) process.exit(0);
}

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
  const end = (): void => {
    // git removes its ref locks on SIGTERM; SIGKILL would leave a ref locked for good.
    signal('SIGTERM');
    timer = setTimeout(() => signal('SIGKILL'), graceMs);
  };
  const kill = (): void => {
    if (killed) return;
    killed = true;
    output.resume();
    socket.resume();
    if (!order.hooks) return end();
    // A push that a signal ends leaves what it brought in quarantine for good. One that hears nothing more fails by itself, and takes that along.
    input.destroy();
    if (answer instanceof Writable) answer.destroy();
    timer = setTimeout(end, pushMs);
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
    leaveWhenIdle();
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
