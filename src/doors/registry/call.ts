import type { IncomingMessage, ServerResponse } from 'node:http';
import { JobpassError } from '../../base/errors.ts';
import type { RegistryForge } from '../../forge/registry.ts';
import type { Grant } from '../../pass/grant.ts';
import type { NamedPlace } from './names.ts';

/** A request that was admitted. */
export interface Call {
  readonly registry: RegistryForge;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
  readonly grant: Grant;
  readonly place: NamedPlace;
  /** The repository's whole name, as it stands in the path. */
  readonly name: string;
}

/** An error with the specification's own code. */
export class OciError extends JobpassError {
  readonly oci: string;

  constructor(oci: string, code: JobpassError['code'], message: string) {
    super(code, message);
    this.oci = oci;
  }
}

/** Answers without a body, or with a small one. */
export function answer(response: ServerResponse, status: number, headers: Readonly<Record<string, string>>, body?: string | Buffer): void {
  response.writeHead(status, { 'content-length': body === undefined ? 0 : Buffer.byteLength(body), ...headers });
  response.end(body);
}

/** The whole of a small body. @throws too_large */
export async function smallBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of request) {
    const bytes: Buffer = chunk;
    sizeBytes += bytes.length;
    if (sizeBytes > maxBytes) throw new OciError('SIZE_INVALID', 'too_large', `At most ${maxBytes} bytes.`);
    parts.push(bytes);
  }
  return Buffer.concat(parts);
}
