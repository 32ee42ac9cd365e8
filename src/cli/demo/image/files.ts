import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, chmod, copyFile, mkdir, realpath, symlink, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { JobpassError } from '../../../base/errors.ts';

const run = promisify(execFile);

/** What the build image's scripts call, beside git and Node.js. */
const tools = ['sh', 'cat', 'ls', 'mkdir', 'rm', 'env', 'sort', 'tr', 'test'];

/**
 * Lays out the file system of a build image from what this machine has: its shell, git and Node.js, with the libraries that they load. Nothing is
 * downloaded.
 * @throws upstream_failed where a program is missing
 */
export async function layOutImage(root: string, node: string): Promise<void> {
  for (const folder of ['bin', 'etc', 'proc', 'dev', 'root', 'usr/bin', 'builds']) await mkdir(join(root, folder), { recursive: true });
  await mkdir(join(root, 'tmp'));
  await chmod(join(root, 'tmp'), 0o1777);
  await writeFile(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  await writeFile(join(root, 'etc/group'), 'root:x:0:\n');
  const programs: string[] = [];
  for (const name of tools) programs.push(await place(root, await find(name), `/bin/${name}`));
  programs.push(await place(root, node, '/usr/bin/node'), await place(root, await find('git'), '/usr/bin/git'));
  const libexec = (await run('git', ['--exec-path'])).stdout.trim();
  for (const name of ['git-remote-http', 'git-remote-https']) programs.push(await place(root, join(libexec, name), join(libexec, name)));
  await symlink('/usr/bin/git', join(root, libexec, 'git'));
  for (const library of await librariesOf(programs)) await place(root, library, library);
}

async function find(name: string): Promise<string> {
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), '/usr/bin', '/bin']) {
    const path = join(folder, name);
    if (folder === '') continue;
    const there = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (there) return path;
  }
  throw new JobpassError('upstream_failed', `${name} is not on this machine`);
}

/** Copies the file behind all links. @returns where it came from */
async function place(root: string, from: string, to: string): Promise<string> {
  const real = await realpath(from);
  const target = join(root, to);
  await mkdir(dirname(target), { recursive: true });
  await copyFile(real, target, constants.COPYFILE_FICLONE);
  await chmod(target, 0o755);
  return real;
}

/** Everything that the loader brings in, the loader itself included, under the names by which it is looked up. */
async function librariesOf(programs: readonly string[]): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const program of programs) {
    // A program without libraries ends with an error: it is static.
    const { stdout } = await run('ldd', [program]).catch(() => ({ stdout: '' }));
    for (const match of stdout.matchAll(/(?:=> )?(\/\S+) \(0x/g)) if (match[1] !== undefined) found.add(match[1]);
  }
  return found;
}
