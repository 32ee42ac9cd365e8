import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

const launcher = fileURLToPath(new URL('../../bin/jobpass.js', import.meta.url));

/** What runs still is that of a test that failed. */
const started: ChildProcess[] = [];
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
});

/** @param input on its standard input, which is a socket then */
function start(args: readonly string[], env: Record<string, string> = {}, cwd = tmpdir(), input?: string) {
  const child = spawn(process.execPath, [launcher, ...args], {
    env: { PATH: process.env['PATH'] ?? '', HOME: tmpdir(), ...env },
    cwd,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  started.push(child);
  child.stdin.end(input);
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => (out += String(chunk)));
  child.stderr.on('data', (chunk) => (err += String(chunk)));
  const exit = new Promise<{ code: number | null; out: string; err: string }>((resolve) =>
    child.once('close', (code) => resolve({ code, out, err })),
  );
  const listening = new Promise<string>((resolve, reject) => {
    child.stdout.on('data', () => {
      const match = /listening on (http:\S+)/.exec(out);
      if (match !== null) resolve(match[1] ?? '');
    });
    child.once('close', () => reject(new Error(err)));
  });
  listening.catch(() => undefined);
  /** A line of the log. */
  const logged = (event: string) =>
    new Promise<Record<string, unknown>>((resolve) => {
      const look = (): void => {
        const line = err.split('\n').find((one) => one.includes(`"event":"${event}"`) && one.endsWith('}'));
        if (line !== undefined) resolve(JSON.parse(line) as Record<string, unknown>);
      };
      child.stderr.on('data', look);
      look();
    });
  return { child, exit, listening, logged, out: () => out };
}

describe('jobpass serve', () => {
  let data: string;
  beforeAll(async () => {
    data = await mkdtemp(join(tmpdir(), 'jobpass-cli-'));
  });
  afterAll(() => rm(data, { recursive: true, force: true }));

  test('a terminal tells whoever started the server as well, who tells it again: that is one word, and the server drains', async () => {
    const { child, exit, listening } = start(['serve', '--data', join(data, 'twice'), '--listen', '127.0.0.1:0']);
    await listening;
    child.kill('SIGINT');
    child.kill('SIGTERM');
    expect((await exit).code).toBe(0);
  });

  test('a shell of npm that is ended takes the server with it, which drains', async () => {
    const args = ['serve', '--data', join(data, 'npx'), '--listen', '127.0.0.1:0'];
    const env = { PATH: process.env['PATH'] ?? '', HOME: tmpdir(), npm_lifecycle_event: 'npx' };
    const shell = spawn('/bin/sh', ['-c', '"$@" & wait', 'sh', process.execPath, launcher, ...args], { env, cwd: tmpdir() });
    let [out, err] = ['', ''];
    shell.stderr.on('data', (chunk) => (err += String(chunk)));
    const listening = new Promise<void>((resolve) => {
      shell.stdout.on('data', (chunk) => {
        out += String(chunk);
        if (out.includes('listening on')) resolve();
      });
    });
    await listening;
    // The server holds the pipes as well: they close with the last of both.
    const over = once(shell, 'close');
    shell.kill('SIGTERM');
    await over;
    expect(err).toContain('"server.draining"');
  });

  test('starts from nothing, prints the root token once, drains on SIGTERM, and keeps everything over a restart', async () => {
    const first = start(['serve', '--data', join(data, 'd'), '--listen', '127.0.0.1:0']);
    const url = await first.listening;
    const token = /root token: (glpat-\S+)/.exec(first.out())?.[1] ?? '';
    expect(token).not.toBe('');
    const make = await fetch(`${url}/api/v4/groups`, {
      method: 'POST',
      headers: { 'private-token': token, 'content-type': 'application/json' },
      body: '{"name":"kept","path":"kept"}',
    });
    expect(make.status).toBe(201);
    first.child.kill('SIGTERM');
    const ended = await first.exit;
    expect(ended.code).toBe(0);
    expect(ended.err).not.toContain(token);
    expect(ended.err).toContain('"event":"server.stopped"');

    const second = start(['serve', '--data', join(data, 'd'), '--listen', '127.0.0.1:0']);
    const again = await second.listening;
    expect(second.out()).not.toContain('root token');
    expect((await fetch(`${again}/api/v4/groups/kept`, { headers: { 'private-token': token } })).status).toBe(200);
    second.child.kill('SIGTERM');
    expect((await second.exit).code).toBe(0);
  });

  test('R10 a lost root token is made anew by whoever has the data folder, while no server runs there, and the trail tells', async () => {
    const folder = join(data, 'lost');
    const renew = (where = folder) => start(['serve', 'root-token', '--data', where]).exit;
    expect(await renew()).toEqual({ code: 1, out: '', err: 'jobpass: No server has started with this data folder and database.\n' });
    await expect(stat(folder)).rejects.toThrow();
    const first = start(['serve', '--data', folder, '--listen', '127.0.0.1:0']);
    await first.listening;
    expect(await renew()).toMatchObject({ code: 1, out: '', err: expect.stringContaining('Another process serves') });
    first.child.kill('SIGTERM');
    await first.exit;
    const made = await renew();
    const token = /root token: (glpat-\S+)/.exec(made.out)?.[1] ?? '';
    const second = start(['serve', '--data', folder, '--listen', '127.0.0.1:0']);
    const url = await second.listening;
    const get = async (path: string) => (await fetch(`${url}/api/v4${path}`, { headers: { 'private-token': token } })).text();
    expect(JSON.parse(await get('/user'))).toMatchObject({ username: 'root', is_admin: true });
    expect(await get('/jobpass/audit')).toContain('jobpass serve root-token');
    second.child.kill('SIGTERM');
    expect((await second.exit).code).toBe(0);
  });

  test('a relative --data works as it stands in the README', async () => {
    const secret = 'glpat-abcdefghij0123456789';
    const server = start(['serve', '--data', './jobpass-data', '--listen', '127.0.0.1:0'], { JOBPASS_ROOT_TOKEN: secret }, data);
    const url = await server.listening;
    const post = (path: string, body: object) =>
      fetch(`${url}${path}`, {
        method: 'POST',
        headers: { 'private-token': secret, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    expect((await post('/api/v4/projects', { name: 'hello' })).status).toBe(201);
    expect(
      (await post('/api/v4/projects/root%2Fhello/repository/files/a.txt', { branch: 'main', content: 'x', commit_message: 'x' })).status,
    ).toBe(201);
    server.child.kill('SIGTERM');
    expect((await server.exit).code).toBe(0);
  });

  test('R6 no token is at rest in clear, and nothing of the data folder is open to others', async () => {
    const secret = 'glpat-abcdefghij0123456789';
    const folder = join(data, 'e');
    const server = start(['serve', '--data', folder, '--listen', '127.0.0.1:0'], { JOBPASS_ROOT_TOKEN: secret });
    const url = await server.listening;
    expect(server.out()).not.toContain(secret);
    expect((await fetch(`${url}/api/v4/user`, { headers: { 'private-token': secret } })).status).toBe(200);
    server.child.kill('SIGTERM');
    await server.exit;
    for (const file of await readdir(folder, { recursive: true, withFileTypes: true })) {
      if (file.isFile()) expect((await readFile(join(file.parentPath, file.name), 'latin1')).includes(secret)).toBe(false);
    }
    expect((await stat(folder)).mode & 0o077).toBe(0);

    // At a later start the same one is as it should be; another one is told to mean nothing.
    const same = start(['serve', '--data', folder, '--listen', '127.0.0.1:0'], { JOBPASS_ROOT_TOKEN: secret });
    await same.listening;
    same.child.kill('SIGTERM');
    expect((await same.exit).err).not.toContain('root_token_ignored');
    const other = start(['serve', '--data', folder, '--listen', '127.0.0.1:0'], { JOBPASS_ROOT_TOKEN: 'glpat-bbbbbbbbbbbbbbbbbbbb' });
    await other.listening;
    other.child.kill('SIGTERM');
    const { err } = await other.exit;
    expect(err).toContain('"level":"warn","event":"server.root_token_ignored"');
    expect(err).not.toContain('glpat-bbbbbbbbbbbbbbbbbbbb');
  });

  test('a start that fails ends, says where, and the root token is still shown by the first one that succeeds', async () => {
    const first = start(['serve', '--data', join(data, 'f'), '--listen', '127.0.0.1:0']);
    const taken = new URL(await first.listening).host;
    const failed = await start(['serve', '--data', join(data, 'g'), '--listen', taken]).exit;
    expect([failed.code, failed.err, failed.out]).toEqual([1, `jobpass: ${taken} is in use: choose another --listen.\n`, '']);
    const again = start(['serve', '--data', join(data, 'g'), '--listen', '127.0.0.1:0']);
    const url = await again.listening;
    const token = /root token: (glpat-\S+)/.exec(again.out())?.[1] ?? '';
    expect((await fetch(`${url}/api/v4/user`, { headers: { 'private-token': token } })).status).toBe(200);
    for (const { child, exit } of [first, again]) {
      child.kill('SIGTERM');
      expect((await exit).code).toBe(0);
    }
  });

  test("a folder that cannot be locked is nobody else's, and what is empty in the environment is not set", async () => {
    const folder = join(data, 'l');
    const empty = { JOBPASS_EXTERNAL_URL: '', JOBPASS_DATABASE: '', JOBPASS_DATA: folder };
    const fine = start(['serve', '--listen', '127.0.0.1:0'], empty);
    await fine.listening;
    fine.child.kill('SIGTERM');
    expect((await fine.exit).code).toBe(0);
    await writeFile(join(folder, 'lock'), 'no database, which a full disk would be told by as well'.repeat(100));
    const failed = await start(['serve', '--listen', '127.0.0.1:0'], empty).exit;
    expect([failed.code, failed.err]).toEqual([
      1,
      `jobpass: ${join(folder, 'lock')} cannot be locked: is the disk full, or read-only? (file is not a database)\n`,
    ]);
  });

  test('R10 a folder on SQLite has one server: a second start touches nothing and says so', async () => {
    const folder = join(data, 'h');
    const first = start(['serve', '--data', folder, '--listen', '127.0.0.1:0']);
    const url = await first.listening;
    await writeFile(join(folder, 'scratch', 'in-use'), '');
    const second = await start(['serve', '--data', folder, '--listen', '127.0.0.1:0']).exit;
    expect([second.code, second.err]).toEqual([
      1,
      `jobpass: Another process serves ${folder}. End that one first; several servers need one PostgreSQL (--database).\n`,
    ]);
    await stat(join(folder, 'scratch', 'in-use'));
    expect((await fetch(`${url}/-/readiness`)).status).toBe(200);
    const root = /root token: (\S+)/.exec(first.out())?.[1] ?? '';
    const made = await start(['admin', 'runner', 'create', '--url', url], { JOBPASS_TOKEN_FILE: '/dev/stdin' }, tmpdir(), `${root}\n`).exit;
    expect([made.code, made.err]).toEqual([0, '']);
    // The other scheme is a mistake that is easily made.
    const asked = await start(['admin', 'runner', 'list', '--url', url.replace('http:', 'https:')], { JOBPASS_TOKEN: 'x' }).exit;
    expect([asked.code, asked.err]).toEqual([1, 'jobpass: The server does not speak TLS there: is the URL http://?\n']);
    // However the first one ends, the folder is free then.
    first.child.kill('SIGKILL');
    await first.exit;
    const third = start(['serve', '--data', folder, '--listen', '127.0.0.1:0']);
    await third.listening;
    third.child.kill('SIGTERM');
    expect((await third.exit).code).toBe(0);
  });

  test.each([
    [['serve', '--listen', 'nowhere'], 1, /HOST:PORT/],
    [['serve', '--tls-cert', 'x'], 1, /go together/],
    [['serve', '--nonsense'], 2, /^jobpass: there is no option '--nonsense'\. Try: jobpass serve --help\n$/],
    [['serve', '--listen'], 2, /--listen wants a value\. Try/],
    [['serve', '--config', '/nonexistent/serve.toml'], 1, /^jobpass: --config: \/nonexistent\/serve\.toml does not exist\.\n$/],
    [['serve', '--tls-cert', '/nonexistent', '--tls-key', tmpdir()], 1, /--tls-cert: \/nonexistent does not exist/],
    [['serve', '--tls-cert', launcher, '--tls-key', launcher], 1, /--tls-cert: .*jobpass\.js holds no certificate \(PEM\)/],
    [
      ['gateway', '--upstream', 'http://127.0.0.1:9', '--admin-token-file', '/nonexistent'],
      1,
      /--admin-token-file: \/nonexistent does not exist/,
    ],
    [['gateway', '--upstream', 'http://127.0.0.1:9', '--admin-token-file', launcher], 1, /does not hold a token and nothing else/],
    [['serve', '--database', 'postgres://127.0.0.1:1/x'], 1, /Check its address.* \(connect ECONNREFUSED 127\.0\.0\.1:1\)\n$/],
    [['token'], 2, /say inspect, narrow or revoke/],
    [['token', 'inspect', '--url', 'forge.example'], 1, /https:\/\/HOST\[:PORT\], not by `forge\.example`/],
    [['nothing'], 2, /no command/],
    [['runner'], 2, /register, run, verify or unregister/],
    [['runner', 'run', '--config', '/nonexistent/config.toml'], 1, /config\.toml does not exist\. `jobpass runner register` makes it\.\n$/],
    [['serve', '--data='], 1, /^jobpass: `data` is empty: give it a value, or leave it out\.\n$/],
    [['serve', '--data', launcher], 1, /jobpass\.js is a file where a folder is wanted: choose another place\.\n$/],
    [['serve', '--data', join(launcher, 'x')], 1, /jobpass\.js\/x cannot be: a file stands where a folder is wanted/],
    [['admin', 'user', 'create'], 1, /where the server is: --url/],
    [['gate', '--config', '/nonexistent/config.toml', '--apply'], 1, /where the server is: --server/],
    [['gate'], 2, /--config is missing/],
  ] as const)('%j ends with %i and says what to do', async (args, code, words) => {
    const ended = await start(args).exit;
    expect([ended.code, ended.err]).toEqual([code, expect.stringMatching(words)]);
  });

  test('every command has a --help, and the exit codes are said', async () => {
    for (const command of ['serve', 'demo', 'runner', 'gate', 'admin', 'audit', 'token']) {
      const ended = await start([command, '--help']).exit;
      expect([command, ended.code, ended.out.startsWith(`usage: jobpass ${command}`)]).toEqual([command, 0, true]);
    }
    expect((await start(['help', 'serve']).exit).out).toMatch(/^usage: jobpass serve/);
    expect((await start(['--help']).exit).out).toContain('exit codes: 0 done, 1 failed, 2 wrong use');
  });
});
