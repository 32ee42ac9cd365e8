import { JobpassError } from '../../base/errors.ts';
import type { BuildPlace } from '../executors/executor.ts';
import { removeAs, runAs } from '../run-as.ts';
import { attributesOf } from './attributes.ts';
import { deliver, jobGitEnvironment } from './checkout.ts';
import type { GitCredential } from './environment.ts';
import { maxSubmodules, type Submodule, submodulesOf } from './gitmodules.ts';
import { deliverLfsObjects, fetchLfsObjects } from './lfs.ts';
import { type FetchOrder, type Mirror, type MirrorRoom, withMirror } from './mirror.ts';
import type { SubmoduleFilter } from './paths.ts';
import { pinned } from './reach.ts';
import { forceHttps, submoduleUrl } from './urls.ts';

export interface SourcesOrder {
  readonly room: MirrorRoom;
  readonly place: BuildPlace;
  /** Without userinfo. */
  readonly url: URL;
  readonly sha: string;
  readonly ref: string;
  readonly refspecs: readonly string[];
  readonly depth: number;
  readonly credential: GitCredential | undefined;
  readonly strategy: 'fetch' | 'clone';
  readonly submodules: 'none' | 'normal' | 'recursive';
  readonly submoduleDepth: number;
  /** Which of the top level's (GIT_SUBMODULE_PATHS); those below come with theirs. */
  readonly wanted: SubmoduleFilter;
  /** Rewrites ssh addresses of this host to `httpBase`. */
  readonly force: { readonly sshHost: string; readonly httpBase: string } | undefined;
  /** Flags of `git clean` for a kept work tree; empty = none. */
  readonly cleanFlags: readonly string[];
  /** GIT_CHECKOUT=false leaves the kept work tree as it is. */
  readonly checkout: boolean;
  /** Large files as well; false = they stay pointers (GIT_LFS_SKIP_SMUDGE). */
  readonly lfs: boolean;
  /** A line for the trace. */
  readonly say: (text: string) => void;
}

const maxDepth = 10;

/** Brings a job's sources to its build folder: fetched by the runner, checked out by the job's user. @throws invalid_input, upstream_failed */
export async function getSources(order: SourcesOrder): Promise<void> {
  const { room, place, say } = order;
  say(`Fetching ${order.url.href} into the runner's mirror…`);
  const { url, sha, refspecs, depth, credential } = order;
  const submodules = await withMirror(room, { url, sha, refspecs, depth, credential }, async (mirror) => {
    if (order.strategy === 'clone') await removeAs(place, place.buildDir);
    if (!order.checkout) {
      await runAs(place, 'mkdir', ['-p', '--', place.buildDir], { cwd: place.slotDir });
      return say('Skipping the checkout (GIT_CHECKOUT).');
    }
    say(`Checking out ${mirror.sha.slice(0, 8)} as detached HEAD (ref is ${order.ref})…`);
    await checkOut(order, mirror, place.buildDir, { url, credential, foreign: false });
    return order.submodules === 'none' ? say('Skipping Git submodules setup') : submodulesOf(mirror);
  });
  if (submodules !== undefined) await fetchSubmodules(order, submodules, url, place.buildDir, 1, { left: maxSubmodules });
}

async function checkOut(
  order: SourcesOrder,
  mirror: Mirror,
  dir: string,
  from: Pick<FetchOrder, 'url' | 'credential'> & { readonly foreign: boolean },
): Promise<void> {
  const { place, room, say } = order;
  const attributes = await attributesOf(mirror);
  const cleanFlags = order.strategy === 'clone' ? [] : order.cleanFlags;
  const checkout = { place, dir, url: from.url, cleanFlags, attributes: attributes.key, signal: room.signal, onOutput: room.onOutput };
  await deliver(mirror, checkout);
  if (order.lfs && attributes.lfs) await deliverLfsObjects(mirror, await fetchLfsObjects(mirror, { ...from, room, say }), checkout);
}

async function fetchSubmodules(
  order: SourcesOrder,
  found: readonly Submodule[],
  parentUrl: URL,
  dir: string,
  level: number,
  budget: { left: number },
): Promise<void> {
  const submodules = found.filter(({ path }) => level > 1 || order.wanted(path));
  if (submodules.length === 0) return;
  if (level > maxDepth) throw new JobpassError('too_large', `Submodules are nested more than ${maxDepth} deep.`);
  for (const submodule of submodules) {
    budget.left -= 1;
    if (budget.left < 0) throw new JobpassError('too_large', `There are more than ${maxSubmodules} submodules.`);
    await fetchSubmodule(order, submodule, parentUrl, dir, level, budget);
  }
  const { place, room } = order;
  const env = jobGitEnvironment(place);
  // Writes the real addresses to .git/config and moves the repositories to where git expects them; touches no network.
  const paths = submodules.map(({ path }) => path);
  await runAs(place, 'git', ['--literal-pathspecs', 'submodule', '--quiet', 'init', '--', ...paths], {
    cwd: dir,
    env,
    signal: room.signal,
    onOutput: room.onOutput,
  });
  if (level === 1) await runAs(place, 'git', ['submodule', '--quiet', 'absorbgitdirs'], { cwd: dir, env, signal: room.signal });
}

async function fetchSubmodule(
  order: SourcesOrder,
  submodule: Submodule,
  parentUrl: URL,
  dir: string,
  level: number,
  budget: { left: number },
): Promise<void> {
  const { room, force } = order;
  const text = force === undefined ? submodule.url : forceHttps(submodule.url, force.sshHost, force.httpBase);
  const url = submoduleUrl(parentUrl, text);
  if (url === undefined)
    throw new JobpassError(
      'invalid_input',
      `The submodule at ${submodule.path} has no plain http(s) address; see GIT_SUBMODULE_FORCE_HTTPS.`,
    );
  order.say(`Submodule ${submodule.path}: ${url.href} at ${submodule.sha.slice(0, 8)}`);
  // Anywhere but at the forge's own addresses it is fetched without any credential (A19, A51).
  const credential = order.credential?.origins.includes(url.origin) === true ? order.credential : undefined;
  const known = credential !== undefined || url.origin === order.url.origin;
  const address = known ? undefined : await pinned(url);
  const path = `${dir}/${submodule.path}`;
  const below = await withMirror(
    room,
    { url, address, sha: submodule.sha, refspecs: [], depth: order.submoduleDepth, credential },
    async (mirror) => {
      await checkOut(order, mirror, path, { url, credential, foreign: !known });
      return order.submodules === 'recursive' ? submodulesOf(mirror) : [];
    },
  );
  await fetchSubmodules(order, below, url, path, level + 1, budget);
}
