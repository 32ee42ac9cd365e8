import { execFile } from 'node:child_process';
import { createHash, hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { request } from 'undici';
import { type Digest, digestFrom } from '../../../base/digest.ts';
import { JobpassError } from '../../../base/errors.ts';
import type { Secret } from '../../../base/secret.ts';

const run = promisify(execFile);

export interface PushedImage {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** Packs a file system as an image of one layer, always the same for the same files, and pushes it. No engine and no login is part of it. */
export async function pushImage(
  registry: { readonly url: string; readonly name: string; readonly tag: string; readonly user: string; readonly token: Secret },
  root: string,
): Promise<PushedImage> {
  const layer = `${root}.tar`;
  await run('tar', ['-C', root, '--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '-cf', layer, '.']);
  try {
    const { size } = await stat(layer);
    const sum = createHash('sha256');
    for await (const chunk of createReadStream(layer, { highWaterMark: 1024 * 1024 })) sum.update(chunk as Buffer);
    const diff = digestFrom('sha256', sum.digest('hex'));
    const config = Buffer.from(
      JSON.stringify({
        architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
        os: 'linux',
        config: { Env: ['PATH=/usr/bin:/bin', 'HOME=/root', 'LANG=C.UTF-8'], WorkingDir: '/' },
        rootfs: { type: 'layers', diff_ids: [diff] },
        history: [{ created_by: 'jobpass demo' }],
      }),
    );
    const client = await login(registry);
    await putBlob(client, diff, size, createReadStream(layer, { highWaterMark: 1024 * 1024 }));
    await putBlob(client, digestOf(config), config.length, config);
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf(config), size: config.length },
        layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: diff, size }],
      }),
    );
    await put(`${client.base}/manifests/${registry.tag}`, client, 'application/vnd.oci.image.manifest.v1+json', manifest.length, manifest);
    return { digest: digestOf(manifest), sizeBytes: size };
  } finally {
    await rm(layer, { force: true });
  }
}

interface Client {
  /** Of the repository. */
  readonly base: string;
  readonly authorization: string;
}

async function login(registry: Parameters<typeof pushImage>[0]): Promise<Client> {
  const basic = Buffer.from(`${registry.user}:${registry.token.reveal()}`).toString('base64');
  const query = new URLSearchParams({ service: 'container_registry', scope: `repository:${registry.name}:pull,push` });
  const answer = await request(`${registry.url}/jwt/auth?${query.toString()}`, { headers: { authorization: `Basic ${basic}` } });
  const body: unknown = await answer.body.json();
  const token = typeof body === 'object' && body !== null && 'token' in body ? String(body.token) : '';
  return { base: `${registry.url}/v2/${registry.name}`, authorization: `Bearer ${token}` };
}

async function putBlob(
  client: Client,
  digest: Digest,
  sizeBytes: number,
  body: Buffer | ReturnType<typeof createReadStream>,
): Promise<void> {
  const started = await request(`${client.base}/blobs/uploads/`, { method: 'POST', headers: { authorization: client.authorization } });
  await started.body.dump();
  const location = started.headers['location'];
  if (started.statusCode !== 202 || typeof location !== 'string')
    throw new JobpassError('upstream_failed', `the registry answered ${started.statusCode}`);
  const target = new URL(location, client.base);
  target.searchParams.set('digest', digest);
  await put(target.href, client, 'application/octet-stream', sizeBytes, body);
}

async function put(
  url: string,
  client: Client,
  type: string,
  sizeBytes: number,
  body: Buffer | ReturnType<typeof createReadStream>,
): Promise<void> {
  const headers = { authorization: client.authorization, 'content-type': type, 'content-length': String(sizeBytes) };
  const answer = await request(url, { method: 'PUT', headers, body });
  const text = await answer.body.text();
  if (answer.statusCode !== 201)
    throw new JobpassError('upstream_failed', `the registry answered ${answer.statusCode}: ${text.slice(0, 300)}`);
}

function digestOf(bytes: Buffer): Digest {
  return digestFrom('sha256', hash('sha256', bytes, 'hex'));
}
