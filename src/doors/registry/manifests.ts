import { type Digest, parseDigest } from '../../base/digest.ts';
import { JobpassError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import { answer, type Call, OciError, smallBody } from './call.ts';

const json = { 'content-type': 'application/json' };

export async function getManifest({ registry, request, response, grant, place }: Call, reference: string): Promise<void> {
  const found = await registry.manifest(grant, place, reference);
  if (found === undefined)
    throw new JobpassError('not_found', { what: 'Manifest', message: `There is no manifest ${reference} in this repository.` });
  const headers = {
    'content-type': found.mediaType,
    'content-length': found.bytes.length,
    'docker-content-digest': found.digest,
    etag: `"${found.digest}"`,
    'content-security-policy': "default-src 'none'; sandbox",
  };
  response.writeHead(200, headers);
  response.end(request.method === 'HEAD' ? undefined : found.bytes);
}

export async function putManifest({ registry, request, response, grant, place, name }: Call, reference: string): Promise<void> {
  const bytes = await smallBody(request, limits.manifestBytes);
  const { digest, subject } = await registry
    .putManifest(grant, place, reference, request.headers['content-type'] ?? '', bytes)
    .catch((error: unknown) => {
      if (error instanceof JobpassError && error.code === 'not_found' && error.detail.what !== undefined)
        throw new OciError('MANIFEST_BLOB_UNKNOWN', 'not_found', error.message);
      if (
        error instanceof JobpassError &&
        error.code === 'invalid_input' &&
        parseDigest(reference) !== undefined &&
        /digest is/.test(error.message)
      )
        throw new OciError('DIGEST_INVALID', 'invalid_input', error.message);
      throw error;
    });
  answer(response, 201, {
    location: `/v2/${name}/manifests/${digest}`,
    'docker-content-digest': digest,
    ...(subject === undefined ? {} : { 'oci-subject': subject }),
  });
}

export async function deleteManifest({ registry, response, grant, place }: Call, reference: string): Promise<void> {
  if (!(await registry.deleteManifest(grant, place, reference)))
    throw new JobpassError('not_found', { what: 'Manifest', message: `There is no manifest ${reference} in this repository.` });
  answer(response, 202, {});
}

export async function listTags({ registry, response, query, grant, place, name }: Call): Promise<void> {
  const limit = pageOf(query);
  const tags = await registry.tags(grant, place, limit + 1, query.get('last') ?? undefined);
  if (tags === undefined) throw new JobpassError('not_found', {});
  const shown = tags.slice(0, limit);
  const last = shown.at(-1);
  const more = tags.length > limit && last !== undefined;
  const link = `</v2/${name}/tags/list?n=${limit}&last=${encodeURIComponent(last ?? '')}>; rel="next"`;
  answer(response, 200, { ...json, ...(more ? { link } : {}) }, JSON.stringify({ name, tags: shown }));
}

export async function listReferrers({ registry, response, query, grant, place, name }: Call, digest: Digest): Promise<void> {
  const artifactType = query.get('artifactType') ?? undefined;
  const last = parseDigest(query.get('last') ?? '');
  const limit = pageOf(query);
  const { rows: manifests, more } = await registry.referrers(grant, place, digest, {
    limit,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(last === undefined ? {} : { last }),
  });
  const end = manifests.at(-1);
  const search = new URLSearchParams({
    n: String(limit),
    last: end?.digest ?? '',
    ...(artifactType === undefined ? {} : { artifactType }),
  });
  answer(
    response,
    200,
    {
      'content-type': 'application/vnd.oci.image.index.v1+json',
      ...(artifactType === undefined ? {} : { 'oci-filters-applied': 'artifactType' }),
      ...(more && end !== undefined ? { link: `</v2/${name}/referrers/${digest}?${search.toString()}>; rel="next"` } : {}),
    },
    JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests }),
  );
}

/** `n`: how many at most; nobody gets more than the limit. */
function pageOf(query: URLSearchParams): number {
  const text = query.get('n');
  if (text === null) return limits.registryPage;
  if (!/^\d{1,9}$/.test(text)) throw new OciError('PAGINATION_NUMBER_INVALID', 'invalid_input', 'n must be a number.');
  return Math.min(Number(text), limits.registryPage);
}
