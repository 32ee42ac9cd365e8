import type { Digest } from '../../../base/digest.ts';
import type { RepositoryId } from '../../../base/ids.ts';
import { limits } from '../../../base/limits.ts';
import { UploadSearch } from '../../../base/upload-search.ts';
import type { ContentStore } from '../../../ports/content.ts';
import type { ImageStore } from '../ports.ts';

/** Blobs that were searched by this process: what is in one never changes. */
const remembered = 10_000;
/** One with more than so many candidates, which no honest one has, is looked at each time. */
const mostRemembered = 20;

export type ImageSearch = (
  repository: RepositoryId | undefined,
  manifest: Buffer,
  blobs: readonly Digest[],
) => Promise<ReadonlySet<string>>;

/**
 * What looks like a pass in a manifest and in the blobs that it names (R12): a configuration keeps the variables and arguments of the build, and layers have
 * files. Of a blob the first `limits.searchedBlobBytes` are looked at, and of one manifest so many new blobs as `limits.searchedImageBytes` has room for.
 * Only blobs that this repository holds are read, so that nobody learns of others (A13).
 */
export function makeImageSearch({ images, content }: { readonly images: ImageStore; readonly content: ContentStore }): ImageSearch {
  const known = new Map<Digest, readonly string[]>();
  const look = async (bytes: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<readonly string[]> => {
    const search = new UploadSearch(limits.searchedLayerBytes);
    await search.read(bytes);
    return [...search.found];
  };
  const remember = (digest: Digest, found: readonly string[]): void => {
    const [oldest] = known.keys();
    if (known.size >= remembered && oldest !== undefined) known.delete(oldest);
    known.set(digest, found);
  };

  return async (repository, manifest, blobs) => {
    const found = new Set(await look([manifest]));
    if (repository === undefined) return found;
    let left: number = limits.searchedImageBytes;
    for (const digest of new Set(blobs)) {
      const held = await images.blob(null, repository, digest);
      if (held === undefined || !content.holds(digest)) continue;
      let passes = known.get(digest);
      const cost = Math.min(held.sizeBytes, limits.searchedBlobBytes);
      if (passes === undefined && cost <= left) {
        left -= cost;
        passes = await look(upTo((await content.read(digest)).body, limits.searchedBlobBytes));
        if (passes.length <= mostRemembered) remember(digest, passes);
      }
      for (const pass of passes ?? []) found.add(pass);
    }
    return found;
  };
}

async function* upTo(body: AsyncIterable<Buffer>, mostBytes: number): AsyncGenerator<Buffer> {
  let left = mostBytes;
  for await (const bytes of body) {
    yield bytes.subarray(0, left);
    left -= bytes.length;
    if (left <= 0) return;
  }
}
