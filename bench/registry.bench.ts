import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash, hash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Pool } from 'undici';
import { randomBase62 } from '../src/base/secret.ts';

/**
 * Pushing and pulling images over the wire: jobpass (a registry token, authorised and audited each time, flushed and hashed before it answers)
 * against Debian's docker-registry (no authorisation, no flush) on the same disk, turn by turn. CPU is of the server's processes.
 */
const rounds = 3;
const bigMiB = Number(process.env['BENCH_BLOB_MIB'] ?? '1024');
const smallBlobs = 1000;
const smallBytes = 2048;
const manifestReads = 2000;
const launcher = fileURLToPath(new URL('../bin/jobpass.js', import.meta.url));
const peerBinary = '/usr/bin/docker-registry';
const imageType = 'application/vnd.oci.image.manifest.v1+json';

interface Target {
  readonly name: 'jobpass' | 'docker-registry';
  readonly url: string;
  readonly repository: string;
  readonly pid: number;
  readonly pool: Pool;
  /** Registry tokens are short; each round has its own. */
  headers(): Promise<Record<string, string>>;
}

interface Sample {
  readonly rate: number;
  readonly cpuSeconds: number;
}

export async function run(): Promise<void> {
  const missing = [peerBinary, '/usr/bin/curl'].filter((path) => !existsSync(path));
  if (missing.length > 0) {
    console.log(`not run: install docker-registry and curl (missing: ${missing.join(', ')})`);
    return;
  }
  const top = await mkdtemp(join(tmpdir(), 'jobpass-bench-registry-'));
  const children: ChildProcess[] = [];
  const targets: Target[] = [];
  try {
    const big = await bigFile(join(top, 'big'));
    targets.push(await startOurs(top, children), await startPeer(top, children));
    const results = new Map<string, Map<Target['name'], Sample[]>>();
    // A first turn that does not count: both have run for longer than a second where images are pulled from.
    for (const target of targets) await measure(target, big);
    for (let round = 0; round < rounds; round += 1) {
      // Who goes first changes: the disk is not the same for the second.
      for (const target of round % 2 === 0 ? targets : targets.toReversed()) {
        for (const [what, sample] of await measure(target, big)) {
          const row = results.get(what) ?? new Map<Target['name'], Sample[]>();
          row.set(target.name, [...(row.get(target.name) ?? []), sample]);
          results.set(what, row);
        }
      }
    }
    for (const [what, row] of results) print(what, row.get('jobpass') ?? [], row.get('docker-registry') ?? []);
  } finally {
    for (const target of targets) await target.pool.close();
    for (const child of children) {
      if (child.exitCode !== null || child.pid === undefined) continue;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      process.kill(-child.pid, 'SIGTERM');
      await gone;
    }
    await rm(top, { recursive: true, force: true });
  }
}

function print(what: string, ours: readonly Sample[], theirs: readonly Sample[]): void {
  const [us, them] = [median(ours.map((one) => one.rate)), median(theirs.map((one) => one.rate))];
  const cpu = (samples: readonly Sample[]): string => median(samples.map((one) => one.cpuSeconds)).toFixed(2);
  const rates = `jobpass ${us.toFixed(0)}, docker-registry ${them.toFixed(0)}, ratio ${(us / them).toFixed(2)}`;
  console.log(`${what.padEnd(34)} ${rates.padEnd(56)} CPU s ${cpu(ours)} / ${cpu(theirs)}`);
}

/** One turn of everything. Dirty pages of the one before are not this one's. */
async function measure(target: Target, big: Big): Promise<readonly (readonly [string, Sample])[]> {
  spawnSync('sync');
  const samples: (readonly [string, Sample])[] = [];
  const timed = async (what: string, units: number, work: () => Promise<void>): Promise<void> => {
    const [cpu, started] = [cpuSeconds(target.pid), performance.now()];
    await work();
    const seconds = (performance.now() - started) / 1000;
    samples.push([what, { rate: units / seconds, cpuSeconds: cpuSeconds(target.pid) - cpu }]);
  };
  const headers = await target.headers();
  await timed(`PUT ${bigMiB} MiB, MB/s`, big.sizeBytes / 1e6, () => putBig(target, headers, big));
  await timed(`GET ${bigMiB} MiB, MB/s`, big.sizeBytes / 1e6, () => getBig(target, headers, big));
  spawnSync('sync');
  for (const parallel of [1, 8]) {
    const blobs = Array.from({ length: smallBlobs }, () => randomBytes(smallBytes));
    await timed(`2 KiB in (POST + PUT), /s, ${parallel} at a time`, smallBlobs, () =>
      each(blobs, parallel, (blob) => putSmall(target, headers, blob)),
    );
    await timed(`2 KiB out, /s, ${parallel} at a time`, smallBlobs, () =>
      each(blobs, parallel, async (blob) => {
        const path = `/v2/${target.repository}/blobs/${digestOf(blob)}`;
        const { statusCode, body } = await target.pool.request({ method: 'GET', path, headers });
        const bytes = await body.arrayBuffer();
        if (statusCode !== 200 || bytes.byteLength !== smallBytes) throw new Error(`GET ${path}: ${statusCode}`);
      }),
    );
    const manifest = await putManifest(target, headers, blobs[0] ?? Buffer.alloc(0));
    await timed(`manifest GET, /s, ${parallel} at a time`, manifestReads, () =>
      each(Array.from({ length: manifestReads }), parallel, async () => {
        const path = `/v2/${target.repository}/manifests/latest`;
        const { statusCode, body } = await target.pool.request({ method: 'GET', path, headers: { ...headers, accept: imageType } });
        if (statusCode !== 200 || (await body.text()) !== manifest) throw new Error(`GET ${path}: ${statusCode}`);
      }),
    );
  }
  return samples;
}

interface Big {
  readonly path: string;
  readonly digest: string;
  readonly sizeBytes: number;
}

async function bigFile(path: string): Promise<Big> {
  const file = await open(path, 'w');
  const digest = createHash('sha256');
  for (let at = 0; at < bigMiB; at += 1) {
    const bytes = randomBytes(1024 * 1024);
    digest.update(bytes);
    await file.write(bytes);
  }
  await file.close();
  return { path, digest: `sha256:${digest.digest('hex')}`, sizeBytes: bigMiB * 1024 * 1024 };
}

async function putBig(target: Target, headers: Record<string, string>, big: Big): Promise<void> {
  const url = withDigest(await begin(target, headers), big.digest);
  await curl(headers, ['--upload-file', big.path, '--header', 'expect:', '--header', 'content-type: application/octet-stream', url], '201');
}

function getBig(target: Target, headers: Record<string, string>, big: Big): Promise<void> {
  return curl(headers, [`${target.url}/v2/${target.repository}/blobs/${big.digest}`], '200');
}

/** Beside us, so that the client's work is not on the loop that measures; the token comes by standard input. */
async function curl(headers: Record<string, string>, args: readonly string[], wanted: string): Promise<void> {
  const child = spawn('curl', ['--silent', '--output', '/dev/null', '--write-out', '%{http_code}', '--config', '-', ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.end(
    Object.entries(headers)
      .map(([name, value]) => `header = "${name}: ${value}"\n`)
      .join(''),
  );
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await new Promise((resolve) => child.once('close', resolve));
  if (said !== wanted) throw new Error(`curl ${args.join(' ')}: ${said}`);
}

/** @returns where the upload goes on */
async function begin(target: Target, headers: Record<string, string>): Promise<string> {
  const path = `/v2/${target.repository}/blobs/uploads/`;
  const answer = await target.pool.request({ method: 'POST', path, headers: { ...headers, 'content-length': '0' } });
  await answer.body.dump();
  const location = answer.headers['location'];
  if (answer.statusCode !== 202 || typeof location !== 'string') throw new Error(`POST ${path}: ${answer.statusCode}`);
  return new URL(location, target.url).href;
}

function withDigest(location: string, digest: string): string {
  const url = new URL(location);
  url.searchParams.set('digest', digest);
  return url.href;
}

async function putSmall(target: Target, headers: Record<string, string>, bytes: Buffer): Promise<void> {
  const url = new URL(withDigest(await begin(target, headers), digestOf(bytes)));
  const path = `${url.pathname}${url.search}`;
  const { statusCode, body } = await target.pool.request({
    method: 'PUT',
    path,
    headers: { ...headers, 'content-type': 'application/octet-stream' },
    body: bytes,
  });
  await body.dump();
  if (statusCode !== 201) throw new Error(`PUT ${path}: ${statusCode}`);
}

async function putManifest(target: Target, headers: Record<string, string>, blob: Buffer): Promise<string> {
  const part = { digest: digestOf(blob), size: blob.length };
  const text = JSON.stringify({
    schemaVersion: 2,
    mediaType: imageType,
    config: { ...part, mediaType: 'application/vnd.oci.image.config.v1+json' },
    layers: [{ ...part, mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip' }],
  });
  const path = `/v2/${target.repository}/manifests/latest`;
  const { statusCode, body } = await target.pool.request({
    method: 'PUT',
    path,
    headers: { ...headers, 'content-type': imageType },
    body: text,
  });
  await body.dump();
  if (statusCode !== 201) throw new Error(`PUT ${path}: ${statusCode}`);
  return text;
}

async function each<Item>(items: readonly Item[], parallel: number, work: (item: Item) => Promise<void>): Promise<void> {
  const queue = items.values();
  const worker = async (): Promise<void> => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: parallel }, worker));
}

async function startOurs(top: string, children: ChildProcess[]): Promise<Target> {
  const root = `glpat-${randomBase62(20)}`;
  const child = spawn(process.execPath, [launcher, 'serve', '--data', join(top, 'data'), '--listen', '127.0.0.1:0'], {
    env: { ...process.env, JOBPASS_ROOT_TOKEN: root },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  children.push(child);
  const url = await new Promise<string>((resolve, reject) => {
    let seen = '';
    const look = (chunk: Buffer): void => {
      seen += chunk.toString();
      const match = /listening on (http:\S+)/.exec(seen);
      if (match === null) return;
      resolve(match[1] ?? '');
      // The log goes on for as long as the server: read it, and do nothing with it.
      for (const stream of [child.stdout, child.stderr]) stream.off('data', look).resume();
    };
    child.stdout.on('data', look);
    child.stderr.on('data', look);
    child.once('exit', () => reject(new Error(`the server ended: ${seen}`)));
  });
  const post = async (path: string, body: unknown): Promise<{ id: number }> => {
    const answer = await fetch(`${url}${path}`, {
      method: 'POST',
      headers: { 'private-token': root, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as { id: number };
  };
  const group = await post('/api/v4/groups', { name: 'bench', path: 'bench', visibility: 'private' });
  await post('/api/v4/projects', { name: 'images', path: 'images', namespace_id: group.id, visibility: 'private' });
  const basic = `Basic ${Buffer.from(`root:${root}`).toString('base64')}`;
  return {
    name: 'jobpass',
    url,
    repository: 'bench/images',
    pid: child.pid ?? 0,
    pool: new Pool(url, { connections: 8 }),
    async headers() {
      const ask = `${url}/jwt/auth?service=container_registry&scope=repository:bench/images:pull,push`;
      const answer = await fetch(ask, { headers: { authorization: basic } });
      const { token } = (await answer.json()) as { token: string };
      return { authorization: `Bearer ${token}` };
    },
  };
}

async function startPeer(top: string, children: ChildProcess[]): Promise<Target> {
  const port = await freePort();
  const config = join(top, 'peer.yml');
  await writeFile(
    config,
    `version: 0.1
log: { level: error, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: ${join(top, 'peer')} } }
http: { addr: 127.0.0.1:${port} }
`,
  );
  const child = spawn(peerBinary, ['serve', config], { stdio: 'ignore', detached: true });
  children.push(child);
  const url = `http://127.0.0.1:${port}`;
  for (let tries = 0; tries < 200 && !(await reachable(url)); tries += 1) await new Promise((resolve) => setTimeout(resolve, 25));
  const pool = new Pool(url, { connections: 8 });
  return { name: 'docker-registry', url, repository: 'bench/images', pid: child.pid ?? 0, pool, headers: async () => ({}) };
}

/** Of a process and all below it, user and system. @see proc(5), /proc/pid/stat */
function cpuSeconds(pid: number): number {
  let ticks = 0;
  const byParent = new Map<number, number[]>();
  const own = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const fields = statOf(name);
    byParent.set(Number(fields[1]), [...(byParent.get(Number(fields[1])) ?? []), Number(name)]);
    own.set(Number(name), Number(fields[11] ?? 0) + Number(fields[12] ?? 0));
  }
  const queue = [pid];
  for (const one of queue) {
    ticks += own.get(one) ?? 0;
    queue.push(...(byParent.get(one) ?? []));
  }
  return ticks / 100;
}

function statOf(pid: string): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
  } catch {
    // It ended meanwhile.
    return [];
  }
}

function digestOf(bytes: Buffer): string {
  return `sha256:${hash('sha256', bytes, 'hex')}`;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

async function reachable(url: string): Promise<boolean> {
  try {
    await fetch(`${url}/v2/`);
    return true;
  } catch {
    return false;
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0;
}
