import { createHash } from 'node:crypto';
import type { Reply, TestServer } from './server.ts';

export const imageType = 'application/vnd.oci.image.manifest.v1+json';
export const indexType = 'application/vnd.oci.image.index.v1+json';
export const configType = 'application/vnd.oci.image.config.v1+json';
export const layerType = 'application/vnd.oci.image.layer.v1.tar';

export const digestOf = (bytes: string | Uint8Array, algorithm = 'sha256'): string =>
  `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;

export const basic = (secret: string, name = 'any'): Record<string, string> => ({
  authorization: `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}`,
});
export const bearer = (secret: string): Record<string, string> => ({ authorization: `Bearer ${secret}` });

/** The error code of a refusal, as the specification shapes it. */
export function codeOf({ body }: Reply): unknown {
  return (body['errors'] as readonly { readonly code: string }[] | undefined)?.[0]?.code;
}

/** A client that speaks the specification by hand, with one credential. */
export class RegistryClient {
  readonly #server: TestServer;
  readonly #headers: Record<string, string>;

  constructor(server: TestServer, headers: Record<string, string>) {
    this.#server = server;
    this.#headers = headers;
  }

  ask(method: string, path: string, options: { headers?: Record<string, string>; raw?: string | Uint8Array } = {}): Promise<Reply> {
    return this.#server.call(method, path, { ...options, headers: { ...this.#headers, ...options.headers } });
  }

  /** Asks for a token. @returns the answer and, where there is one, the token */
  async token(...scopes: readonly string[]): Promise<{ readonly reply: Reply; readonly token: string }> {
    const query = new URLSearchParams([['service', 'container_registry'], ...scopes.map((scope): [string, string] => ['scope', scope])]);
    const reply = await this.ask('GET', `/jwt/auth?${query.toString()}`);
    return { reply, token: (reply.body['token'] as string | undefined) ?? '' };
  }

  async pushBlob(name: string, bytes: string | Uint8Array): Promise<string> {
    const digest = digestOf(bytes);
    const reply = await this.ask('POST', `/v2/${name}/blobs/uploads/?digest=${digest}`, { raw: bytes });
    if (reply.status !== 201) throw new Error(`${reply.status} ${reply.text}`);
    return digest;
  }

  /** An image with one layer. @returns its digest */
  async pushImage(name: string, tag: string, layer = 'layer', more: Record<string, unknown> = {}): Promise<string> {
    const config = '{}';
    await this.pushBlob(name, config);
    await this.pushBlob(name, layer);
    const manifest = manifestOf(config, layer, more);
    const reply = await this.ask('PUT', `/v2/${name}/manifests/${tag}`, { headers: { 'content-type': imageType }, raw: manifest });
    if (reply.status !== 201) throw new Error(`${reply.status} ${reply.text}`);
    return digestOf(manifest);
  }
}

export function manifestOf(config: string, layer: string, more: Record<string, unknown> = {}): string {
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: imageType,
    config: { mediaType: configType, digest: digestOf(config), size: Buffer.byteLength(config) },
    layers: [{ mediaType: layerType, digest: digestOf(layer), size: Buffer.byteLength(layer) }],
    ...more,
  });
}
