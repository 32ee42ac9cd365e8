import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';

/** A real sshd on loopback, with keys of its own. */
export interface TestSshd {
  readonly port: number;
  readonly user: string;
  readonly identityFile: string;
  readonly knownHostsFile: string;
  /** Home of whoever logs in. */
  readonly home: string;
  close(): Promise<void>;
}

const program = '/usr/sbin/sshd';

export function sshdInstalled(): boolean {
  try {
    accessSync(program, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export async function startSshd(): Promise<TestSshd> {
  const dir = await mkdtemp(join(tmpdir(), 'jobpass-sshd-'));
  await chmod(dir, 0o711);
  const home = join(dir, 'home');
  await mkdir(home);
  const asRoot = process.getuid?.() === 0;
  // Whoever logs in is nobody, so that a job is not root on this machine.
  if (asRoot) {
    await chown(home, 65_534, 65_534);
    await mkdir('/run/sshd', { recursive: true, mode: 0o755 });
  }
  const drop = asRoot ? 'setpriv --reuid=65534 --regid=65534 --clear-groups ' : '';
  const keygen = (name: string): void => void execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, name)]);
  keygen('host');
  keygen('client');
  const port = await freePort();
  const config = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${join(dir, 'host')}`,
    `AuthorizedKeysFile ${join(dir, 'client.pub')}`,
    'PidFile none',
    'StrictModes no',
    'UsePAM no',
    'PasswordAuthentication no',
    'PermitRootLogin prohibit-password',
    'MaxStartups 100',
    `ForceCommand export HOME=${home}; exec ${drop}sh -c "$SSH_ORIGINAL_COMMAND"`,
  ];
  await writeFile(join(dir, 'config'), `${config.join('\n')}\n`);
  const [type = '', key = ''] = (await readFile(join(dir, 'host.pub'), 'utf8')).split(' ');
  await writeFile(join(dir, 'known_hosts'), `[127.0.0.1]:${port} ${type} ${key}\n`);
  const daemon = spawn(program, ['-D', '-e', '-f', join(dir, 'config')], { stdio: 'ignore' });
  await reachable(port);
  return {
    port,
    user: userInfo().username,
    identityFile: join(dir, 'client'),
    knownHostsFile: join(dir, 'known_hosts'),
    home,
    async close() {
      const gone = once(daemon, 'exit');
      daemon.kill('SIGTERM');
      await gone;
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Tries until somebody listens. */
async function reachable(port: number): Promise<void> {
  for (;;) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('connect', () => socket.destroy() && resolve(true));
      socket.once('error', () => resolve(false));
    });
    if (open) return;
  }
}
