import { type Digest, parseDigest } from '../../base/digest.ts';
import { JobpassError } from '../../base/errors.ts';
import { rangeOf } from '../range.ts';
import { answer, type Call, OciError } from './call.ts';

/** Never shown as a page: a blob is what somebody pushed (A16). */
const asBytes = { 'content-type': 'application/octet-stream', 'content-security-policy': "default-src 'none'; sandbox" };

export async function getBlob(call: Call, digest: Digest): Promise<void> {
  const { registry, request, response, grant, place } = call;
  const known = await registry.blob(grant, place, digest);
  if (known === undefined) throw new JobpassError('not_found', { what: 'Blob', message: 'The blob is not in this repository.' });
  const facts = { ...asBytes, 'docker-content-digest': digest, etag: `"${digest}"`, 'accept-ranges': 'bytes' };
  if (request.method === 'HEAD') {
    response.writeHead(200, { ...facts, 'content-length': known.sizeBytes });
    response.end();
    return;
  }
  const range = rangeOf(request.headers.range, known.sizeBytes);
  if (range === 'unsatisfiable') return answer(response, 416, { 'content-range': `bytes */${known.sizeBytes}` });
  const { body } = await registry.readBlob(grant, place, digest, range);
  if (range === undefined) response.writeHead(200, { ...facts, 'content-length': known.sizeBytes });
  else
    response.writeHead(206, {
      ...facts,
      'content-length': range.last - range.first + 1,
      'content-range': `bytes ${range.first}-${range.last}/${known.sizeBytes}`,
    });
  // Who hangs up has what it wanted.
  await body.sendTo(response);
}

export async function deleteBlob({ registry, response, grant, place }: Call, digest: Digest): Promise<void> {
  const deleted = await registry.deleteBlob(grant, place, digest).catch((error: unknown) => {
    // The specification has no answer of its own for a blob that is in use: it may not be deleted.
    if (error instanceof JobpassError && error.code === 'conflict') throw new OciError('UNSUPPORTED', 'unsupported', error.message);
    throw error;
  });
  if (!deleted) throw new JobpassError('not_found', { what: 'Blob', message: 'The blob is not in this repository.' });
  answer(response, 202, { 'docker-content-digest': digest });
}

/** @param from the mount's source, already admitted for reading; undefined = none, or not allowed: an upload is begun instead (A13) */
export async function postUpload(call: Call, from: Call['place'] | undefined): Promise<void> {
  const { registry, request, response, query, grant, place, name } = call;
  const mount = query.has('mount') ? digestOf(query.get('mount')) : undefined;
  if (mount !== undefined && from !== undefined && (await registry.mountBlob(grant, place, from, mount))) return created(call, mount);
  if (query.has('digest') && mount === undefined) {
    const digest = digestOf(query.get('digest'));
    await wrongDigest(() => registry.putBlob(grant, place, digest, request));
    return created(call, digest);
  }
  const { id } = await registry.startUpload(grant, place);
  answer(response, 202, { location: `/v2/${name}/blobs/uploads/${id}`, 'docker-upload-uuid': id, range: '0-0' });
}

export async function patchUpload(call: Call, id: string): Promise<void> {
  const { registry, request, response, grant, place, name } = call;
  const offset = chunkOffset(request.headers['content-range'], request.headers['content-length']);
  const { sizeBytes } = await registry.appendUpload(grant, place, id, offset, request);
  answer(response, 202, uploadHeaders(name, id, sizeBytes));
}

export async function putUpload(call: Call, id: string): Promise<void> {
  const { registry, request, query, grant, place } = call;
  const digest = digestOf(query.get('digest'));
  const offset = chunkOffset(request.headers['content-range'], request.headers['content-length']);
  const empty = request.headers['content-length'] === '0';
  await wrongDigest(() => registry.finishUpload(grant, place, id, digest, empty ? undefined : { body: request, offset }));
  created(call, digest);
}

export async function getUpload({ registry, response, grant, place, name }: Call, id: string): Promise<void> {
  const found = await registry.upload(grant, place, id);
  if (found === undefined) throw unknownUpload();
  answer(response, 204, uploadHeaders(name, id, found.sizeBytes));
}

export async function deleteUpload({ registry, response, grant, place }: Call, id: string): Promise<void> {
  if (!(await registry.cancelUpload(grant, place, id))) throw unknownUpload();
  answer(response, 204, {});
}

function created({ response, name }: Call, digest: Digest): void {
  answer(response, 201, { location: `/v2/${name}/blobs/${digest}`, 'docker-content-digest': digest });
}

/** `Range` names the last byte that is there; with none it reads `0-0`, as clients of docker's registry expect. */
export function uploadHeaders(name: string, id: string, sizeBytes: number): Readonly<Record<string, string>> {
  return { location: `/v2/${name}/blobs/uploads/${id}`, 'docker-upload-uuid': id, range: `0-${Math.max(0, sizeBytes - 1)}` };
}

/**
 * Where a chunk starts: `Content-Range: <first>-<last>`, without unit (specification: "Pushing a blob in chunks").
 * @returns undefined where the client left it out. @throws range_mismatch for one that cannot be
 */
export function chunkOffset(header: string | undefined, length: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const match = /^(\d{1,15})-(\d{1,15})$/.exec(header);
  const [first, last] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || last < first || (length !== undefined && Number(length) !== last - first + 1))
    throw new OciError('BLOB_UPLOAD_INVALID', 'range_mismatch', 'Content-Range is `<first>-<last>`, and the body has just these bytes.');
  return first;
}

function digestOf(text: string | null): Digest {
  const digest = parseDigest(text ?? '');
  if (digest === undefined)
    throw new OciError('DIGEST_INVALID', 'invalid_input', 'The digest must be `sha256:` or `sha512:` and lower-case hex digits.');
  return digest;
}

/** What the forge calls invalid input is here always the digest. */
async function wrongDigest(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (error instanceof JobpassError && error.code === 'invalid_input')
      throw new OciError('DIGEST_INVALID', 'invalid_input', error.message);
    throw error;
  }
}

function unknownUpload(): JobpassError {
  return new JobpassError('not_found', { what: 'Upload', message: 'There is no such upload.' });
}
