import type { Readable } from 'node:stream';
import type { Answer } from './route.ts';

/**
 * Whoever opens it in a browser gets a file, never a page of ours (A16).
 * @param name may be a path; its last part is what the file is called
 */
export function sentFile(name: string, { sizeBytes, body }: { readonly sizeBytes: number; readonly body: Readable }): Answer {
  return {
    stream: body,
    headers: {
      'content-type': 'application/octet-stream',
      'content-disposition': `attachment; filename="${(name.split('/').at(-1) ?? '').replaceAll(/[^\w.+~@-]/g, '_')}"`,
      'content-security-policy': "default-src 'none'; sandbox",
      'content-length': String(sizeBytes),
    },
  };
}
