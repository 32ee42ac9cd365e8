// A registry that is pushed to until somebody kills it. Prints one line for each thing that was acknowledged.
import { flushCompileCache } from 'node:module';
import { Readable } from 'node:stream';
import type { Digest } from '../../../src/base/digest.ts';
import { isJobpassError } from '../../../src/base/errors.ts';
import { millis } from '../../../src/base/ids.ts';
import { collect } from '../../../src/forge/embedded/oci/collect.ts';
import type { ImagePlace } from '../../../src/forge/registry.ts';
import { digestOf, grantFor, imageManifest, imageType, indexType, openImages, project } from './images.ts';

const [folder = '', life = '', resume = ''] = process.argv.slice(2);
const images = await openImages(folder);
const { forge } = images;
const say = (...words: readonly (string | number)[]): void => void process.stdout.write(`${words.join(' ')}\n`);
const keep: ImagePlace = { projectId: project, name: 'keep' };
const shared: ImagePlace = { projectId: project, name: 'shared' };
const churn: ImagePlace = { projectId: project, name: 'churn' };
const parts = 8;

/** Between 40 bytes and 400 KB that are like no others. */
function bytesOf(worker: number, turn: number): Buffer {
  const seed = Number(life) * 31_337 + worker * 7919 + turn * 104_729;
  return Buffer.alloc(40 + (seed % (seed % 4 === 0 ? 400_000 : 40_000)), `${life}/${worker}/${turn};`);
}

/** In pieces, with turns of the loop between them. */
async function* slowly(bytes: Buffer): AsyncGenerator<Buffer> {
  const size = Math.ceil(bytes.length / parts);
  for (let at = 0; at < bytes.length; at += size) {
    yield bytes.subarray(at, at + size);
    await new Promise(setImmediate);
  }
}

async function blob(bytes: Buffer): Promise<Digest> {
  const digest = digestOf(bytes);
  await forge.putBlob(grantFor(), keep, digest, Readable.from(slowly(bytes)));
  say('blob', digest, bytes.length);
  return digest;
}

async function chunked(bytes: Buffer): Promise<void> {
  const { id } = await forge.startUpload(grantFor(), keep);
  let offset = 0;
  for await (const piece of slowly(bytes)) {
    ({ sizeBytes: offset } = await forge.appendUpload(grantFor(), keep, id, offset, Readable.from([piece])));
    say('upload', id, offset);
  }
  // From here on it may be gone: its client pushes again.
  say('finishing', id);
  await forge.finishUpload(grantFor(), keep, id, digestOf(bytes));
  say('blob', digestOf(bytes), bytes.length);
}

/** A manifest, and an index and a referrer of it: each is there once it was said to be. */
async function image(bytes: Buffer, tag: string): Promise<void> {
  const manifest = imageManifest(await blob(bytes), []);
  await forge.putManifest(grantFor(), keep, tag, imageType, manifest);
  say('tag', tag, digestOf(manifest));
  const part = { mediaType: imageType, digest: digestOf(manifest), size: manifest.length };
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: [part] }));
  await forge.putManifest(grantFor(), keep, `${tag}-all`, indexType, index);
  say('tag', `${tag}-all`, digestOf(index));
  const referrer = imageManifest(digestOf(bytes), [], { subject: part });
  await forge.putManifest(grantFor(), keep, digestOf(referrer), imageType, referrer);
  say('referrer', digestOf(referrer), digestOf(manifest));
}

async function mounted(bytes: Buffer): Promise<void> {
  const digest = await blob(bytes);
  if (!(await forge.mountBlob(grantFor(), shared, keep, digest))) throw new Error('not mounted');
  say('mounted', digest, bytes.length);
}

/** A tag, its manifest and its blob that are taken away again, one after the other. */
async function takenAway(bytes: Buffer, turn: string): Promise<void> {
  const tag = `away-${turn}`;
  const digest = digestOf(bytes);
  await forge.putBlob(grantFor(), keep, digest, Readable.from([bytes]));
  const manifest = imageManifest(digest, []);
  await forge.putManifest(grantFor(), keep, tag, imageType, manifest);
  await forge.deleteManifest(grantFor(), keep, tag);
  say('untagged', tag);
  await forge.deleteManifest(grantFor(), keep, digestOf(manifest));
  say('unlisted', digestOf(manifest));
  await forge.deleteBlob(grantFor(), keep, digest);
  say('gone', digest);
}

/** Pushed, shared, taken away and collected while everything else goes on. */
async function comeAndGo(bytes: Buffer): Promise<void> {
  const digest = digestOf(bytes);
  await forge.putBlob(grantFor(), churn, digest, Readable.from([bytes]));
  await forge.mountBlob(grantFor(), { projectId: project, name: 'other' }, churn, digest);
  await forge.deleteBlob(grantFor(), churn, digest);
  await forge.deleteBlob(grantFor(), { projectId: project, name: 'other' }, digest);
  // Content counts as old at once; uploads do not.
  await collect({ ...images.deps, clock: { ...images.deps.clock, now: () => millis(Date.now() + 2 * 3600_000) } });
}

/** What an earlier life left: goes on where that one was told it stood, or further. */
async function goOn(id: string, told: number): Promise<void> {
  const found = await forge.upload(grantFor(), keep, id);
  if (found === undefined || found.sizeBytes < told) return say('lost', id, told, found?.sizeBytes ?? 'gone');
  const { sizeBytes } = await forge.appendUpload(grantFor(), keep, id, found.sizeBytes, Readable.from([Buffer.from(`end of ${life}`)]));
  say('upload', id, sizeBytes);
}

// Who is killed leaves no compiled code behind, unless it did so at once: the lives after the first start in half the time.
if (life === '0') flushCompileCache();
if (resume !== '') {
  const [id = '', told = ''] = resume.split(':');
  await goOn(id, Number(told));
}
say('ready');
await Promise.all(
  [blob, chunked, image, mounted, takenAway, comeAndGo].map(async (work, worker) => {
    for (let turn = 0; ; turn += 1) {
      try {
        await work(bytesOf(worker, turn), `${life}-${turn}`);
      } catch (error) {
        // Collection may win a race against content that counts as old at once: then nothing was acknowledged.
        if (!isJobpassError(error, 'store_unavailable')) say('failed', worker, String(error));
      }
    }
  }),
);
