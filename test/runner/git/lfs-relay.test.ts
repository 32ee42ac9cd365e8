import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { fetchLfsObjects } from '../../../src/runner/git/lfs.ts';
import { throughRelay } from '../../../src/runner/git/lfs-relay.ts';
import { addressesOf } from '../../../src/runner/git/reach.ts';

const content = 'a large file';
const oid = createHash('sha256').update(content).digest('hex');
const { signal } = new AbortController();

let server: Server;
let port: number;
/** What the server of large files was asked: method, host and path, and what else matters. */
let asked: string[] = [];
let href = '';
let others: readonly object[] = [];
const answers = new Map<string, (request: IncomingMessage, response: ServerResponse) => void>();

beforeAll(async () => {
  server = createServer((request, response) => {
    const { method = '', url = '', headers } = request;
    asked.push(`${method} ${(headers.host ?? '').replace(/:.*/, '')}${url} ${String(headers['x-given'] ?? '-')} ${headers.range ?? '-'}`);
    const answer = answers.get(url);
    if (answer !== undefined) return answer(request, response);
    const object = { oid, size: content.length, actions: { download: { href, header: { 'X-Given': 'by the server', Host: 'evil' } } } };
    request.resume();
    response.setHeader('content-type', 'application/vnd.git-lfs+json');
    return response.end(JSON.stringify({ transfer: 'basic', objects: [object, ...others] }));
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const at = server.address();
  port = typeof at === 'object' && at !== null ? at.port : 0;
  answers.set('/object', (_request, response) => void response.end(content));
});
beforeEach(() => {
  asked = [];
  others = [];
  href = at('/object');
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

const at = (path: string, host = 'large.test'): string => `http://${host}:${port}${path}`;
/** Names below `.test` lead to the server of this test; all else is looked at as ever. */
const reach = (url: URL): Promise<readonly string[]> =>
  url.hostname.endsWith('.test') ? Promise.resolve(['127.0.0.1']) : addressesOf(url, () => Promise.resolve(['169.254.169.254']));

/** What git-lfs would hear: the batch's answer, and status and text of its first object. */
async function fetched(headers: Record<string, string> = {}) {
  const options = { server: new URL(at('/x.git/info/lfs')), ca: undefined, signal, reach };
  return throughRelay(options, async (endpoint) => {
    const batch = await fetch(`${endpoint}/objects/batch`, { method: 'POST', body: '{"operation":"download"}' });
    const told: unknown = await batch.json();
    const link = /"href":"([^"]+)"/.exec(JSON.stringify(told))?.[1] ?? endpoint;
    const object = await fetch(link, { headers });
    return { endpoint, told, link, status: object.status, text: await object.text() };
  });
}

test('an object of another server comes through the relay, asked with what the server gave for it', async () => {
  others = [{ oid, size: 1, error: { code: 404 } }];
  const { endpoint, told, link, ...object } = await fetched({ range: 'bytes=0-' });
  expect(object).toEqual({ status: 200, text: content });
  expect(link.startsWith(`${endpoint}/objects/`)).toBe(true);
  expect(told).toEqual({
    transfer: 'basic',
    objects: [
      { oid, size: content.length, authenticated: true, actions: { download: { href: link } } },
      { oid, size: 1, error: { code: 404 } },
    ],
  });
  expect(asked).toEqual(['POST large.test/x.git/info/lfs/objects/batch - -', 'GET large.test/object by the server bytes=0-']);
});

test.each(['127.0.0.1', 'localhost.', '[::1]', '2130706433', 'metadata.internal'])(
  'A42 an object at %s, as the server of another repository says, is not asked for',
  async (host) => {
    href = at('/admin', host);
    expect(await fetched()).toMatchObject({ status: 403, text: expect.stringContaining("the runner's own machine") as unknown });
    expect(asked).toHaveLength(1);
  },
);

test('A21 A42 a redirect is looked at as well, and the headers for one server go to no other', async () => {
  href = at('/away');
  answers.set('/away', (_request, response) => void response.writeHead(302, { location: at('/admin', '127.0.0.1') }).end());
  expect(await fetched()).toMatchObject({ status: 403 });
  answers.set('/away', (_request, response) => void response.writeHead(302, { location: at('/object', 'storage.test') }).end());
  asked = [];
  expect(await fetched()).toMatchObject({ status: 200, text: content });
  expect(asked.slice(1)).toEqual(['GET large.test/away by the server -', 'GET storage.test/object - -']);
  answers.set('/away', (_request, response) => void response.writeHead(302, { location: '/away' }).end());
  expect(await fetched()).toMatchObject({ status: 502 });
});

test('R13 nothing else is answered, and what is no answer is none', async () => {
  const options = { server: new URL(at('/odd')), ca: undefined, signal, reach };
  answers.set('/odd/objects/batch', (_request, response) => void response.end('[]'));
  await throughRelay(options, async (endpoint) => {
    expect((await fetch(`${endpoint}/objects/batch`, { method: 'POST', body: '{}' })).status).toBe(502);
    expect((await fetch(`${endpoint}/objects/${oid}`)).status).toBe(404);
    expect((await fetch(`${new URL(endpoint).origin}/objects/batch`, { method: 'POST', body: '{}' })).status).toBe(404);
  });
  expect(asked).toHaveLength(1);
});

test('A42 git-lfs itself asks no server but the forge for what the runner fetches', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'jobpass-relay-'));
  try {
    const env = { PATH: process.env['PATH'] ?? '', HOME: dir, GIT_CONFIG_NOSYSTEM: '1', GIT_LFS_SKIP_SMUDGE: '1' };
    const git = async (...args: string[]) => (await promisify(execFile)('git', args, { env, cwd: dir })).stdout;
    await git('init', '--quiet', '.');
    await writeFile(join(dir, '.gitattributes'), '*.bin filter=lfs\n');
    await writeFile(join(dir, 'a.bin'), `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize ${content.length}\n`);
    await git('-c', 'filter.lfs.clean=cat', 'add', '.');
    await git('-c', 'user.name=x', '-c', 'user.email=x@example.com', 'commit', '--quiet', '-m', 'x');
    await git('update-ref', 'refs/jobpass/job', 'HEAD');
    const sha = (await git('rev-parse', 'HEAD')).trim();
    const mirror = { dir: join(dir, '.git'), home: dir, sha, refs: [] };
    const room = { buildsDir: dir, trustKey: '', runnerDir: dir, caFile: undefined, flags: [], signal, onOutput: () => undefined };
    const order = { url: new URL(at('/x.git', '127.0.0.1')), credential: undefined, room, say: () => undefined };
    href = at('/object', '127.0.0.1');
    await expect(fetchLfsObjects(mirror, { ...order, foreign: true })).rejects.toMatchObject({ code: 'upstream_failed' });
    expect(asked).toEqual([]);
    expect(await fetchLfsObjects(mirror, { ...order, foreign: false })).toEqual([oid]);
    expect(await readFile(join(dir, '.git', 'lfs', 'objects', oid.slice(0, 2), oid.slice(2, 4), oid), 'utf8')).toBe(content);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
