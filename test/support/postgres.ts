import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** PostgreSQL refuses to run as root; this user comes with its package. */
const osUser = 'postgres';

/** A temporary server on a unix socket, gone after `stop`. */
export interface TestPostgres {
  /** Its first, empty database. */
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * Makes a cluster and starts it.
 * @returns undefined, and says so in one line, where PostgreSQL is not installed
 * @throws where CI is set and it is not installed
 */
export async function startPostgres(): Promise<TestPostgres | undefined> {
  const bin = findBin();
  if (bin === undefined) {
    if (process.env['CI'] === '1' || process.env['CI'] === 'true') throw new Error('PostgreSQL is not installed, and CI is set');
    console.log('not run: PostgreSQL is not installed');
    return undefined;
  }
  const folder = await mkdtemp(join(tmpdir(), 'jobpass-test-postgres-'));
  const data = join(folder, 'data');
  const asRoot = process.getuid?.() === 0;
  if (asRoot) chownSync(folder, idOf('-u'), idOf('-g'));
  const command = (name: string, args: readonly string[]): readonly [string, string[]] =>
    asRoot ? ['setpriv', ['--reuid', osUser, '--regid', osUser, '--init-groups', join(bin, name), ...args]] : [join(bin, name), [...args]];

  const [initdb, initArgs] = command('initdb', [
    '-D',
    data,
    '-U',
    osUser,
    '--auth=trust',
    '--encoding=UTF8',
    '--locale=C.UTF-8',
    '--no-sync',
  ]);
  execFileSync(initdb, initArgs, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  const [postgres, args] = command('postgres', ['-D', data, '-k', folder, '-c', 'listen_addresses=', '-c', 'max_connections=100']);
  const server = spawn(postgres, args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  try {
    await ready(server);
  } catch (error) {
    server.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  return {
    url: `postgres://${osUser}@localhost/postgres?host=${encodeURIComponent(folder)}`,
    async stop() {
      if (server.exitCode === null) {
        const exit = once(server, 'exit');
        // Immediate shutdown: nothing of it is kept.
        server.kill('SIGQUIT');
        await exit;
      }
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Debian keeps the server's programs out of the path, in one folder a version. */
function findBin(): string | undefined {
  const versions = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql') : [];
  const folders = [
    ...versions.toSorted((one, other) => Number(other) - Number(one)).map((version) => `/usr/lib/postgresql/${version}/bin`),
    ...(process.env['PATH'] ?? '').split(':'),
  ];
  return folders.find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres')));
}

function idOf(flag: '-u' | '-g'): number {
  return Number(execFileSync('id', [flag, osUser], { encoding: 'utf8' }));
}

/** Reads the server's log until it takes connections, and goes on draining it. */
async function ready(server: ChildProcess): Promise<void> {
  if (server.stderr === null) throw new Error('the server has no standard error');
  const log: string[] = [];
  const lines = createInterface({ input: server.stderr });
  await new Promise<void>((resolve, reject) => {
    lines.on('line', (line) => {
      log.push(line);
      if (line.includes('ready to accept connections')) resolve();
    });
    lines.once('close', () => reject(new Error(`PostgreSQL did not start:\n${log.slice(-20).join('\n')}`)));
    server.once('error', reject);
  });
}
