import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { isIPv6, type LookupFunction } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { rootCertificates } from 'node:tls';
import { Agent, type Dispatcher, request } from 'undici';
import { isJobpassError, JobpassError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import { isTable, type Table, tableIn, tablesIn, textIn } from '../parsed.ts';
import { agentFor } from '../proxy.ts';
import { addressesOf, proxied } from './reach.ts';

const timeouts = { headersTimeout: 60_000, bodyTimeout: 60_000 };
const mostHops = 5;
const answerBytes = 4 * 1024 * 1024;
const lfsType = 'application/vnd.git-lfs+json';

/** Where the bytes of an object are, by the word of its server. */
interface Link {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
}

export interface RelayOptions {
  /** The LFS endpoint of the server, `…/info/lfs`. */
  readonly server: URL;
  /** PEM of an authority that is trusted beside those that this machine trusts. */
  readonly ca: string | undefined;
  readonly signal: AbortSignal;
  /** Where a URL leads; empty = as this machine finds it. */
  readonly reach?: (url: URL) => Promise<readonly string[]>;
}

/**
 * Lets git-lfs fetch from a server that is not the forge. Such a server answers with the addresses that git-lfs goes to next, wherever they lead, and this machine is who
 * asks there: so git-lfs is given this relay on the machine's loopback, which looks at each of them first, redirects too (A42). No credential comes here.
 * @param work gets the endpoint to use in its place
 * @see git-lfs docs/api/batch.md
 */
export async function throughRelay<Result>(options: RelayOptions, work: (endpoint: string) => Promise<Result>): Promise<Result> {
  const relay = new Relay(options);
  const endpoint = await relay.start();
  try {
    return await work(endpoint);
  } finally {
    await relay.stop();
  }
}

class Relay {
  readonly #options: RelayOptions;
  /** Other users of the machine do not know it. */
  readonly #base = `/${randomBytes(16).toString('hex')}`;
  readonly #links = new Map<string, Link>();
  readonly #agents = new Map<string, Dispatcher>();
  readonly #http = createServer((asked, answer) => void this.#serve(asked, answer));

  constructor(options: RelayOptions) {
    this.#options = options;
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve, reject) => {
      this.#http.once('error', reject);
      this.#http.listen(0, '127.0.0.1', resolve);
    });
    return this.#endpoint();
  }

  #endpoint(): string {
    const at = this.#http.address();
    return `http://127.0.0.1:${typeof at === 'object' && at !== null ? at.port : 0}${this.#base}`;
  }

  async stop(): Promise<void> {
    this.#http.close();
    this.#http.closeAllConnections();
    await Promise.all([...this.#agents.values()].map((agent) => agent.destroy()));
  }

  async #serve(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    try {
      const path = asked.url ?? '';
      if (asked.method === 'POST' && path === `${this.#base}/objects/batch`) return await this.#batch(asked, answer);
      const link = this.#links.get(path);
      if (asked.method !== 'GET' || link === undefined) return say(answer, 404, { message: 'There is nothing here.' });
      return await this.#object(asked, answer, link);
    } catch (error) {
      if (answer.headersSent) return void answer.destroy();
      const refused = isJobpassError(error, 'invalid_input');
      say(answer, refused ? 403 : 502, {
        message: error instanceof JobpassError ? error.message : 'The server of the large files does not answer.',
      });
    }
  }

  async #batch(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const body = await bytesOf(asked, limits.jsonBodyBytes);
    const url = new URL(`${this.#options.server.href.replace(/\/+$/, '')}/objects/batch`);
    const told = await this.#ask(url, { method: 'POST', headers: { accept: lfsType, 'content-type': lfsType }, body });
    const text = (await bytesOf(told.body, answerBytes)).toString('utf8');
    if (told.statusCode !== 200) throw new JobpassError('upstream_failed', `${url.origin} answers ${told.statusCode}.`);
    const said: unknown = JSON.parse(text);
    if (!isTable(said)) throw new JobpassError('upstream_failed', `${url.origin} answers no list of objects.`);
    say(answer, 200, { ...said, objects: tablesIn(said, 'objects').map((object) => this.#relayed(object)) });
  }

  /** The object, to be fetched from here. */
  #relayed(object: Table): Table {
    const { actions: _actions, ...rest } = object;
    const action = tableIn(tableIn(object, 'actions') ?? {}, 'download');
    const href = action === undefined ? undefined : textIn(action, 'href');
    if (action === undefined || href === undefined || !/^https?:/i.test(href) || !URL.canParse(href)) return rest;
    const path = `/objects/${randomBytes(16).toString('hex')}`;
    this.#links.set(`${this.#base}${path}`, { url: new URL(href), headers: headersIn(tableIn(action, 'header') ?? {}) });
    return { ...rest, authenticated: true, actions: { download: { href: `${this.#endpoint()}${path}` } } };
  }

  async #object(asked: IncomingMessage, answer: ServerResponse, link: Link): Promise<void> {
    const range = asked.headers.range === undefined ? {} : { range: asked.headers.range };
    let [{ url }, headers] = [link, { ...link.headers, ...range }];
    for (let hops = 0; ; hops += 1) {
      const told = await this.#ask(url, { method: 'GET', headers });
      const { location } = told.headers;
      if (![301, 302, 303, 307, 308].includes(told.statusCode) || typeof location !== 'string') {
        const kept = ['content-length', 'content-range'].flatMap((name) => {
          const value = told.headers[name];
          return typeof value === 'string' ? [[name, value]] : [];
        });
        answer.writeHead(told.statusCode, Object.fromEntries(kept));
        return await pipeline(told.body, answer);
      }
      await told.body.dump();
      const next = URL.canParse(location, url.href) ? new URL(location, url.href) : undefined;
      if (
        next === undefined ||
        hops === mostHops ||
        !/^https?:$/.test(next.protocol) ||
        (url.protocol === 'https:' && next.protocol === 'http:')
      )
        throw new JobpassError('upstream_failed', `${url.origin} leads on in a way that is not followed.`);
      if (next.origin !== url.origin) headers = { ...range };
      url = next;
    }
  }

  async #ask(url: URL, call: { method: 'GET' | 'POST'; headers: Record<string, string>; body?: Buffer }): Promise<Dispatcher.ResponseData> {
    const { reach = addressesOf, ca, signal } = this.#options;
    const addresses = await reach(url);
    const key = `${url.origin} ${addresses.join()}`;
    const agent = this.#agents.get(key) ?? agentTo(url, addresses, ca === undefined ? undefined : [...rootCertificates, ca].join('\n'));
    this.#agents.set(key, agent);
    return request(url, { ...call, dispatcher: agent, signal });
  }
}

function agentTo(url: URL, addresses: readonly string[], ca: string | undefined): Dispatcher {
  if (addresses.length === 0 || proxied(url)) return agentFor(url, { ...timeouts, ca });
  return new Agent({ ...timeouts, connect: { lookup: always(addresses), ...(ca === undefined ? {} : { ca }) } });
}

/** Whatever a name leads to by now: where it led when it was looked at. */
function always(addresses: readonly string[]): LookupFunction {
  const found = addresses.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }));
  return (_name, { all }, done) => (all === true ? done(null, found) : done(null, found[0]?.address ?? '', found[0]?.family));
}

const aboutConnections = /^(?:host|connection|content-length|transfer-encoding|upgrade|expect|te|trailer|keep-alive|range|proxy-.*)$/i;

function headersIn(table: Table): Record<string, string> {
  const given = Object.entries(table).filter(([name, value]) => /^[\w-]+$/.test(name) && typeof value === 'string');
  return Object.fromEntries(given.flatMap(([name, value]) => (aboutConnections.test(name) ? [] : [[name, String(value)]])));
}

async function bytesOf(source: AsyncIterable<unknown>, mostBytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of source) {
    if (!Buffer.isBuffer(part)) throw new JobpassError('internal');
    size += part.length;
    if (size > mostBytes) throw new JobpassError('too_large', `The list of large files has more than ${mostBytes} bytes.`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function say(answer: ServerResponse, status: number, body: unknown): void {
  answer.writeHead(status, { 'content-type': lfsType }).end(JSON.stringify(body));
}
