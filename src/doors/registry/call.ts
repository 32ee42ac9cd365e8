import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { JobpassError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
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

/**
 * The whole of a small body. Somewhat more is still read, and thrown away, as most clients hear an answer only once they have sent everything.
 * One that trickles in is cut off.
 * @throws too_large
 */
export async function smallBody(request: Readable, maxBytes: number, timeoutMs: number = limits.requestTimeoutMs): Promise<Buffer> {
  const timer = setTimeout(() => request.destroy(), timeoutMs);
  try {
    return await readAll(request, maxBytes);
  } finally {
    clearTimeout(timer);
  }
}

async function readAll(request: Readable, maxBytes: number): Promise<Buffer> {
  let parts: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    const bytes: Buffer = chunk;
    sizeBytes += bytes.length;
    if (sizeBytes <= maxBytes) parts.push(bytes);
    else parts = [];
    if (sizeBytes > 2 * maxBytes) break;
  }
  if (sizeBytes > maxBytes) throw new OciError('SIZE_INVALID', 'too_large', `At most ${maxBytes} bytes.`);
  return Buffer.concat(parts);
}
