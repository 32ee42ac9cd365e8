import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { Secret } from '../../../src/base/secret.ts';
import { fetchEnvironment, gitEnvironment } from '../../../src/runner/git/environment.ts';
import { parseGitmodules, safePath } from '../../../src/runner/git/gitmodules.ts';
import { forceHttps, repositoryUrl, submoduleUrl } from '../../../src/runner/git/urls.ts';

const parent = new URL('https://forge.example/group/app.git');
const resolved = (text: string): string | undefined => submoduleUrl(parent, text)?.href;

describe('addresses', () => {
  test('R6 a repository’s address loses its userinfo', () => {
    expect(repositoryUrl('https://gitlab-ci-token:secret@forge.example:443/a/b.git').href).toBe('https://forge.example/a/b.git');
  });

  test.each([
    'ssh://git@forge.example/a.git',
    'file:///etc',
    'ext::sh -c id',
    '-oProxyCommand=x',
    'https://forge.example/a\r.git',
    'https:///x',
    'https://forge.example/a%0d%0ahost=evil',
    'https://forge.example/a b',
  ])('A18 %j is no address of a repository', (text) => {
    expect(() => repositoryUrl(text)).toThrow();
  });

  test('relative ones are resolved as git does', () => {
    expect(resolved('../lib.git')).toBe('https://forge.example/group/lib.git');
    expect(resolved('../../libs/greeting.git')).toBe('https://forge.example/libs/greeting.git');
    expect(resolved('./lib.git')).toBe('https://forge.example/group/app.git/lib.git');
    expect(resolved('../../../../../x.git')).toBeUndefined();
  });

  test.each([
    'https://forge.example@evil.example/a.git',
    'https://user:pw@forge.example/a.git',
    '../a.git\r',
    '../a\n.git',
    'git@forge.example:a.git',
    'file:///etc/x',
    '/etc/x',
    'https://forge.example/a\\b',
  ])('A20 A51 %j is none', (text) => {
    expect(resolved(text)).toBeUndefined();
  });

  test('GIT_SUBMODULE_FORCE_HTTPS rewrites the forge’s own ssh addresses only', () => {
    const force = (text: string): string => forceHttps(text, 'forge.example', 'https://forge.example:8443');
    expect(force('git@forge.example:a/b.git')).toBe('https://forge.example:8443/a/b.git');
    expect(force('ssh://git@forge.example:2222/a/b.git')).toBe('https://forge.example:8443/a/b.git');
    expect(force('git@other.example:a/b.git')).toBe('git@other.example:a/b.git');
  });
});

describe('.gitmodules', () => {
  const listing = (name: string, path: string, url: string): string => `submodule.${name}.path\n${path}\0submodule.${name}.url\n${url}\0`;

  test('names, paths and addresses are read as they stand', () => {
    expect(parseGitmodules(listing('lib.x', 'lib/x', '../x.git'))).toEqual([{ name: 'lib.x', path: 'lib/x', url: '../x.git' }]);
  });

  test.each([
    ['lib', 'lib\r', '../x.git'],
    ['lib', '../lib', '../x.git'],
    ['lib', '/lib', '../x.git'],
    ['lib', '.git/modules/x', '../x.git'],
    ['lib', 'a/.GIT /x', '../x.git'],
    ['lib', 'git~1/x', '../x.git'],
    ['../../hooks', 'lib', '../x.git'],
    ['lib', '-u', '../x.git'],
    ['lib', 'lib', '-uexec'],
    ['lib', 'lib', 'https://forge.example/a%0d.git\n'],
    ['lib', 'lib ', '../x.git'],
  ])('A20 refuses %j %j %j', (name, path, url) => {
    expect(() => parseGitmodules(listing(name, path, url))).toThrow();
  });

  test('A20 a path is plain', () => {
    expect(safePath('third-party/lib.v2')).toBe(true);
    expect(safePath('')).toBe(false);
    expect(safePath('a//b')).toBe(false);
    expect(safePath('a/./b')).toBe(false);
  });
});

describe('the credential helper', () => {
  const credential = {
    username: 'gitlab-ci-token',
    password: new Secret('jpt_fsecret'),
    origins: ['http://127.0.0.1:8929', 'https://forge.example'],
  };
  const ask = (input: string): string =>
    spawnSync('git', ['credential', 'fill'], { input, env: fetchEnvironment('/nonexistent', credential), encoding: 'utf8', cwd: '/' })
      .stdout;

  test.each(['protocol=https\nhost=forge.example\n\n', 'protocol=http\nhost=127.0.0.1:8929\npath=a.git\n\n'])('answers %j', (input) => {
    expect(ask(input)).toContain('password=jpt_fsecret');
  });

  test.each([
    'protocol=http\nhost=forge.example\n\n',
    'protocol=https\nhost=forge.example:8443\n\n',
    'protocol=https\nhost=forge.example.evil\n\n',
    'protocol=https\nhost=sub.forge.example\n\n',
    'protocol=https\nhost=127.0.0.1:8929\n\n',
    'protocol=https\nhost=\n\n',
    'protocol=https\nhost=evil.example\nhost=evil.example\n\n',
  ])('A18 A19 A51 answers nothing to %j', (input) => {
    expect(ask(input)).not.toContain('jpt_fsecret');
  });

  test('R6 the secret is in one variable of the process, and in no setting', () => {
    const env = fetchEnvironment('/nonexistent', credential);
    expect(
      Object.entries(env)
        .filter(([, value]) => value.includes('jpt_fsecret'))
        .map(([key]) => key),
    ).toEqual(['JOBPASS_GIT_PASSWORD']);
    expect(JSON.stringify(gitEnvironment('/x'))).not.toContain('PASSWORD');
  });

  test('an origin that is not plain gets no helper', () => {
    const env = fetchEnvironment('/x', { ...credential, origins: ["https://forge.example'; id;'"] });
    expect(JSON.stringify(env)).not.toContain('; id;');
  });
});
