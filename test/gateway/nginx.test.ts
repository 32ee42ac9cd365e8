import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Behind, startBehind } from '../support/behind.ts';
import { freePort } from '../support/free-port.ts';
import { certificate } from '../support/certificate.ts';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';
import { runnerFeatures } from '../support/server.ts';

const guide = fileURLToPath(new URL('../../docs/deploy/nginx.md', import.meta.url));
const run = promisify(execFile);
const has = (program: string): boolean => spawnSync(program, ['-v'], { stdio: 'ignore' }).status !== null;

describe.skipIf(!has('nginx') || !has('openssl'))('the gateway behind nginx, by the configuration that the guide gives', () => {
  let dir: string;
  let place: Behind;
  let url: string;
  let ca: Buffer;
  let alice: { id: number; token: string };
  let app: number;
  let runner: { id: number; token: string };
  const running: ChildProcess[] = [];

  /** As the guide says, but for addresses, names and paths. @returns the port on which it does TLS */
  async function startNginx(gateway: string): Promise<number> {
    const [, block = ''] = /```nginx\n([^]*?)```/.exec(await readFile(guide, 'utf8')) ?? [];
    const port = await freePort();
    const mine = [
      ['127.0.0.1:8929', new URL(gateway).host],
      ['listen 443 ssl', `listen 127.0.0.1:${port} ssl`],
      ['/etc/ssl/gitlab.example.com.pem', join(dir, 'cert.pem')],
      ['/etc/ssl/gitlab.example.com.key', join(dir, 'key.pem')],
    ] as const;
    for (const [theirs] of mine) expect(block, theirs).toContain(theirs);
    const server = mine.reduce((text, [theirs, ours]) => text.replaceAll(theirs, ours), block);
    const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${join(dir, `${port}-${name}`)};`,
    );
    const user = process.getuid?.() === 0 ? 'user root;' : '';
    const main = `${user} daemon off; pid ${join(dir, `${port}.pid`)}; error_log stderr notice; events {}`;
    await writeFile(join(dir, `${port}.conf`), `${main} http { access_log off; ${folders.join(' ')}\n${server}\n}\n`);
    const child = spawn('nginx', ['-e', 'stderr', '-p', dir, '-c', join(dir, `${port}.conf`)], { stdio: ['ignore', 'ignore', 'pipe'] });
    running.push(child);
    let said = '';
    await new Promise<void>((resolve, reject) => {
      child.stderr.on('data', (chunk: Buffer) => {
        said += chunk.toString();
        if (said.includes('start worker process')) resolve();
      });
      child.once('exit', () => reject(new Error(`nginx ended: ${said}`)));
    });
    return port;
  }

  /** Over TLS, believed by its own authority. */
  function ask(method: string, path: string, headers: Record<string, string>, body?: string | Buffer) {
    return new Promise<{ status: number; body: Buffer }>((resolve, reject) => {
      const sent = request(`${url}${path}`, { method, headers, ca }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }));
      });
      sent.on('error', reject);
      sent.end(body);
    });
  }
  const json = { 'content-type': 'application/json' };
  const claim = (lastUpdate?: string) =>
    ask(
      'POST',
      '/api/v4/jobs/request',
      json,
      JSON.stringify({ token: runner.token, last_update: lastUpdate, info: { features: runnerFeatures } }),
    );
  const startPipeline = () => place.upstream.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
  async function job(): Promise<{ pass: string; end(): Promise<unknown> }> {
    await startPipeline();
    const answer = await claim();
    expect(answer.status).toBe(201);
    const {
      id,
      token,
      extended_job_token: extended,
    } = JSON.parse(answer.body.toString()) as {
      id: number;
      token: string;
      extended_job_token?: { token?: string };
    };
    const end = () => ask('PUT', `/api/v4/jobs/${id}`, { ...json, 'job-token': token }, '{"state":"success"}');
    return { pass: extended?.token ?? '', end };
  }

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'jobpass-nginx-'));
    const { cert, key } = await certificate();
    await writeFile(join(dir, 'cert.pem'), cert);
    await writeFile(join(dir, 'key.pem'), key, { mode: 0o600 });
    ca = Buffer.from(cert);
    const gatewayPort = await freePort();
    url = `https://127.0.0.1:${await startNginx(`http://127.0.0.1:${gatewayPort}`)}`;
    place = await startBehind({
      port: gatewayPort,
      server: { externalUrls: [url] },
      gateway: { externalUrls: [url], trustedProxies: ['127.0.0.1'] },
      async prepared(upstream) {
        runner = await upstream.runner();
        await upstream.must('PUT', `/api/v4/runners/${runner.id}`, { trust: 'none' });
        return { trustedRunners: [runner.id as never] };
      },
    });
    alice = await place.upstream.user('alice');
    app = await place.upstream.project('team/app');
    await place.upstream.member(app, alice.id, 40);
    const ci = `job:\n  rules: [{if: '$CI_PIPELINE_SOURCE == "api"'}]\n  variables: {JOBPASS_EXPOSE: variable}\n  script: ["true"]\n`;
    await place.upstream.commit(app, '.gitlab-ci.yml', ci, { token: alice.token });
  }, 60_000);
  afterAll(async () => {
    for (const child of running) {
      const gone = child.exitCode === null ? once(child, 'exit') : undefined;
      child.kill('SIGQUIT');
      await gone;
    }
    await place?.stop();
    await rm(dir, { recursive: true, force: true });
  });

  test('R16 git clones and pushes with a pass', async () => {
    const one = await job();
    const [work, helper] = [join(dir, 'work'), '!f() { echo username=x; echo "password=$PASS"; }; f'];
    const person = {
      GIT_AUTHOR_NAME: 'a',
      GIT_AUTHOR_EMAIL: 'a@example.com',
      GIT_COMMITTER_NAME: 'a',
      GIT_COMMITTER_EMAIL: 'a@example.com',
    };
    const plain = { PATH: process.env['PATH'] ?? '', HOME: dir, GIT_CONFIG_NOSYSTEM: '1', GIT_TERMINAL_PROMPT: '0' };
    const env = { ...plain, ...person, PASS: one.pass, GIT_SSL_CAINFO: join(dir, 'cert.pem') };
    const git = (...args: string[]) => run('git', ['-c', 'credential.helper=', '-c', `credential.helper=${helper}`, ...args], { env });
    await git('clone', '-q', `${url}/team/app.git`, work);
    await writeFile(join(work, 'large.bin'), randomBytes(3_000_000));
    await git('-C', work, 'checkout', '-q', '-b', 'topic');
    await git('-C', work, 'add', '.');
    await git('-C', work, 'commit', '-q', '-m', 'large');
    await git('-C', work, 'push', '-q', 'origin', 'topic');
    const { status } = await place.upstream.call('GET', `/api/v4/projects/${app}/repository/branches/topic`, { token: alice.token });
    expect(status).toBe(200);
    await one.end();
    await expect(git('-C', work, 'fetch', '-q')).rejects.toThrow();
  }, 60_000);

  test.skipIf(!has('skopeo'))(
    'images are pushed and pulled with a pass',
    async () => {
      const one = await job();
      const layer = join(dir, 'image.tar');
      await writeFile(join(dir, 'hello'), 'hello\n');
      await run('tar', ['-C', dir, '-cf', layer, 'hello']);
      const env = { PATH: process.env['PATH'] ?? '', HOME: dir, XDG_RUNTIME_DIR: dir, REGISTRY_AUTH_FILE: join(dir, 'auth.json') };
      const { host } = new URL(url);
      const login = run('skopeo', ['login', '--tls-verify=false', '--username', 'any', '--password-stdin', host], { env });
      login.child.stdin?.end(one.pass);
      await login;
      const image = `docker://${host}/team/app/tool:1`;
      await run('skopeo', ['copy', '--dest-tls-verify=false', `tarball:${layer}`, image], { env });
      await run('skopeo', ['copy', '--src-tls-verify=false', image, `oci:${join(dir, 'pulled')}:1`], { env });
      await one.end();
      await expect(run('skopeo', ['inspect', '--tls-verify=false', image], { env })).rejects.toThrow();
    },
    60_000,
  );

  test('a long poll is held until there is a job', async () => {
    const first = await fetch(`${place.gateway.url}/api/v4/jobs/request`, {
      method: 'POST',
      headers: json,
      body: JSON.stringify({ token: runner.token, info: {} }),
    });
    expect(first.status).toBe(204);
    const held = claim(first.headers.get('x-gitlab-last-update') ?? '');
    await startPipeline();
    let answer = await held;
    // Any change of the queue ends the poll; the job is there at the latest with the next.
    for (let tries = 0; answer.status === 204 && tries < 5; tries += 1) answer = await claim();
    expect(answer.status).toBe(201);
  });

  test('a large body goes up and comes down unharmed, larger than what nginx takes unasked', async () => {
    const one = await job();
    const bytes = randomBytes(8 * 1024 * 1024);
    const at = `/api/v4/projects/${app}/packages/generic/tool/1.0/tool.bin`;
    const put = await ask('PUT', at, { 'private-token': one.pass, 'content-type': 'application/octet-stream' }, bytes);
    expect(put.status, put.body.toString()).toBe(201);
    const { body } = await ask('GET', at, { 'private-token': one.pass });
    expect(createHash('sha256').update(body).digest('hex')).toBe(createHash('sha256').update(bytes).digest('hex'));
    await one.end();
  });

  describe('in front of a forge that a test holds in its hands', () => {
    let gateway: TestGateway;
    let port: number;
    let heard: IncomingMessage['headers'] = {};
    const forge = createServer((incoming, response) => {
      heard = incoming.headers;
      response.end('plain');
    });
    forge.on('upgrade', (incoming: IncomingMessage, socket) => {
      heard = incoming.headers;
      socket.on('error', () => {});
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nwelcome');
      socket.on('data', (chunk: Buffer) => socket.end(chunk));
    });

    beforeAll(async () => {
      await new Promise<void>((resolve) => forge.listen(0, '127.0.0.1', resolve));
      const upstream = `http://127.0.0.1:${(forge.address() as AddressInfo).port}`;
      gateway = await startTestGateway(upstream, 'glpat-none', { trustedProxies: ['127.0.0.1'] });
      port = await startNginx(gateway.url);
    });
    afterAll(async () => {
      await gateway?.stop();
      forge.closeAllConnections();
      forge.close();
    });

    const exchange = (lines: readonly string[], socket = connectTls({ host: '127.0.0.1', port, ca })): Promise<string> =>
      new Promise((resolve, reject) => {
        let text = '';
        socket.on('error', reject);
        socket.on('data', (chunk: Buffer) => {
          text += chunk.toString();
          if (text.endsWith('welcome')) socket.write('over the tunnel');
        });
        socket.on('close', () => resolve(text));
        socket.write(`${lines.join('\r\n')}\r\n\r\n`);
      });

    test('A23 the client is who nginx says, whatever the client says', async () => {
      const claims = [
        'X-Forwarded-For: 192.0.2.1',
        'X-Forwarded-Proto: http',
        'X-Forwarded-Host: evil.example',
        'Forwarded: for=192.0.2.1',
      ];
      await exchange(['GET /x HTTP/1.1', 'Host: gitlab.example.com', 'Connection: close', ...claims]);
      expect(heard).toMatchObject({
        'x-forwarded-for': expect.stringMatching(/^127\.0\.0\.1(?:, 127\.0\.0\.1)?$/),
        'x-forwarded-proto': 'https',
        'x-forwarded-host': 'gitlab.example.com',
        'x-forwarded-port': '443',
      });
      expect(JSON.stringify(heard)).not.toMatch(/192\.0\.2\.1|evil/);
      expect(heard['forwarded']).toBeUndefined();
    });

    test('a websocket is a tunnel both ways', async () => {
      const upgrade = ['GET /-/cable HTTP/1.1', 'Host: gitlab.example.com', 'Connection: Upgrade', 'Upgrade: websocket'];
      expect(await exchange(upgrade)).toMatch(/^HTTP\/1\.1 101 [^]*welcomeover the tunnel$/);
    });
  });
});
