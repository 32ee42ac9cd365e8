import { spawn } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { JobpassError } from '../../base/errors.ts';
import type { Secret } from '../../base/secret.ts';
import type { Files } from './story.ts';

const helper = '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" "$DEMO_USER" "$DEMO_TOKEN"; }; f';

/** Real git, with the user's token handed over in the environment of that one process. */
export class Git {
  readonly #env: NodeJS.ProcessEnv;
  readonly #folder: string;

  constructor(folder: string, user: { readonly username: string; readonly email: string; readonly token: Secret }) {
    this.#folder = folder;
    this.#env = {
      PATH: process.env['PATH'],
      HOME: folder,
      LC_ALL: 'C',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_TERMINAL_PROMPT: '0',
      GIT_AUTHOR_NAME: user.username,
      GIT_AUTHOR_EMAIL: user.email,
      GIT_COMMITTER_NAME: user.username,
      GIT_COMMITTER_EMAIL: user.email,
      DEMO_USER: user.username,
      DEMO_TOKEN: user.token.reveal(),
    };
  }

  /** Makes a repository with these files and pushes it to `url` as main. @param submodules folder → URL as it stands in .gitmodules, and where to fetch it */
  async publish(
    name: string,
    url: string,
    files: Files,
    submodules: readonly { path: string; url: string; from: string }[] = [],
  ): Promise<void> {
    const work = join(this.#folder, name);
    await mkdir(work, { recursive: true });
    await this.run(work, ['init', '--quiet', '-b', 'main']);
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(work, path)), { recursive: true });
      await writeFile(join(work, path), text);
    }
    for (const module of submodules) {
      await this.run(work, ['submodule', '--quiet', 'add', '--', module.from, module.path]);
      await this.run(work, ['config', '-f', '.gitmodules', `submodule.${module.path}.url`, module.url]);
    }
    await this.run(work, ['add', '--all']);
    await this.run(work, ['commit', '--quiet', '-m', `Start ${name}`]);
    await this.run(work, ['push', '--quiet', url, 'HEAD:refs/heads/main']);
    await rm(work, { recursive: true, force: true });
  }

  /** @throws upstream_failed with git's last words */
  async run(folder: string, args: readonly string[]): Promise<void> {
    const child = spawn('git', ['-c', 'credential.helper=', '-c', `credential.helper=${helper}`, ...args], {
      cwd: folder,
      env: this.#env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let words = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (words = (words + chunk).slice(-2000)));
    const code = await new Promise<number>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (status) => resolve(status ?? 1));
    });
    if (code !== 0) throw new JobpassError('upstream_failed', `git ${args[0] ?? ''} failed: ${words.trim()}`);
  }
}
