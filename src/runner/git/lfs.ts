import { readFile } from 'node:fs/promises';
import { JobpassError } from '../../base/errors.ts';
import { runAs } from '../run-as.ts';
import { type CheckoutOrder, jobGitEnvironment } from './checkout.ts';
import { fetchEnvironment, gitEnvironment } from './environment.ts';
import { handOver } from './hand-over.ts';
import { throughRelay } from './lfs-relay.ts';
import { type FetchOrder, jobRef, type Mirror, type MirrorRoom } from './mirror.ts';

const mostObjects = 100_000;

/** Whoever wrote `.lfsconfig` or `.git/config` chooses neither the server nor a program (A19, A53): these stand above both. */
function lfsSettings(url: URL, endpoint: string): (readonly [string, string])[] {
  return [
    ['remote.origin.url', url.href],
    ['lfs.url', endpoint],
    ['lfs.basictransfersonly', 'true'],
    ['lfs.standalonetransferagent', ''],
    ['lfs.locksverify', 'false'],
    ['lfs.transfer.maxretries', '3'],
  ];
}

/**
 * Fetches the LFS objects of the mirror's commit into the mirror, with the same credential as its commits.
 * @returns the oids that the commit needs; empty where git-lfs is not on this machine
 * @throws upstream_failed, too_large
 */
export async function fetchLfsObjects(
  mirror: Mirror,
  order: Pick<FetchOrder, 'url' | 'credential'> & {
    /** Of a server that is not the forge. */
    readonly foreign: boolean;
    readonly room: MirrorRoom;
    readonly say: (text: string) => void;
  },
): Promise<readonly string[]> {
  const { room, url, credential } = order;
  const plain = { cwd: mirror.dir, env: gitEnvironment(mirror.home), signal: room.signal };
  if ((await runAs(undefined, 'git', ['lfs', 'version'], { ...plain, anyExit: true })).code !== 0) {
    order.say('WARNING: the repository has LFS files, and git-lfs is not installed beside the runner: they stay pointers.');
    return [];
  }
  order.say('Fetching LFS objects…');
  const from = `${url.href.replace(/\/+$/, '')}/info/lfs`;
  const fetch = async (endpoint: string): Promise<void> => {
    const env = fetchEnvironment(mirror.home, credential, room.caFile, lfsSettings(url, endpoint));
    await runAs(undefined, 'git', ['lfs', 'fetch', 'origin', jobRef], {
      cwd: mirror.dir,
      env,
      signal: room.signal,
      onOutput: room.onOutput,
    });
  };
  if (order.foreign) {
    const ca = room.caFile === undefined ? undefined : await readFile(room.caFile, 'utf8');
    await throughRelay({ server: new URL(from), ca, signal: room.signal }, fetch);
  } else await fetch(from);
  const { stdout } = await runAs(undefined, 'git', ['lfs', 'ls-files', '--long', jobRef], { ...plain, collectBytes: 64 * 1024 * 1024 });
  const oids = new Set([...stdout.matchAll(/^([0-9a-f]{64}) /gm)].map((match) => match[1] ?? ''));
  if (oids.size > mostObjects) throw new JobpassError('too_large', `There are more than ${mostObjects} LFS objects.`);
  return [...oids];
}

/** Hands objects to the checkout over a pipe, written by the job's own user, and puts them in the place of their pointers. */
export async function deliverLfsObjects(mirror: Mirror, oids: readonly string[], order: CheckoutOrder): Promise<void> {
  if (oids.length === 0) return;
  const { place, dir, signal, onOutput } = order;
  const objects = `${dir}/.git/lfs/objects`;
  await runAs(place, 'mkdir', ['-p', '--', objects], { cwd: dir });
  await handOver({
    place,
    dir: objects,
    tar: ['-C', `${mirror.dir}/lfs/objects`, '--files-from=-'],
    names: oids.map((oid) => `${oid.slice(0, 2)}/${oid.slice(2, 4)}/${oid}\n`).join(''),
    program: 'tar',
    args: ['-xf', '-'],
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C.UTF-8' },
    signal,
    onOutput,
  });
  const settings = jobGitEnvironment(place, [
    ['filter.lfs.clean', 'git-lfs clean -- %f'],
    ['filter.lfs.smudge', 'git-lfs smudge --skip -- %f'],
    ['filter.lfs.process', 'git-lfs filter-process --skip'],
    ['lfs.url', 'http://127.0.0.1:1/'],
  ]);
  await runAs(place, 'git', ['lfs', 'checkout'], { cwd: dir, env: settings, signal, onOutput });
}
