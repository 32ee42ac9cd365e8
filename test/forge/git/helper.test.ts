import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { frame, frameReader, type StartGit } from '../../../src/forge/embedded/git/frames.ts';
import { type HelperLink, openGit } from '../../../src/forge/embedded/git/git-process.ts';
import { ok } from '../../support/git-http.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jobpass-test-helper-'));
  path = join(folder, 'git.sock');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const order = (id: number, ...args: string[]): StartGit => ({ id, args, env: { GIT_DIR: folder }, cwd: folder, hooks: false });

test('R2 one that is killed before its order comes does not run on, and its number is forgotten when the server says so', async () => {
  const program = fileURLToPath(new URL('../../../src/forge/embedded/git/helper.ts', import.meta.url));
  const helper: ChildProcess = fork(program, [path], { execArgv: ['--no-warnings'] });
  await once(helper, 'message');
  for (const message of [{ kill: 1 }, { forget: 1 }, { kill: 2 }]) helper.send(message);
  // It waits for its input, so that only a kill ends it; and then what was said of the other is known as well.
  expect(await exitCode(order(2, 'hash-object', '--stdin'))).not.toBe(0);
  expect(await exitCode(order(1, '--version'))).toBe(0);
  helper.disconnect();
  await once(helper, 'exit');
});

test('a git that cannot be started is no end of the others', async () => {
  const program = fileURLToPath(new URL('../../../src/forge/embedded/git/helper.ts', import.meta.url));
  const helper: ChildProcess = fork(program, [path], { execArgv: ['--no-warnings'] });
  await once(helper, 'message');
  // Longer than a system takes one argument, and a folder that is not there.
  expect(await exitCode(order(1, 'log', '-S', 'x'.repeat(300_000)))).toBe(127);
  expect(await exitCode({ ...order(2, '--version'), cwd: join(folder, 'none') })).toBe(127);
  expect(await exitCode(order(3, '--version'))).toBe(0);
  helper.disconnect();
  await once(helper, 'exit');
});

test('a push that is under way when the server ends takes along what it had brought into quarantine', async () => {
  const program = fileURLToPath(new URL('../../../src/forge/embedded/git/helper.ts', import.meta.url));
  const helper: ChildProcess = fork(program, [path], { execArgv: ['--no-warnings'] });
  await once(helper, 'message');
  await ok(folder, 'init', '-q', '--bare', '.');
  const objects = await readdir(join(folder, 'objects'));
  const socket = connect(path).on('error', () => undefined);
  const push = { ...order(1, 'receive-pack', '--stateless-rpc', folder), hooks: true };
  socket.write(frame('start', Buffer.from(JSON.stringify(push))));
  // A pack of one object, of which no more than the beginning comes.
  const command = `${'0'.repeat(40)} ${'1'.repeat(40)} refs/heads/main\0report-status`;
  const packHead = Buffer.from('PACK\0\0\0\u0002\0\0\0\u0001', 'latin1');
  socket.write(frame('input', Buffer.from(`${(command.length + 4).toString(16).padStart(4, '0')}${command}0000`)));
  socket.write(frame('input', packHead));
  await expect.poll(async () => (await readdir(join(folder, 'objects'))).length, { timeout: 30_000 }).toBe(objects.length + 1);
  helper.disconnect();
  await once(helper, 'exit');
  expect(await readdir(join(folder, 'objects'))).toEqual(objects);
  socket.destroy();
});

async function exitCode(start: StartGit): Promise<number> {
  const socket = connect(path);
  const code = new Promise<number>((resolve) => {
    const read = frameReader((kind, bytes) => {
      if (kind === 'exit') resolve(Number(JSON.parse(bytes.toString('utf8')).code));
    });
    socket.on('data', read);
  });
  socket.write(frame('start', Buffer.from(JSON.stringify(start))));
  return code;
}

test('the helper may forget a number when what was killed is over, and hears nothing of one that ended by itself', async () => {
  const said: string[] = [];
  const server = createServer().listen(path);
  await once(server, 'listening');
  const link = linkThat((word) => said.push(word));
  for (const id of [1, 2]) {
    const git = openGit(link, order(id), {});
    const [socket] = (await once(server, 'connection')) as [Socket];
    await once(socket, 'readable');
    if (id === 2) git.kill();
    socket.end(exit);
    expect(await git.done).toMatchObject({ clean: id === 1 });
  }
  expect(said).toEqual(['kill 2', 'forget 2']);
  server.close();
});

test('git’s end is heard also where its last bytes filled what nobody had read yet', async () => {
  const { git, socket, server } = await opened();
  const whole = Buffer.alloc(git.output.readableHighWaterMark + 1, 'x');
  const last = frame('output', whole.subarray(-2));
  // The last bytes and the end come in one piece; git's exit follows when they are there.
  for (const piece of [frame('output', whole.subarray(0, -2)), Buffer.concat([last, frame('output_end')])]) {
    const before = git.output.readableLength;
    socket.write(piece);
    while (git.output.readableLength === before) await setImmediate();
  }
  socket.end(exit);
  expect(await git.done).toMatchObject({ clean: true });
  expect((await buffer(git.output)).equals(whole)).toBe(true);
  server.close();
});

test('a connection that ends though its helper lives is the end of its git', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const { git, socket, server } = await opened();
  socket.destroy();
  while (vi.getTimerCount() === 0) await setImmediate();
  vi.advanceTimersToNextTimer();
  expect(await git.done).toMatchObject({ clean: false });
  vi.useRealTimers();
  server.close();
});

/** A git as the server sees it, and the helper's end of it. */
async function opened() {
  const server = createServer().listen(path);
  await once(server, 'listening');
  const git = openGit(
    linkThat(() => undefined),
    order(1),
    {},
  );
  const [socket] = (await once(server, 'connection')) as [Socket];
  return { git, socket, server };
}

const exit = frame('exit', Buffer.from('{"code":0}'));
function linkThat(hears: (word: string) => void): HelperLink {
  return {
    connect: () => Promise.resolve({ socket: connect(path), gone: new Promise(() => undefined) }),
    kill: (id) => hears(`kill ${id}`),
    forget: (id) => hears(`forget ${id}`),
  };
}
