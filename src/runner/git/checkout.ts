import { access, mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BuildPlace } from '../executors/executor.ts';
import { gitEnvironment } from './environment.ts';
import { packFiles } from './given.ts';
import { handOver } from './hand-over.ts';
import { keepIndex, keptIndex, newIndexPath } from './kept-index.ts';
import type { Mirror } from './mirror.ts';

export interface CheckoutOrder {
  readonly place: BuildPlace;
  /** Folder of the work tree, the job's own; made where it is not there. */
  readonly dir: string;
  /** What `origin` says: without any credential. */
  readonly url: URL;
  /** Words of `git clean` for what the work tree has beside the commit; empty = nothing is cleaned. */
  readonly cleanFlags: readonly string[];
  /** The commit's attributes, by their key; undefined = every file is written anew. */
  readonly attributes: string | undefined;
  readonly signal: AbortSignal;
  readonly onOutput: (bytes: Buffer) => void;
}

/** Environment of a git that runs as the job's user: strict as well, and with nothing secret in it. */
export function jobGitEnvironment(place: BuildPlace, extra: readonly (readonly [string, string])[] = []): Record<string, string> {
  return gitEnvironment(`${place.tmpDir}/home`, extra);
}

/**
 * One shell for all of it: each program of its own costs a small job some milliseconds.
 *
 * `$1` address of origin (an URL has neither quotes nor line ends), `$2` the commit, `$3` the time of the index that comes with the rest, or nothing, `$4` the folder; then
 * words for `git clean`, or none. What `checkout` takes for up to date by its index
 * is looked at once more by `checkout-index`, which alone minds links in the place of folders.
 */
const script = `set -e; exec 4>&1 1>&2
mkdir -p -- "$4"
cd -- "$4"
rm -rf -- .git
git init --quiet --template= .
printf '[remote "origin"]\\n\\turl = "%s"\\n\\tfetch = +refs/heads/*:refs/remotes/origin/*\\n' "$1" >> .git/config
tar -C .git -xf -
test -z "$3" || touch -d "$3" .git/index 2>/dev/null || :
git checkout --quiet --force --detach "$2"
test -z "$3" || git checkout-index --all --force --index --quiet
stat -c %y .git/index >&4 2>/dev/null || :
cat .git/index >&3
shift 4
test $# = 0 || git clean "$@"
`;

/**
 * Makes a fresh repository in `dir` with the mirror's commit, as the job's OS user and without any credential. That user cannot read the mirror: its packs, which
 * hold what the server has just given and git has checked, come as copies over a pipe. An old `.git` is never trusted (A53).
 */
export async function deliver(mirror: Mirror, order: CheckoutOrder): Promise<void> {
  const { place, dir, url, attributes } = order;
  const index = await keptIndex(mirror.dir, dir, attributes);
  const written = await open(await newIndexPath(mirror.dir, dir), 'w', 0o600);
  try {
    const time = await handOver({
      ...order,
      dir: '/',
      tar: [...(await repositoryFiles(mirror)), ...(index === undefined ? [] : ['-C', index.dir, 'index'])],
      program: '/bin/sh',
      args: ['-c', script, 'sh', url.href, mirror.sha, index?.time ?? '', dir, ...order.cleanFlags],
      env: { ...jobGitEnvironment(place), TZ: 'UTC' },
      writes: written.fd,
    });
    await keepIndex(mirror.dir, dir, time.trim(), attributes);
  } finally {
    await written.close();
  }
}

/** What of a mirror goes to a checkout, as words of `tar`. Its own settings do not. */
async function repositoryFiles(mirror: Mirror): Promise<readonly string[]> {
  const own = join(mirror.dir, 'jobpass-refs');
  await mkdir(own, { recursive: true, mode: 0o700 });
  const lines = mirror.refs.map(({ oid, name, peeled }) => `${oid} ${name}\n${peeled === undefined ? '' : `^${peeled}\n`}`);
  await writeFile(join(own, 'packed-refs'), `# pack-refs with: peeled fully-peeled sorted \n${lines.join('')}`);
  const packs = (await packFiles(mirror.dir)).map((name) => `objects/pack/${name}`);
  const shallow = await access(join(mirror.dir, 'shallow')).then(
    () => ['shallow'],
    () => [],
  );
  return ['-C', mirror.dir, ...packs, ...shallow, '-C', own, 'packed-refs'];
}
