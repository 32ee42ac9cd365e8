import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'smol-toml';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { safeConfigs } from '../runner/gate/configs.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const launcher = fileURLToPath(new URL('../../bin/jobpass.js', import.meta.url));
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jobpass-gate-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function file(name: string, text: string): Promise<string> {
  await writeFile(join(folder, name), text);
  return join(folder, name);
}

function gate(args: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [launcher, 'gate', ...args], {
    env: { PATH: process.env['PATH'] ?? '', HOME: folder, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => (out += String(chunk)));
  child.stderr.on('data', (chunk) => (err += String(chunk)));
  return new Promise<{ code: number | null; out: string; err: string }>((resolve) =>
    child.once('close', (code) => resolve({ code, out, err })),
  );
}

describe('jobpass gate', () => {
  test('R7 says expose with 0, withhold with 1, wrong use with 2', async () => {
    const safe = await file('safe.toml', safeConfigs.docker);
    const shell = await file('shell.toml', '[[runners]]\nname = "s"\ntoken = "glrt-hiddenhidden"\nexecutor = "shell"\n');
    const exposed = await gate(['--config', safe]);
    expect([exposed.code, exposed.out]).toEqual([0, expect.stringContaining('verdict: expose')]);
    const withheld = await gate(['--config', shell]);
    expect(withheld.code).toBe(1);
    expect(withheld.out).toContain('judged as run by gitlab-runner');
    expect(withheld.out).toMatch(/unsafe {2}runners\[0\]\.executor \(s\) {2}shell executor: nothing keeps jobs/);
    expect(withheld.out).toContain('-> Use the docker executor');
    // No colours where it is no terminal, no value of the file anywhere.
    expect(withheld.out + withheld.err).not.toMatch(/\u001b|hidden/);
    for (const args of [
      [],
      ['--config', safe, '--for', 'anyone'],
      ['--nonsense'],
      ['--config', safe, '--apply', '--server', 'http://127.0.0.1:1'],
    ])
      expect([args, (await gate(args, { JOBPASS_TOKEN: 'glpat-x' })).code]).toEqual([args, 2]);
  });

  test('R7 a file of gitlab-runner is judged, with keys that jobpass runner does not serve; what register writes for unset ones is no finding', async () => {
    // `gitlab-runner register` 16.11 writes these; the helper image is an operator's choice that only gitlab-runner heeds.
    const unset = 'privileged = false\noom_kill_disable = false\nnetwork_mtu = 0\nshm_size = 0\nhelper_image = "helper:1"\n';
    const path = await file('stock.toml', `[[runners]]\nname = "d"\nexecutor = "docker"\n[runners.docker]\n${unset}`);
    const { code, out } = await gate(['--config', path]);
    expect(code).toBe(1);
    expect(out).not.toContain('cannot be read');
    expect(out).toContain('runners[0].docker.helper_image');
    expect(out).not.toMatch(/oom_kill_disable|network_mtu/);
  });

  test('R13 a file that is missing, empty or no TOML withholds, and nothing of it is printed', async () => {
    const broken = await file('broken.toml', 'token = "glrt-hiddenhidden\n');
    for (const path of [join(folder, 'none.toml'), broken, await file('empty.toml', ''), folder]) {
      const { code, out, err } = await gate(['--config', path]);
      expect([path, code]).toEqual([path, 1]);
      expect(out + err).toContain('verdict: withhold');
      expect(out + err).not.toContain('hidden');
    }
  });

  test('R7 --json is the verdict for machines; --for says what runs the jobs', async () => {
    const path = await file('plain.toml', '[[runners]]\nexecutor = "docker"\n[runners.docker]\nimage = "alpine"\n');
    const stock = await gate(['--config', path, '--json']);
    expect([stock.code, JSON.parse(stock.out)]).toMatchObject([1, { for: 'gitlab-runner', verdict: 'withhold', pinned: [] }]);
    expect(JSON.parse(stock.out).findings).toContainEqual(
      expect.objectContaining({ key: 'runners[0].docker.disable_cache', safe: false, remedy: 'Set it to true.' }),
    );
    expect((await gate(['--config', path, '--for', 'jobpass'])).code).toBe(0);
    const ours = await file(
      'ours.toml',
      '[[runners]]\nexecutor = "docker"\n[runners.docker]\nimage = "alpine"\n[runners.jobpass]\nkey = "k"\n',
    );
    const own = await gate(['--config', ours, '--json']);
    expect([own.code, JSON.parse(own.out)]).toMatchObject([0, { for: 'jobpass', verdict: 'expose' }]);
    // Nothing judged as ours is pinned to a runner that may be another.
    for (const args of [
      ['--config', ours],
      ['--config', path, '--for', 'jobpass'],
    ])
      expect((await gate([...args, '--apply', '--server', 'http://127.0.0.1:1', '--runner', '1'])).code).toBe(2);
  });
});

describe('jobpass gate --apply', () => {
  let server: TestServer;
  let runner: { id: number; token: string };
  let alice: { id: number; token: string };
  let app: number;
  const record = () => server.must('GET', `/api/v4/runners/${runner.id}`);
  const config = async (executor: string, extra: object = {}) => {
    const entry = { id: runner.id, url: `${server.url}/`, token: runner.token, executor };
    const docker = { image: 'alpine', disable_cache: true, ...extra };
    const flags = { FF_NETWORK_PER_BUILD: true };
    return file('apply.toml', stringify({ runners: [{ ...entry, docker, feature_flags: flags }] }));
  };
  const apply = async (path: string, ...more: string[]) =>
    gate(['--config', path, '--apply', '--server', server.url, '--token-file', await file('token', `${server.root}\n`), ...more]);

  beforeAll(async () => {
    server = await startTestServer();
    alice = await server.user('alice');
    app = await server.project('team/app');
    await server.member(app, alice.id, 40);
    runner = await server.runner();
    const job = 'build:\n  variables: { JOBPASS_EXPOSE: variable }\n  script: [make]\n';
    await server.commit(app, '.gitlab-ci.yml', job, { token: alice.token });
  });
  afterAll(() => server.stop());

  /** What an older runner, which signs nothing, is given for a job that asks to see its pass. */
  async function claimed() {
    await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
    const job = await server.claim(runner.token);
    if (job === undefined) throw new Error('there is no job');
    await server.finish(job);
    return job;
  }

  test('R7 an older runner gets a full pass with trust full and a pinned expose, and not with one of them', async () => {
    expect((await claimed()).pass).toBeUndefined();
    const done = await apply(await config('docker'));
    expect([done.code, done.out]).toEqual([0, expect.stringContaining(`pinned: runner ${runner.id}: expose`)]);
    expect(await record()).toMatchObject({ pinned_verdict: 'expose', pinned_reasons: [], pinned_at: expect.any(String) });
    expect((await claimed()).pass).toBeUndefined();
    await server.must('PUT', `/api/v4/runners/${runner.id}`, { trust: 'full' });
    expect((await claimed()).pass).toMatch(/^jpt_x/);
    await server.must('PUT', `/api/v4/runners/${runner.id}`, { pinned_verdict: null });
    expect((await claimed()).pass).toBeUndefined();
  });

  test('R7 the pin follows the file: a mount of the host is pinned as withhold, with its reason; --clear takes it away', async () => {
    const { code, out } = await apply(await config('docker', { volumes: ['/srv:/srv'] }));
    expect([code, out]).toEqual([1, expect.stringContaining(`pinned: runner ${runner.id}: withhold`)]);
    expect(await record()).toMatchObject({
      pinned_verdict: 'withhold',
      pinned_reasons: [expect.stringMatching(/^runners\[0\]\.docker\.volumes: a volume is a path of the machine/)],
    });
    expect((await claimed()).pass).toBeUndefined();
    const cleared = await gate(['--clear', '--server', server.url, '--runner', String(runner.id)], { JOBPASS_TOKEN: server.root });
    expect([cleared.code, cleared.out]).toEqual([0, `cleared: runner ${runner.id} has no pinned verdict\n`]);
    expect(await record()).toMatchObject({ pinned_verdict: null, pinned_reasons: [], pinned_at: null });
  });

  test('R7 a file that cannot be read is pinned as withhold where the runner is named', async () => {
    const { code } = await apply(await file('damaged.toml', '= ='), '--runner', String(runner.id));
    expect(code).toBe(1);
    expect(await record()).toMatchObject({ pinned_verdict: 'withhold' });
  });

  test('R14 an id belongs to the server of its entry: another server, or another id, is not pinned', async () => {
    const path = await config('docker');
    const elsewhere = await file(
      'elsewhere.toml',
      stringify({ runners: [{ id: runner.id, url: 'https://gitlab.example.com', executor: 'shell' }] }),
    );
    expect((await apply(elsewhere)).code).toBe(2);
    expect((await apply(path, '--runner', '99999')).code).toBe(2);
    const lost = await apply(elsewhere, '--runner', '99999');
    expect([lost.code, lost.out]).toEqual([3, expect.stringMatching(/^not pinned: .*404/m)]);
    expect(lost.out + lost.err).not.toContain(server.root);
  });

  test('R7 only an admin pins; what is pinned is checked', async () => {
    const put = (body: object, token?: string) => server.call('PUT', `/api/v4/runners/${runner.id}`, { body, token: token ?? server.root });
    expect((await put({ pinned_verdict: 'expose' }, alice.token)).status).toBe(403);
    for (const body of [
      { pinned_verdict: 'maybe' },
      { pinned_verdict: '' },
      { pinned_reasons: ['alone'] },
      { pinned_verdict: 'withhold', pinned_reasons: ['x'.repeat(301)] },
      { pinned_verdict: 'withhold', pinned_reasons: ['\u001b[2J'] },
      { pinned_verdict: 'withhold', pinned_reasons: 'text' },
      { pinned_verdict: 'withhold', pinned_reasons: Array.from({ length: 101 }, () => 'x') },
    ])
      expect([body, (await put(body)).status]).toEqual([body, 400]);
    expect((await record())['pinned_verdict']).toBe('withhold');
    expect((await put({ pinned_verdict: 'none' })).body['pinned_verdict']).toBeNull();
  });
});
