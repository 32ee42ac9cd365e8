import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { JobpassError } from '../../../base/errors.ts';
import type { SshConfig } from './config.ts';

const answerBytes = 64 * 1024;
const wordsBytes = 2000;
/** ssh's own exit code for trouble of its own. */
const sshFailed = 255;

/**
 * Speaks to one host through the machine's `ssh`, over one connection that all commands share. What is secret goes over standard input:
 * argv is public (A26).
 */
export class SshConnection {
  readonly #config: SshConfig;
  /** Of the shared connection's socket, mode 0700. */
  readonly #dir: string;
  readonly #master: ChildProcessWithoutNullStreams;

  private constructor(config: SshConfig, dir: string) {
    this.#config = config;
    this.#dir = dir;
    // It ends with its standard input, so also with a runner that is killed.
    this.#master = this.#spawn('cd && pwd -P && exec cat', ['-o', 'ControlMaster=yes']);
    this.#master.stdin.on('error', () => undefined);
  }

  /** @returns the connection, and the real path of the user's home there. @throws upstream_failed */
  static async open(config: SshConfig, signal?: AbortSignal): Promise<{ readonly ssh: SshConnection; readonly home: string }> {
    signal?.throwIfAborted();
    // A socket's path may have 100 bytes, so it is not below builds_dir.
    const ssh = new SshConnection(config, await mkdtemp(join(tmpdir(), 'jobpass-ssh-')));
    const kill = (): void => void ssh.#master.kill('SIGKILL');
    signal?.addEventListener('abort', kill, { once: true });
    try {
      return { ssh, home: await ssh.#greeted() };
    } catch (error) {
      await ssh.close();
      throw error;
    } finally {
      signal?.removeEventListener('abort', kill);
    }
  }

  async close(): Promise<void> {
    this.#master.kill('SIGTERM');
    await rm(this.#dir, { recursive: true, force: true });
  }

  /** The first line that the shared connection says. */
  async #greeted(): Promise<string> {
    const ended = endOf(this.#master);
    const line = new Promise<string>((resolve) => {
      let text = '';
      this.#master.stdout.on('data', (bytes: Buffer) => {
        text = (text + bytes.toString('utf8')).slice(0, wordsBytes);
        if (text.includes('\n')) resolve(text.slice(0, text.indexOf('\n')));
      });
    });
    return Promise.race([
      line,
      ended.then(({ code, words }): never => {
        throw this.trouble(code, words);
      }),
    ]);
  }

  /** Starts a command on the host. @param command of plain words and paths, for the login shell there */
  start(command: string): ChildProcessWithoutNullStreams {
    return this.#spawn(command, ['-o', 'ControlMaster=no']);
  }

  #spawn(command: string, more: readonly string[]): ChildProcessWithoutNullStreams {
    const shared = ['-o', `ControlPath=${quoted(join(this.#dir, 'socket'))}`, ...more];
    return spawn('ssh', [...argumentsOf(this.#config), ...shared, '--', this.#config.host, command], {
      env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C.UTF-8' },
      cwd: '/',
      stdio: ['pipe', 'pipe', 'pipe'],
    });
  }

  /** Runs a small shell script there. @returns what it printed. @throws upstream_failed, too_large */
  async script(text: string, signal?: AbortSignal): Promise<string> {
    signal?.throwIfAborted();
    const child = this.start('exec sh');
    const parts: Buffer[] = [];
    let size = 0;
    child.stdout.on('data', (bytes: Buffer) => {
      size += bytes.length;
      if (size <= answerBytes) parts.push(bytes);
      else child.kill('SIGKILL');
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(text);
    const kill = (): void => void child.kill('SIGKILL');
    signal?.addEventListener('abort', kill, { once: true });
    try {
      const { code, words } = await endOf(child);
      signal?.throwIfAborted();
      if (size > answerBytes) throw new JobpassError('too_large', 'The host says too much.');
      if (code !== 0) throw this.trouble(code, words);
      return Buffer.concat(parts).toString('utf8');
    } finally {
      signal?.removeEventListener('abort', kill);
    }
  }

  /** What to make of an end that is not the script's own. */
  trouble(code: number, words: string): JobpassError {
    const said = words
      .replaceAll(/[\u0000-\u001f\u007f]+/g, ' ')
      .trim()
      .slice(-wordsBytes);
    const what = code === sshFailed ? 'The host cannot be reached over ssh' : `A command on the host ended with ${code}`;
    return new JobpassError('upstream_failed', said === '' ? `${what}.` : `${what}: ${said}`);
  }
}

/** True where it was ssh that failed, and not what it ran: that one's messages come over standard output. */
export function isSshTrouble(code: number, words: string): boolean {
  return code === sshFailed && words.trim() !== '';
}

/** Resolves when a command has ended and its output was read. `words`: the end of its standard error. */
export function endOf(child: ChildProcessWithoutNullStreams): Promise<{ readonly code: number; readonly words: string }> {
  let words = '';
  child.stderr.on('data', (bytes: Buffer) => {
    words = (words + bytes.toString('utf8')).slice(-wordsBytes);
  });
  return new Promise((resolve, reject) => {
    child.once('error', (error) =>
      reject(new JobpassError('upstream_failed', 'ssh cannot be started; is openssh-client installed?', error)),
    );
    child.once('close', (code) => resolve({ code: code ?? 137, words }));
  });
}

/** No file of the user's or the machine's has a say, nothing is asked, nothing is forwarded. */
function argumentsOf(config: SshConfig): readonly string[] {
  const options = {
    BatchMode: 'yes',
    IdentityFile: config.identityFile.replaceAll('%', '%%'),
    IdentitiesOnly: 'yes',
    IdentityAgent: 'none',
    PreferredAuthentications: 'publickey',
    PasswordAuthentication: 'no',
    KbdInteractiveAuthentication: 'no',
    StrictHostKeyChecking: config.strictHostKey ? 'yes' : 'no',
    ...(config.strictHostKey
      ? config.knownHostsFile === undefined
        ? {}
        : { UserKnownHostsFile: config.knownHostsFile.replaceAll('%', '%%'), GlobalKnownHostsFile: '/dev/null' }
      : { UserKnownHostsFile: '/dev/null', GlobalKnownHostsFile: '/dev/null' }),
    UpdateHostKeys: 'no',
    ClearAllForwardings: 'yes',
    ForwardAgent: 'no',
    PermitLocalCommand: 'no',
    ControlPersist: 'no',
    ConnectTimeout: '30',
    ServerAliveInterval: '15',
    ServerAliveCountMax: '4',
    LogLevel: 'ERROR',
  };
  const given = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${quoted(value)}`]);
  return ['-F', '/dev/null', '-T', '-p', String(config.port), '-l', config.user, ...given];
}

/** ssh splits option values at white space unless they are quoted. */
function quoted(value: string): string {
  return /\s/.test(value) ? `"${value}"` : value;
}
