import { hash } from 'node:crypto';
import { access, constants, realpath, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { spawn } from 'node:child_process';
import { JobpassError } from '../../../base/errors.ts';
import { type Engine, inspected } from '../../engine/engine.ts';
import { isTable, textIn, textsIn } from '../../parsed.ts';
import { runAs } from '../../run-as.ts';
import { isNamed, parseReference } from './reference.ts';

/** No registry is ever found at this name (RFC 6761 §6.4), so no job can have an image of its own pulled in this one's place. */
const repository = 'jobpass.invalid/hand-back';
const listBytes = 64 * 1024;

/** An image with a few of this machine's programs and nothing else. */
export interface OwnImage {
  readonly id: string;
  /** Where each program lies in it. */
  readonly paths: readonly string[];
}

/** Makes the image where the engine does not have it, or these programs have changed. @throws upstream_failed */
export async function ownImage(engine: Engine, programs: readonly string[]): Promise<OwnImage> {
  const paths = await Promise.all(programs.map(pathOf));
  const files = [...new Set([...paths, ...(await Promise.all(paths.map(librariesOf))).flat()])].toSorted();
  const states = await Promise.all(
    files.map(async (path) => {
      const { size, mtimeMs } = await stat(path);
      return [path, await realpath(path), size, mtimeMs];
    }),
  );
  const tag = hash('sha256', JSON.stringify(states), 'hex').slice(0, 24);
  const name = `${repository}:${tag}`;
  const id = (await idOf(engine, name)) ?? (await make(engine, name, files));
  return { id, paths };
}

async function pathOf(program: string): Promise<string> {
  for (const folder of (process.env['PATH'] ?? '/usr/bin:/bin').split(delimiter)) {
    const path = join(folder, program);
    if (folder.startsWith('/') && (await isProgram(path))) return path;
  }
  throw new JobpassError('upstream_failed', `There is no program ${program} on this machine.`);
}

function isProgram(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** Of a program that has all in itself, `ldd` says so and fails. */
async function librariesOf(path: string): Promise<readonly string[]> {
  const { stdout } = await runAs(undefined, 'ldd', [path], { cwd: '/', collectBytes: listBytes, anyExit: true });
  return [...stdout.matchAll(/(?:^|\s)(\/\S+) \(0x/g)].map((match) => match[1] ?? '');
}

async function idOf(engine: Engine, name: string): Promise<string | undefined> {
  const wanted = parseReference(name);
  const image = await inspected(engine, `/images/${encodeURIComponent(name)}/json`);
  if (!isTable(image) || wanted === undefined || !isNamed(wanted, textsIn(image, 'RepoTags'), [])) return undefined;
  return textIn(image, 'Id');
}

async function make(engine: Engine, name: string, files: readonly string[]): Promise<string> {
  // Without what leads to them: in there each file is where it is looked for.
  const packer = spawn('tar', ['-C', '/', '-chf', '-', '--', ...files.map((path) => path.slice(1))], {
    cwd: '/',
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C.UTF-8' },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  packer.once('error', () => packer.stdout.destroy());
  await engine.importImage(name, packer.stdout);
  const id = await idOf(engine, name);
  if (id === undefined) throw new JobpassError('upstream_failed', 'The container engine did not take an image of the runner’s own.');
  return id;
}
