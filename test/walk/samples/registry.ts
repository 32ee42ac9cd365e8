import { createHash } from 'node:crypto';
import type { TestServer } from '../../support/server.ts';
import type { Sample, Samples } from '../sample.ts';
import type { Params, Target, World } from '../world.ts';

const R = '/v2/*';
const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const sha256 = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`;

/** Everything that the walk pulls: one layer, which is the configuration too. */
const layer = '{}';
const manifestOf = (note: string): string =>
  JSON.stringify({
    schemaVersion: 2,
    mediaType: manifestType,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256(layer), size: layer.length },
    layers: [],
    annotations: { note },
  });

const asRoot = (server: TestServer) => ({ authorization: `Basic ${Buffer.from(`root:${server.root}`).toString('base64')}` });

async function send(server: TestServer, method: string, path: string, type: string, raw: string): Promise<Headers> {
  const reply = await server.call(method, path, { headers: { ...asRoot(server), 'content-type': type }, raw });
  if (reply.status >= 300) throw new Error(`${method} ${path}: ${reply.status} ${reply.text}`);
  return reply.headers;
}

const pushBlob = (server: TestServer, path: string, text: string): Promise<Headers> =>
  send(server, 'POST', `/v2/${path}/blobs/uploads?digest=${sha256(text)}`, 'application/octet-stream', text);

/** One image, which all samples below pull. */
export async function pushImage(server: TestServer, path: string, tag = 'latest'): Promise<void> {
  await pushBlob(server, path, layer);
  await send(server, 'PUT', `/v2/${path}/manifests/${tag}`, manifestType, manifestOf('the walk'));
}

/** An upload is for who began it. */
const upload: Sample['fresh'] = async ({ server }, target, _person, headers) => {
  const begun = await server.call('POST', `/v2/${target.path}/blobs/uploads`, { headers: { ...headers }, raw: '' });
  return { id: begun.headers.get('docker-upload-uuid') ?? 'none' };
};
const blob = async ({ server, next }: World, target: Target): Promise<Params> => {
  const text = `fresh-${next()}`;
  await pushBlob(server, target.path, text);
  return { digest: sha256(text) };
};
const manifest = async ({ server, next }: World, target: Target): Promise<Params> => {
  const text = manifestOf(`fresh-${next()}`);
  await send(server, 'PUT', `/v2/${target.path}/manifests/${sha256(text)}`, manifestType, text);
  return { reference: sha256(text) };
};

const digest = sha256(layer);
const bytes: Sample['raw'] = { type: 'application/octet-stream', text: layer };
const id = '00000000-0000-4000-8000-000000000000';

/** The container registry, with a repository named as its project. */
export const registry: Samples = {
  'GET /jwt/auth': { query: 'service=container_registry' },
  'GET /v2': {},
  [`GET ${R}/blobs/:digest`]: { params: { digest } },
  [`DELETE ${R}/blobs/:digest`]: { ok: 202, params: { digest }, fresh: blob },
  [`POST ${R}/blobs/uploads`]: { ok: 202, raw: { ...bytes, text: '' } },
  [`GET ${R}/blobs/uploads/:id`]: { ok: 204, params: { id }, fresh: upload },
  [`PATCH ${R}/blobs/uploads/:id`]: { ok: 202, params: { id }, raw: bytes, fresh: upload },
  [`PUT ${R}/blobs/uploads/:id`]: { ok: 201, params: { id }, query: `digest=${digest}`, raw: bytes, fresh: upload },
  [`DELETE ${R}/blobs/uploads/:id`]: { ok: 204, params: { id }, fresh: upload },
  [`GET ${R}/manifests/:reference`]: { params: { reference: 'latest' } },
  [`PUT ${R}/manifests/:reference`]: { ok: 201, params: { reference: 'pushed' }, raw: { type: manifestType, text: manifestOf('pushed') } },
  [`DELETE ${R}/manifests/:reference`]: { ok: 202, params: { reference: digest }, fresh: manifest },
  [`GET ${R}/tags/list`]: {},
  [`GET ${R}/referrers/:digest`]: { params: { digest } },
};
