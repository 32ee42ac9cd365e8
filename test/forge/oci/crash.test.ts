import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { type Digest, parseDigest } from '../../../src/base/digest.ts';
import { millis } from '../../../src/base/ids.ts';
import { limits } from '../../../src/base/limits.ts';
import { collect } from '../../../src/forge/embedded/oci/collect.ts';
import { bytesOf, digestOf, grantFor, openImages, place } from './images.ts';

const child = fileURLToPath(new URL('crash-child.ts', import.meta.url));
/** Each is a process of its own: 200 take most of a minute, so that an ordinary run has fewer. `.ci/run` asks for all of them. */
const lives = Number(process.env['JOBPASS_TEST_CRASHES'] ?? 24);
const sideBySide = 3;
/** What a life says before it dies, spread from its first word to full swing. */
const words = (life: number): number => 1 + ((life * 37) % 31);
const keep = { ...place, name: 'keep' };
const shared = { ...place, name: 'shared' };

interface Acknowledged {
  readonly blobs: Map<string, number>;
  /** Blobs that another repository was given. */
  readonly mounted: Map<string, number>;
  readonly tags: Map<string, string>;
  /** Manifests, and the one that each refers to. */
  readonly referrers: Map<string, string>;
  /** Tags, manifests and blobs that were taken away. */
  readonly untagged: Set<string>;
  readonly gone: Set<string>;
  /** Uploads that are open, and how far the client was told that they are. */
  readonly uploads: Map<string, number>;
  readonly problems: string[];
}

const nothingYet = (): Acknowledged => ({
  blobs: new Map(),
  mounted: new Map(),
  tags: new Map(),
  referrers: new Map(),
  untagged: new Set(),
  gone: new Set(),
  uploads: new Map(),
  problems: [],
});

/** Pushes until `lines` things were acknowledged, then dies. */
async function liveAndDie(folder: string, life: number, lines: number, told: Acknowledged): Promise<void> {
  const [resume] = told.uploads;
  const work = spawn(process.execPath, [child, folder, String(life), resume === undefined ? '' : resume.join(':')], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_COMPILE_CACHE: join(folder, '..', 'compiled') },
  });
  const gone = once(work, 'close');
  let said = '';
  work.stderr.on('data', (text: Buffer) => (said += text.toString()));
  let left = lines;
  for await (const line of createInterface({ input: work.stdout })) {
    left -= 1;
    if (left === 0) work.kill('SIGKILL');
    const [what, name = '', value = ''] = line.split(' ');
    if (what === 'blob') told.blobs.set(name, Number(value));
    else if (what === 'mounted') told.mounted.set(name, Number(value));
    else if (what === 'tag') told.tags.set(name, value);
    else if (what === 'referrer') told.referrers.set(name, value);
    else if (what === 'untagged' || what === 'unlisted') told.untagged.add(name);
    else if (what === 'gone') told.gone.add(name);
    else if (what === 'upload') told.uploads.set(name, Number(value));
    else if (what === 'finishing') told.uploads.delete(name);
    else if (what !== 'ready') told.problems.push(line);
  }
  const [, signal] = await gone;
  if (signal !== 'SIGKILL') told.problems.push(`life ${life} ended by itself: ${said}`);
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

test('a SIGKILL at any moment leaves every acknowledged push whole, and no half one', { timeout: 1_800_000 }, async () => {
  const top = await mkdtemp(join(tmpdir(), 'jobpass-test-crash-'));
  try {
    const columns = await Promise.allSettled(
      Array.from({ length: sideBySide }, async (_, column) => {
        const folder = join(top, String(column));
        const told = nothingYet();
        for (let life = column; life < lives; life += sideBySide) await liveAndDie(folder, life, words(life), told);
        await verify(folder, told);
      }),
    );
    for (const column of columns) if (column.status === 'rejected') throw column.reason;
  } finally {
    await rm(top, { recursive: true, force: true });
  }
});

function digestNamed(name: string): Digest {
  const digest = parseDigest(name);
  if (digest === undefined) throw new Error(`no digest: ${name}`);
  return digest;
}

async function verify(folder: string, told: Acknowledged): Promise<void> {
  expect(told.problems).toEqual([]);
  const images = await openImages(folder);
  const { forge } = images;
  for (const [where, blobs] of [
    [keep, told.blobs],
    [shared, told.mounted],
  ] as const)
    for (const [name, sizeBytes] of blobs) {
      const found = await forge.readBlob(grantFor(), where, digestNamed(name));
      expect(found.sizeBytes).toBe(sizeBytes);
      expect(digestOf(await bytesOf(found.body))).toBe(name);
    }
  for (const [tag, digest] of told.tags) {
    const manifest = await forge.manifest(grantFor(), keep, tag);
    expect(manifest?.digest).toBe(digest);
    expect(digestOf(manifest?.bytes ?? '')).toBe(digest);
  }
  for (const [referrer, subject] of told.referrers) {
    const { rows: found } = await forge.referrers(grantFor(), keep, digestNamed(subject), { limit: 10 });
    expect(found.map(({ digest }) => digest)).toContain(referrer);
  }
  for (const reference of told.untagged) expect(await forge.manifest(grantFor(), keep, reference)).toBeUndefined();
  for (const name of told.gone) expect(await forge.blob(grantFor(), keep, digestNamed(name))).toBeUndefined();
  for (const [id, sizeBytes] of told.uploads)
    expect((await forge.upload(grantFor(), keep, id))?.sizeBytes ?? -1).toBeGreaterThanOrEqual(sizeBytes);
  images.clock.now = millis(Date.now() + limits.uploadIdleMs + 3600_000);
  await collect(images.deps);
  const files = join(folder, 'images');
  expect(await readdir(join(files, 'uploads'))).toEqual([]);
  expect(await readdir(join(files, 'trash'))).toEqual([]);
  for (const path of await readdir(join(files, 'sha256'), { recursive: true }))
    if (path.includes('/')) expect(await hashOf(join(files, 'sha256', path))).toBe(path.split('/')[1]);
  await images.close();
}
