import type { Digest } from '../../../base/digest.ts';
import type { RepositoryId } from '../../../base/ids.ts';
import { limits } from '../../../base/limits.ts';
import { UploadSearch } from '../../../base/upload-search.ts';
import type { ContentStore } from '../../../ports/content.ts';
import type { ImageStore } from '../ports.ts';

/**
 * What looks like a pass in a manifest and in the small blobs that it names (R12): a configuration keeps the variables and arguments of the build,
 * and a layer of a few files is small. Only blobs that this repository holds are read, so that nobody learns of others (A13).
 */
export async function passesInImage(
  { images, content }: { readonly images: ImageStore; readonly content: ContentStore },
  repository: RepositoryId | undefined,
  manifest: Buffer,
  blobs: readonly Digest[],
): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  const look = async (bytes: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<void> => {
    const search = new UploadSearch(limits.searchedLayerBytes);
    await search.read(bytes);
    for (const pass of search.found) found.add(pass);
  };
  await look([manifest]);
  if (repository === undefined) return found;
  let left: number = limits.searchedImageBytes;
  for (const digest of new Set(blobs)) {
    const held = await images.blob(null, repository, digest);
    if (held === undefined || held.sizeBytes > left || !content.holds(digest)) continue;
    left -= held.sizeBytes;
    await look((await content.read(digest)).body);
  }
  return found;
}
