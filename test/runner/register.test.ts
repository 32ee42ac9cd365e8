import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { silentLog } from '../../src/base/log.ts';
import { Secret } from '../../src/base/secret.ts';
import { appendEntry, readConfig } from '../../src/runner/config.ts';
import { startRunner } from '../../src/runner/loop.ts';
import { registerRunner, unregisterRunner, verifyRunner } from '../../src/runner/register.ts';
import { certificate } from '../support/certificate.ts';
import { FakeForge } from './support/fake-forge.ts';

let dir: string;
let forge: FakeForge;
let configPath: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'jobpass-register-'));
  forge = await new FakeForge(dir).start();
  configPath = join(dir, 'runner', 'config.toml');
});
afterEach(async () => {
  await forge.close();
  await rm(dir, { recursive: true, force: true });
});

const register = (more: object = {}) =>
  registerRunner({ url: `${forge.url}/`, token: new Secret('glrt-good'), executor: 'shell', configPath, name: 'one', ...more });

describe('registration', () => {
  test('R7 makes a key, signs with it, and writes the entry where only its owner reads', async () => {
    expect(await register()).toEqual({ id: 7, name: 'one' });
    const [request] = forge.requests;
    expect(request?.signed).toBe(true);
    expect(request?.body).toMatchObject({
      token: 'glrt-good',
      system_id: expect.stringMatching(/^[sr]_\w{12}$/),
      info: { jobpass: { verdict: 'withhold' } },
    });
    const config = await readConfig(configPath);
    expect(config.entries[0]).toMatchObject({ name: 'one', url: forge.url, executor: 'shell' });
    for (const file of [configPath, config.entries[0]?.keyFile ?? '']) expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(JSON.stringify(config.entries)).not.toContain('glrt-good');
  });

  test('a refusal leaves nothing behind', async () => {
    await expect(register({ token: new Secret('glrt-bad') })).rejects.toMatchObject({ code: 'credential_invalid' });
    expect((await readdir(join(dir, 'runner'))).filter((name) => !name.startsWith('.runner_system_id'))).toEqual([]);
  });

  test('a file that cannot be added to is refused before the server pins a key', async () => {
    await mkdir(join(dir, 'runner'));
    await writeFile(configPath, 'concurrent = 1\n[[runners]\n');
    await expect(register()).rejects.toMatchObject({ code: 'invalid_input', message: `${configPath} is not valid TOML: see line 2.` });
    expect(forge.requests).toEqual([]);
    expect(await readdir(join(dir, 'runner'))).toEqual(['config.toml']);
  });

  test.skipIf(process.getuid?.() !== 0)('R8 where the users of jobs could not reach their folders nothing is served', async () => {
    await register();
    await expect(startRunner({ configPath, log: silentLog })).rejects.toMatchObject({
      code: 'invalid_input',
      message: expect.stringContaining('builds_dir: the user of the job cannot pass through'),
    });
    for (const folder of [dir, join(dir, 'runner')]) await chmod(folder, 0o711);
    await (await startRunner({ configPath, log: silentLog })).stop();
  });

  test('a server whose authority only a file names is registered at, and asked by that file from then on', async () => {
    const pem = await certificate();
    const server = createServer(pem, (_request, response) => void response.end('{"id":7}'));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    try {
      const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
      await expect(register({ url })).rejects.toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
      const tlsCaFile = join(dir, 'authority.pem');
      await expect(register({ url, tlsCaFile })).rejects.toMatchObject({ message: `tls-ca-file: ${tlsCaFile} cannot be read.` });
      await writeFile(tlsCaFile, pem.cert);
      await register({ url, tlsCaFile });
      expect(await verifyRunner({ configPath })).toEqual([{ name: 'one', id: 7, problem: undefined }]);
    } finally {
      server.close();
    }
  });

  test('an unknown executor is refused before anything is asked', async () => {
    await expect(register({ executor: 'spaceship' })).rejects.toMatchObject({ code: 'invalid_input' });
    expect(forge.requests).toEqual([]);
  });

  test('keeps what is in the file; verify and unregister go through it', async () => {
    await register();
    await writeFile(configPath, `# a comment of the operator\n${await readFile(configPath, 'utf8')}`);
    await register({ name: 'two' });
    expect(await readFile(configPath, 'utf8')).toContain('# a comment of the operator');
    expect((await verifyRunner({ configPath })).map(({ name, problem }) => [name, problem])).toEqual([
      ['one', undefined],
      ['two', undefined],
    ]);
    expect(await unregisterRunner({ configPath, name: 'two' })).toEqual(['two']);
  });
});

describe('config.toml', () => {
  test('reads gitlab-runner’s own, keeping unknown keys for the gate', async () => {
    const path = join(dir, 'stock.toml');
    await writeFile(
      path,
      'concurrent = 4\n[[runners]]\nname = "a"\nurl = "https://forge.example/ci"\ntoken = "t"\nexecutor = "docker"\nnovelty = 1\n[runners.docker]\nimage = "alpine"\n',
    );
    const config = await readConfig(path);
    expect(config).toMatchObject({ concurrent: 4, checkIntervalSeconds: 3, raw: { runners: [{ novelty: 1 }] } });
    expect(config.entries[0]).toMatchObject({ url: 'https://forge.example', executor: 'docker', unsafe: false });
  });

  test('R6 an error shows nothing of the file', async () => {
    const path = join(dir, 'broken.toml');
    await writeFile(path, 'token = "glrt-secret\n');
    const error = await readConfig(path).catch((caught: unknown) => caught);
    expect(String(error instanceof Error ? `${error.message} ${String(error.cause)} ${error.stack ?? ''}` : error)).not.toContain(
      'glrt-secret',
    );
    await expect(
      appendEntry(path, { name: 'x', id: 1, url: 'u', token: new Secret('t'), executor: 'shell', keyFile: 'k' }),
    ).rejects.toThrow();
  });
});
