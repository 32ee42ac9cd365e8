import { JobpassError } from '../../base/errors.ts';

export interface RedirectOptions {
  /** The forge's own origins, inside and outside. */
  readonly forge: readonly string[];
  /** Origins of its object storage. */
  readonly storage: readonly string[];
}

/** How the clouds' storage names the part of a URL that is a credential. */
const signature = /^(?:(?:[a-z0-9]+-)*(?:signature|security-token)|sig|awsaccesskeyid|googleaccessid|se|temp_url_sig)$/i;

/**
 * What an answer to a pass may send its client to. A signed URL works for anybody and outlives the pass (R5), so it goes nowhere; the gateway itself
 * reads signed URLs of the named storage only, as links of a release are redirects that any developer may write (A21).
 * @returns what the gateway reads for the client, or undefined: the client may go there itself
 * @throws upstream_failed for a signed URL to a server that is not named
 */
export function storageUrl(options: RedirectOptions, location: string): string | undefined {
  // `/path` and `//host/path` are read as a client reads them.
  const [own = 'http://forge.invalid'] = options.forge;
  if (!URL.canParse(location, own)) throw new JobpassError('upstream_failed', 'The forge redirects to something that is no URL.');
  const url = new URL(location, own);
  const signed = [...url.searchParams.keys()].some((name) => signature.test(name));
  if (!signed || options.forge.includes(url.origin)) return undefined;
  if (options.storage.includes(url.origin)) return url.href;
  throw new JobpassError(
    'upstream_failed',
    `The forge redirects to a signed URL on ${url.origin}, which no pass may carry away. If that is its object storage, start the gateway with --object-storage ${url.origin}.`,
  );
}
