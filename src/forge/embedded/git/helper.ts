// Runs git for the server from a small process: forking a large heap would block the server for tens of milliseconds each time.
import { spawn } from 'node:child_process';
import { createServer, type Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { frame, type FrameKind, frameReader, type StartGit } from './frames.ts';

const maxWordsBytes = 64 * 1024;

const path = process.argv[2];
if (path === undefined) throw new Error('the git helper needs the path of its socket');
const server = createServer({ allowHalfOpen: false }, serve);
server.listen(path, () => process.send?.('ready'));
// The server's end of the channel closes with the server, however it ends.
process.on('disconnect', () => process.exit(0));

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

function start(socket: Socket, order: StartGit): (kind: FrameKind, bytes: Buffer) => void {
  const child = spawn('git', [...order.args], {
    cwd: order.cwd,
    env: { ...order.env },
    // Its own group: receive-pack's children are killed with it.
    detached: true,
    stdio: order.hooks ? ['pipe', 'pipe', 'pipe', 'pipe', 'pipe'] : ['pipe', 'pipe', 'pipe'],
  });
  const [input, output, words, ask, answer] = child.stdio;
  const kill = (): void => {
    try {
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It ended in the meantime.
    }
  };
  socket.on('close', kill);
  forward(output, socket, 'output');
  let said = 0;
  words.on('data', (bytes: Buffer) => {
    if ((said += bytes.length) <= maxWordsBytes) socket.write(frame('words', bytes));
  });
  ask?.on('data', (bytes: Buffer) => socket.write(frame('hook_ask', bytes)));
  for (const stream of [input, answer]) (stream as Writable | undefined)?.on('error', () => undefined);
  child.on('error', (error) => socket.end(frame('exit', Buffer.from(JSON.stringify({ code: 127, message: error.message })))));
  child.on('close', (code) => socket.end(frame('exit', Buffer.from(JSON.stringify({ code: code ?? 128 })))));
  return (kind, bytes) => {
    if (kind === 'input' && !input.write(bytes)) {
      socket.pause();
      input.once('drain', () => socket.resume());
      input.once('close', () => socket.resume());
    } else if (kind === 'input_end') input.end();
    else if (kind === 'hook_answer') (answer as Writable | undefined)?.write(bytes);
  };
}

function forward(output: Readable, socket: Socket, kind: 'output'): void {
  output.on('data', (bytes: Buffer) => {
    if (socket.write(frame(kind, bytes))) return;
    output.pause();
    socket.once('drain', () => output.resume());
  });
  output.on('end', () => socket.write(frame('output_end')));
}
