import type { IncomingMessage } from 'node:http';
import { type BlockList, isIPv6, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { UpstreamCredential } from './forwarder.ts';
import { KnownNames } from './wire/known-names.ts';

/** Names and values in turn, as they stand on the wire. */
export type RawHeaders = readonly string[];

/** Of one connection only. @see RFC 9110 §7.6.1 */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
const hopByHopLengths = new Set([...hopByHop].map(({ length }) => length));

/** Most names are of another length, and so need not be looked up. */
function isHopByHop(name: string): boolean {
  return hopByHopLengths.has(name.length) && hopByHop.has(name.toLowerCase());
}

/** What says where a request came from. Believed from a trusted proxy only (A23). */
const forwardingShape = /^(?:forwarded|x-forwarded-.+|x-real-ip|x-original-.+|x-rewrite-url|(?:x-|true-|x-cluster-)?client-ip)$/;
/** What a trusted proxy says is passed on; the rest of the forwarding headers nobody needs. */
const forwardedByProxy = /^x-forwarded-(?:proto|host|port)$/;
/** What the parts of GitLab say to each other. */
const internalShape = /^gitlab-/;

const credentialNames = new Set(['private-token', 'job-token', 'authorization', 'cookie', 'sudo', 'deploy-token']);

/** What a header's name says of it. */
interface Kind {
  readonly lower: string;
  readonly underscored: boolean;
  readonly hop: boolean;
  readonly forwarding: boolean;
  readonly byProxy: boolean;
  readonly credential: boolean;
}

const kinds = new KnownNames((name): Kind => {
  const lower = name.toLowerCase();
  return {
    lower,
    underscored: name.includes('_'),
    hop: isHopByHop(lower),
    forwarding: forwardingShape.test(lower),
    byProxy: forwardedByProxy.test(lower),
    credential: credentialNames.has(lower) || internalShape.test(lower),
  };
});

export interface UpstreamHeaderOptions {
  readonly trustedProxies: BlockList;
  /** Replaces every credential of the request. */
  readonly credential?: UpstreamCredential;
  /** The body goes up with another length. */
  readonly lengthBytes?: number | 'unknown';
  /** The answer will be read: it must not be compressed. */
  readonly identity?: boolean;
}

/** What the forge hears: the client's own headers, its address, and nothing that a client could make up about it. */
export function upstreamHeaders(
  { rawHeaders, socket }: { readonly rawHeaders: RawHeaders; readonly socket: Socket },
  options: UpstreamHeaderOptions,
): string[] {
  const { trustedProxies, credential, lengthBytes, identity } = options;
  const peer = socket.remoteAddress ?? '';
  const trusted = isTrusted(trustedProxies, socket);
  const listed = connectionListed(rawHeaders);
  const kept: string[] = [];
  let host: string | undefined;
  let before: string | undefined;
  let given = '';
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const [name, value] = [rawHeaders[index] ?? '', rawHeaders[index + 1] ?? ''];
    const kind = kinds.of(name);
    const { lower } = kind;
    // CGI, and so Rack, reads `X_Forwarded_For` as `X-Forwarded-For`: such names end here, as they do at nginx.
    if (kind.underscored) continue;
    if (lower === 'x-forwarded-for') before = before === undefined ? value : `${before}, ${value}`;
    if (kind.hop || listed.has(lower) || lower === 'expect') continue;
    if (kind.forwarding && !(trusted && kind.byProxy)) continue;
    if (kind.forwarding) given += ` ${lower}`;
    if (credential !== undefined && kind.credential) continue;
    if (lengthBytes !== undefined && lower === 'content-length') continue;
    if (identity === true && lower === 'accept-encoding') continue;
    if (lower === 'host') host ??= value;
    kept.push(name, value);
  }
  if (typeof lengthBytes === 'number') kept.push('content-length', String(lengthBytes));
  if (credential !== undefined) kept.push(credential.name, credential.value.reveal());
  if (credential?.as !== undefined) kept.push('sudo', String(credential.as));
  kept.push('x-forwarded-for', trusted && before !== undefined ? `${before}, ${peer}` : peer);
  const secure = socket instanceof TLSSocket;
  if (!given.includes('-proto')) kept.push('x-forwarded-proto', secure ? 'https' : 'http');
  if (!given.includes('-host') && host !== undefined) kept.push('x-forwarded-host', host);
  if (!given.includes('-port')) kept.push('x-forwarded-port', portOf(host) ?? (secure ? '443' : '80'));
  return kept;
}

/**
 * What two readers could read in two ways, and the parser lets through (A22, A25).
 * @returns what is wrong, or undefined
 */
export function requestProblem(request: IncomingMessage): string | undefined {
  const target = request.url ?? '';
  if (!target.startsWith('/') && !(target === '*' && request.method === 'OPTIONS')) return 'The request target must be a path.';
  const coding = request.headers['transfer-encoding'];
  // `gzip, chunked` would go on as chunked alone.
  if (coding !== undefined && coding.trim().toLowerCase() !== 'chunked') return 'No transfer coding but chunked is supported.';
  let hosts = 0;
  for (let index = 0; index < request.rawHeaders.length; index += 2)
    if (request.rawHeaders[index]?.length === 4 && request.rawHeaders[index]?.toLowerCase() === 'host') hosts += 1;
  if (hosts > 1) return 'There is more than one Host header.';
  const hidden = hiddenHeader(request.rawHeaders);
  return hidden === 'host' || hidden === 'content-length' ? `The Connection header may not name ${hidden}.` : undefined;
}

/** The header of the offered protocol, which ends here with `Upgrade`. @see RFC 7540 §3.2.1 */
const ofOffer = 'http2-settings';

/**
 * A header of the request that its `Connection` says ends here, though it is about the request itself: whoever reads it here would go by it, and the forge
 * behind would not hear of it (A22). Without its type, a body is read as another one.
 */
export function hiddenHeader(raw: RawHeaders): string | undefined {
  const listed = connectionListed(raw);
  if (listed.size === 0) return undefined;
  for (const [name] of pairs(raw)) {
    const lower = name.toLowerCase();
    if (listed.has(lower) && !isHopByHop(lower) && lower !== ofOffer) return lower;
  }
  return undefined;
}

const ofTheBody = /^(?:content-length|etag|content-md5|digest|repr-digest|content-encoding)$/i;

/** What the client hears of an answer. @param changed the body is another one */
export function clientHeaders(raw: RawHeaders, changed = false): string[] {
  const listed = connectionListed(raw);
  const kept: string[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const [name, value] = [raw[index] ?? '', raw[index + 1] ?? ''];
    if (isHopByHop(name) || (listed.size > 0 && listed.has(name.toLowerCase())) || (changed && ofTheBody.test(name))) continue;
    kept.push(name, value);
  }
  return kept;
}

const askedOfStorage = /^(?:accept|range|if-(?:range|match|none-match|modified-since|unmodified-since))$/;
const toldByStorage =
  /^(?:content-(?:type|length|range|disposition|encoding)|etag|last-modified|accept-ranges|cache-control|expires|date)$/;

/** What a storage behind the forge hears: nothing that says who asks. */
export function storageHeaders(raw: RawHeaders): string[] {
  return only(raw, askedOfStorage);
}

/** What the client hears of a storage's answer. */
export function storedHeaders(raw: RawHeaders): string[] {
  return only(raw, toldByStorage);
}

function only(raw: RawHeaders, wanted: RegExp): string[] {
  return [...pairs(raw)].filter(([name]) => wanted.test(name.toLowerCase())).flat();
}

export function* pairs(raw: RawHeaders): Generator<readonly [string, string]> {
  for (let index = 0; index + 1 < raw.length; index += 2) yield [raw[index] ?? '', raw[index + 1] ?? ''];
}

const none: ReadonlySet<string> = new Set();

/** Names that `Connection` says are of this connection only. */
function connectionListed(raw: RawHeaders): ReadonlySet<string> {
  let names: Set<string> | undefined;
  for (let index = 0; index + 1 < raw.length; index += 2)
    if (
      raw[index]?.length === 'connection'.length &&
      raw[index]?.toLowerCase() === 'connection' &&
      !/^keep-alive$/i.test(raw[index + 1] ?? '')
    ) {
      names ??= new Set();
      for (const word of raw[index + 1]?.split(',') ?? []) names.add(word.trim().toLowerCase());
    }
  return names ?? none;
}

function portOf(host: string | undefined): string | undefined {
  return /:(\d{1,5})$/.exec(host ?? '')?.[1];
}

/** An address does not change while its connection lasts, and looking it up is dear. */
const believed = new WeakMap<Socket, boolean>();

function isTrusted(list: BlockList, socket: Socket): boolean {
  const known = believed.get(socket);
  if (known !== undefined) return known;
  const address = socket.remoteAddress?.replace(/^::ffff:/, '') ?? '';
  const trusted = address !== '' && list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
  believed.set(socket, trusted);
  return trusted;
}
