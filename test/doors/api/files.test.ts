import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { passFor } from '../../support/pass.ts';
import { type Claimed, oneJob, startTestServer, type TestServer } from '../../support/server.ts';

describe('generic packages and uploads, as @semantic-release/gitlab and glab use them', () => {
  let server: TestServer;
  let alice: { id: number; token: string };
  let bob: { id: number; token: string };
  let P: string;
  let job: Claimed;
  let pass: string;

  beforeAll(async () => {
    server = await startTestServer();
    [alice, bob] = [await server.user('alice'), await server.user('bob')];
    const runner = await server.runner();
    const app = await server.project('group/app');
    P = `/api/v4/projects/${app}`;
    await server.member(app, alice.id, 40);
    await server.commit(app, '.gitlab-ci.yml', oneJob, { token: alice.token });
    const claimed = await server.claim(runner.token);
    if (claimed === undefined) throw new Error('no job');
    job = claimed;
    pass = await passFor(server, job, [alice.id]);
  });
  afterAll(() => server.stop());

  const put = (path: string, raw: string | Uint8Array, headers: Record<string, string>) => server.call('PUT', path, { headers, raw });
  const form = (name: string, content: string): string =>
    `--b\r\ncontent-disposition: form-data; name="file"; filename="${name}"\r\n\r\n${content}\r\n--b--\r\n`;
  const upload = (raw: string, headers: Record<string, string>) =>
    server.call('POST', `${P}/uploads`, { headers: { ...headers, 'content-type': 'multipart/form-data; boundary=b' }, raw });

  test('R13 a file that is refused before it is read: the client hears why, and cannot go on sending', async () => {
    const { hostname, port } = new URL(server.url);
    const socket = connect(Number(port), hostname);
    socket.on('error', () => undefined);
    const head = [
      `PUT ${P}/packages/generic/tool/1.0.0/large.bin HTTP/1.1`,
      'host: x',
      'private-token: glpat-none',
      'content-length: 1000000000',
    ];
    socket.write(`${head.join('\r\n')}\r\n\r\n`);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString()).toContain('HTTP/1.1 401');
    let sent = 0;
    const piece = Buffer.alloc(64 * 1024);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    const feed = (): void => {
      while (!socket.destroyed && sent < 900_000_000 && socket.write(piece)) sent += piece.length;
    };
    socket.on('drain', feed);
    feed();
    await closed;
    expect(sent).toBeLessThan(100_000_000);
  });

  test('a package file comes back byte for byte, whatever type it was sent with', async () => {
    for (const [type, content] of [
      ['application/json', '{"not": parsed'],
      ['application/x-www-form-urlencoded', 'a=1&b'],
      ['application/octet-stream', '\u0000\u0001'],
    ] as const) {
      const path = `${P}/packages/generic/tool/1.0.0/${type.replace('/', '-')}.bin`;
      const made = await put(path, content, { 'private-token': pass, 'content-type': type });
      expect([made.status, made.body]).toEqual([201, { message: '201 Created' }]);
      const back = await server.call('GET', path, { token: alice.token });
      expect([back.status, back.text, back.headers.get('content-type')]).toEqual([200, content, 'application/octet-stream']);
      expect(back.headers.get('content-disposition')).toContain('attachment');
    }
  });

  test('select=package_file tells where the file is; the newest of a name is served; a hidden package is not listed', async () => {
    const path = `${P}/packages/generic/tool/2.0.0/bin/tool`;
    await put(path, 'old', { 'private-token': alice.token });
    const made = await put(`${path}?select=package_file&status=default`, 'new', { 'private-token': alice.token });
    expect(made.body).toMatchObject({ file_name: 'bin/tool', size: 3, file_sha256: createHash('sha256').update('new').digest('hex') });
    const { url } = made.body['file'] as { url: string };
    expect(new URL(url).pathname).toBe(path);
    expect((await server.call('GET', new URL(url).pathname, { token: alice.token })).text).toBe('new');
    await put(`${P}/packages/generic/secret/1/x?status=hidden`, 'x', { 'private-token': alice.token });
    const { list } = await server.call('GET', `${P}/packages`, { token: alice.token });
    expect(list.map((one) => `${String(one['name'])} ${String(one['version'])}`)).not.toContain('secret 1');
    const id = list.find((one) => one['version'] === '2.0.0')?.['id'];
    expect((await server.call('GET', `${P}/packages/${String(id)}/package_files`, { token: alice.token })).list).toHaveLength(2);
    await server.must('DELETE', `${P}/packages/${String(id)}`, undefined, alice.token);
    expect((await server.call('GET', path, { token: alice.token })).status).toBe(404);
  });

  test('a job token publishes to its own project, and nobody without a role sees anything', async () => {
    const path = `${P}/packages/generic/tool/3.0.0/x`;
    expect((await put(path, 'x', { 'job-token': job.token })).status).toBe(201);
    expect((await server.call('GET', path, { headers: { 'job-token': job.token } })).text).toBe('x');
    expect((await put(path, 'x', { 'private-token': bob.token })).status).toBe(404);
    expect((await server.call('GET', path)).status).toBe(404);
  });

  test('A39 odd names are refused', async () => {
    for (const name of ['a b', 'x%00y', 'a%3Bb', '..%2fx'])
      expect((await put(`${P}/packages/generic/${name}/1/x`, 'x', { 'private-token': alice.token })).status).toBe(400);
  });

  test('an upload has an address that a release can link, and is served as a file', async () => {
    const made = await upload(form('tool.tar.gz', 'bytes'), { 'private-token': pass });
    expect(made.status).toBe(201);
    const { url, full_path } = made.body as { url: string; full_path: string };
    expect(made.body).toMatchObject({ alt: 'tool.tar', markdown: `[tool.tar.gz](${url})` });
    const back = await server.call('GET', full_path, { token: alice.token });
    expect([back.status, back.text, back.headers.get('content-type')]).toEqual([200, 'bytes', 'application/octet-stream']);
    expect((await server.call('GET', `${P}${url}`, { token: alice.token })).text).toBe('bytes');
    expect((await server.call('GET', full_path, { token: bob.token })).status).toBe(404);
    expect((await server.call('GET', full_path.replace(/.{5}\/tool/, 'xxxxx/tool'), { token: alice.token })).status).toBe(404);
    const release = await server.call('POST', `${P}/releases`, {
      token: pass,
      body: { tag_name: 'v1', ref: 'main', assets: { links: [{ name: 'tool', url: new URL(full_path, server.url).href }] } },
    });
    expect(release.status).toBe(201);
  });

  test('R2 nothing is kept of what a dead pass sends', async () => {
    const path = `${P}/packages/generic/late/1/x`;
    await server.finish(job);
    expect((await put(path, 'x', { 'private-token': pass })).status).toBe(401);
    expect((await upload(form('x', 'x'), { 'private-token': pass })).status).toBe(401);
    expect((await server.call('GET', path, { token: alice.token })).status).toBe(404);
  });

  test('R13 a release leads to its assets by addresses that a header may hold', async () => {
    const links = [
      { name: 'a', url: 'https://ot\nher.example/x', direct_asset_path: '/a' },
      { name: 'b', url: 'https://other.example/größe', direct_asset_path: '/b' },
    ];
    await server.must('POST', `${P}/releases`, { tag_name: 'odd-links', ref: 'main', assets: { links } }, alice.token);
    const ask = async (path: string) => {
      const { status, headers } = await server.call('GET', `${P}/releases/odd-links/downloads/${path}`, { token: alice.token });
      return [status, headers.get('location')];
    };
    expect(await ask('a')).toEqual([302, 'https://other.example/x']);
    expect(await ask('b')).toEqual([302, 'https://other.example/gr%C3%B6%C3%9Fe']);
  });
});
