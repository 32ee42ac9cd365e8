import { readdir, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Digest } from '../../../src/base/digest.ts';
import { isJobpassError } from '../../../src/base/errors.ts';
import { millis } from '../../../src/base/ids.ts';
import { limits } from '../../../src/base/limits.ts';
import { collect } from '../../../src/forge/embedded/oci/collect.ts';
import type { ImagePlace } from '../../../src/forge/registry.ts';
import { missingEngine, postgresEngine, sqliteEngine, type TestEngine } from '../../conformance/store/engine.ts';
import { bytesOf, digestOf, grantFor, place, project, putBlob, startImages, type TestImages } from './images.ts';

const postgres = await postgresEngine();
collectionCases(await sqliteEngine(), false);
collectionCases(postgres ?? missingEngine, postgres === undefined);

function collectionCases(engine: TestEngine, missing: boolean): void {
  describe.skipIf(missing)(`collection on ${engine.name}`, () => {
    let images: TestImages;
    beforeAll(async () => {
      images = await startImages(await engine.fresh());
    });
    afterAll(async () => {
      await images.close();
      await engine.stop();
    });
    const later = (ms: number): void => void (images.clock.now = millis(Date.now() + ms));
    const path = (digest: Digest): string => join(images.folder, 'images', 'sha256', digest.slice(7, 9), digest.slice(7));

    test('content that no repository links goes when it is old; what one links stays', async () => {
      const [kept, gone] = [await putBlob(images.forge, 'kept'), await putBlob(images.forge, 'gone')];
      await putBlob(images.forge, 'kept', { projectId: project, name: 'other' });
      await images.forge.deleteBlob(grantFor(), { projectId: project, name: 'other' }, kept);
      await images.forge.deleteBlob(grantFor(), place, gone);
      later(0);
      expect(await collect(images.deps)).toEqual({ uploads: 0, blobs: 0 });
      later(limits.unlinkedContentMs + 60_000);
      expect(await collect(images.deps)).toEqual({ uploads: 0, blobs: 1 });
      expect(images.deps.content.holds(gone)).toBe(false);
      expect((await bytesOf((await images.forge.readBlob(grantFor(), place, kept)).body)).toString()).toBe('kept');
      expect(await readdir(join(images.folder, 'images', 'trash'))).toEqual([]);
    });

    test('an upload that nobody goes on with goes', async () => {
      later(limits.uploadIdleMs - 60_000);
      const { id } = await images.forge.startUpload(grantFor(), place);
      expect(await collect(images.deps)).toEqual({ uploads: 0, blobs: 0 });
      later(limits.uploadIdleMs + 60_000);
      expect(await collect(images.deps)).toEqual({ uploads: 1, blobs: 0 });
      expect(await images.forge.upload(grantFor(), place, id)).toBeUndefined();
    });

    test('a link that comes between the question and the lock keeps its bytes', async () => {
      const text = 'pushed again just now';
      const digest = await putBlob(images.forge, text);
      await images.forge.deleteBlob(grantFor(), place, digest);
      later(limits.unlinkedContentMs * 24);
      const { images: rows } = images.deps;
      const linked: typeof rows.linked = async (tx, digests) => {
        const found = await rows.linked(tx, digests);
        if (tx === null) await putBlob(images.forge, text);
        return found;
      };
      expect(await collect({ ...images.deps, images: { ...rows, linked } })).toEqual({ uploads: 0, blobs: 0 });
      expect((await bytesOf((await images.forge.readBlob(grantFor(), place, digest)).body)).toString()).toBe(text);
    });

    test('a link to bytes that were just collected is not made', async () => {
      const digest = await putBlob(images.forge, 'mounted too late');
      images.deps.content.retire(digest);
      const late = images.forge.mountBlob(grantFor(), { projectId: project, name: 'late' }, place, digest);
      await expect(late).rejects.toSatisfy((error) => isJobpassError(error, 'store_unavailable'));
      expect(await images.forge.blob(grantFor(), { projectId: project, name: 'late' }, digest)).toBeUndefined();
      await images.forge.deleteBlob(grantFor(), place, digest);
    });

    test('whatever happens side by side with collection, no repository links bytes that are not there', async () => {
      // Everything counts as old, so that only the lock protects what is on its way.
      later(limits.unlinkedContentMs * 24);
      const texts = ['a', 'b', 'c'];
      const places: ImagePlace[] = ['x', 'y', 'z'].map((name) => ({ projectId: project, name }));
      const step = fc.record({
        what: fc.constantFrom('push', 'push', 'mount', 'delete', 'collect'),
        text: fc.constantFrom(...texts),
        at: fc.constantFrom(...places),
        from: fc.constantFrom(...places),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(fc.array(step, { minLength: 2, maxLength: 8 }), { maxLength: 4 }), async (rounds) => {
          for (const round of rounds) {
            await Promise.all(
              round.map(async ({ what, text, at, from }) => {
                const digest = digestOf(text);
                try {
                  if (what === 'push') await images.forge.putBlob(grantFor(), at, digest, Readable.from([Buffer.from(text)]));
                  else if (what === 'mount') await images.forge.mountBlob(grantFor(), at, from, digest);
                  else if (what === 'delete') await images.forge.deleteBlob(grantFor(), at, digest);
                  else await collect(images.deps);
                } catch (error) {
                  // The one answer that this may give: the bytes went before the link came; nothing was linked.
                  expect(isJobpassError(error, 'store_unavailable')).toBe(true);
                }
              }),
            );
            for (const text of texts)
              for (const at of places)
                if ((await images.forge.blob(grantFor(), at, digestOf(text))) !== undefined)
                  expect((await bytesOf((await images.forge.readBlob(grantFor(), at, digestOf(text))).body)).toString()).toBe(text);
          }
        }),
        { numRuns: 60 },
      );
      // A database whose every commit waits for its disk takes ten times as long as the other.
    }, 300_000);

    test('content that is pushed again is young again', async () => {
      const digest = await putBlob(images.forge, 'again');
      await images.forge.deleteBlob(grantFor(), place, digest);
      const old = new Date(Date.now() - 2 * limits.unlinkedContentMs);
      await utimes(path(digest), old, old);
      const { content } = images.deps;
      const id = await content.begin('7');
      await content.append('7', id, 0, Readable.from([Buffer.from('again')]), 100);
      await content.finish('7', id, digest);
      later(0);
      // Finished, and its row not yet there: it is not taken away.
      expect(await collect(images.deps)).toEqual({ uploads: 0, blobs: 0 });
      expect(images.deps.content.holds(digest)).toBe(true);
    });
  });
}
