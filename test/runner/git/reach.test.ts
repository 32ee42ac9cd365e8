import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { Secret } from '../../../src/base/secret.ts';
import { addressSetting, fetchEnvironment } from '../../../src/runner/git/environment.ts';
import { isOwn, pinned } from '../../../src/runner/git/reach.ts';
import { FakeForge } from '../support/fake-forge.ts';

const to =
  (...addresses: string[]) =>
  () =>
    Promise.resolve(addresses);

test.each([
  '127.0.0.1',
  '127.9.9.9',
  '0.0.0.0',
  '169.254.169.254',
  '100.100.100.200',
  '::1',
  '::',
  'fe80::1',
  'fd00:ec2::254',
  '::ffff:127.0.0.1',
  '::ffff:a9fe:a9fe',
])('A42 %s is the machine’s own', (address) => {
  expect(isOwn(address)).toBe(true);
});

test.each(['10.0.0.1', '192.168.1.1', '172.17.0.1', '100.100.100.201', '2001:db8::1', 'fd00::1'])('%s is not', (address) => {
  expect(isOwn(address)).toBe(false);
});

test.each([
  'http://127.0.0.1:6379/x.git',
  'http://2130706433/x.git',
  'http://0x7f.1/x.git',
  'http://[::1]/x.git',
  'http://[::ffff:7f00:1]/x.git',
])('A42 %s is refused as it stands', async (text) => {
  await expect(pinned(new URL(text), to())).rejects.toThrow("leads to the runner's own machine");
});

test('A42 a name is refused where one of its addresses is the machine’s own, and else stays with those that were looked at', async () => {
  await expect(pinned(new URL('https://evil.example/x.git'), to('192.0.2.1', '127.0.0.1'))).rejects.toThrow('own machine');
  expect(await pinned(new URL('https://good.example/x.git'), to('192.0.2.1', '2001:db8::1'))).toBe(
    'good.example:443:192.0.2.1,[2001:db8::1]',
  );
  expect(await pinned(new URL('http://good.example:81/x.git'), to('192.0.2.1'))).toBe('good.example:81:192.0.2.1');
  expect(await pinned(new URL('https://192.0.2.1/x.git'), to())).toBeUndefined();
});

test('a name that there is not fails with it', async () => {
  const none = () => Promise.reject(new Error('ENOTFOUND'));
  await expect(pinned(new URL('https://none.example/x.git'), none)).rejects.toThrow('There is no host none.example.');
});

test('A42 git goes where was looked at, whatever the name leads to by then', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'jobpass-reach-'));
  const forge = await new FakeForge(dir).start();
  try {
    forge.repository('a/b', { file: 'text' });
    forge.readers.add('good');
    const { port } = new URL(forge.url);
    const origin = `http://somewhere.invalid:${port}`;
    const credential = { username: 'x', password: new Secret('good'), origins: [origin] };
    const env = fetchEnvironment(dir, credential, undefined, addressSetting(`somewhere.invalid:${port}:127.0.0.1`));
    const { stdout } = await promisify(execFile)('git', ['ls-remote', `${origin}/a/b.git`, 'HEAD'], { env, cwd: dir });
    expect(stdout).toMatch(/^[0-9a-f]{40}\tHEAD\n$/);
  } finally {
    await forge.close();
    await rm(dir, { recursive: true, force: true });
  }
});
