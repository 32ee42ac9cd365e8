import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JobpassError } from '../../src/base/errors.ts';
import { Secret } from '../../src/base/secret.ts';
import { newPassToken } from '../../src/base/pass-token.ts';
import type { Credential, Engine } from '../../src/runner/engine/engine.ts';
import { bytesOf, type DockerConfig, parseDocker } from '../../src/runner/executors/docker/config.ts';
import { bringImage } from '../../src/runner/executors/docker/images.ts';
import { isIn, isNamed, parseReference, serviceNames } from '../../src/runner/executors/docker/reference.ts';
import type { JobNeeds } from '../../src/runner/executors/executor.ts';
import { needsOf } from '../../src/runner/job/needs.ts';
import { parsePayload } from '../../src/runner/job/payload.ts';

const registry = 'forge.example:5000';
const pass = newPassToken('fetch').reveal();
const needs = (change: Partial<JobNeeds> = {}): JobNeeds => ({
  jobId: 1,
  image: undefined,
  services: [],
  serviceEnvironment: {},
  pulls: { registries: [registry], username: 'gitlab-ci-token', password: new Secret(pass) },
  say: () => undefined,
  signal: new AbortController().signal,
  ...change,
});

/** An engine that has every image, and writes down with what it was asked to pull. */
function fakeEngine() {
  const pulled: { reference: string; credential: Credential | undefined }[] = [];
  const engine = {
    call: (_method: string, path: string) => {
      const name = decodeURIComponent(/^\/images\/(.*)\/json$/.exec(path)?.[1] ?? '');
      return Promise.resolve({ Id: `sha256:${'a'.repeat(64)}`, Config: {}, RepoTags: [name], RepoDigests: [name] });
    },
    pull: (reference: string, _platform: unknown, credential: Credential | undefined) =>
      Promise.resolve(void pulled.push({ reference, credential })),
  } as unknown as Engine;
  return { engine, pulled };
}
const config = (text: Record<string, unknown>): DockerConfig => parseDocker({ ...text });

describe('images and who may see the fetch pass', () => {
  test('A52 the credential goes to the registry that is exactly the forge’s, and to no look-alike', async () => {
    const lookAlikes = [
      'forge.example/a/b',
      'forge.example:5000.evil/a/b',
      'forge.example:50000/a/b',
      'forge.example.evil:5000/a/b',
      'evil/forge.example:5000',
      'forge.example-5000/a/b',
      'docker.io/forge.example/a',
      'a/b',
    ];
    for (const name of lookAlikes) {
      const { engine, pulled } = fakeEngine();
      await bringImage(engine, config({}), needs(), name, undefined, undefined).catch(() => undefined);
      expect(
        pulled.filter(({ credential }) => credential !== undefined),
        name,
      ).toEqual([]);
    }
    const { engine, pulled } = fakeEngine();
    await bringImage(engine, config({}), needs(), `${registry.toUpperCase()}/a/b:1`, undefined, undefined);
    expect(pulled).toEqual([
      {
        reference: `${registry.toUpperCase()}/a/b:1`,
        credential: { username: 'gitlab-ci-token', password: pass, serveraddress: registry },
      },
    ]);
  });

  test('A34 R8 an image of the forge is asked of its registry whatever the policy, another one as the policy says', async () => {
    for (const policy of ['always', 'if-not-present']) {
      const { engine, pulled } = fakeEngine();
      await bringImage(engine, config({ pull_policy: policy }), needs(), `${registry}/a/b`, undefined, undefined);
      expect(pulled.map(({ reference }) => reference)).toEqual([`${registry}/a/b:latest`]);
    }
    const never = fakeEngine();
    const refused = bringImage(never.engine, config({ pull_policy: 'never' }), needs(), `${registry}/a/b`, undefined, undefined);
    await expect(refused).rejects.toThrow('never taken without asking');
    expect(never.pulled).toEqual([]);
    const other = fakeEngine();
    await bringImage(other.engine, config({ pull_policy: 'if-not-present' }), needs(), 'alpine', undefined, undefined);
    expect(other.pulled).toEqual([]);
  });

  test('A34 an image that the engine has counts under its own name alone', () => {
    const named = (name: string, tags: readonly string[], digests: readonly string[] = []): boolean => {
      const reference = parseReference(name);
      return reference !== undefined && isNamed(reference, tags, digests);
    };
    const digest = `sha256:${'b'.repeat(64)}`;
    expect(named('alpine', ['docker.io/library/alpine:latest'])).toBe(true);
    expect(named('index.docker.io/alpine', ['alpine:latest'])).toBe(true);
    expect(named('docker.io/a/b:1', ['a/b:1'])).toBe(true);
    expect(named('a/b:1', ['forge.example/a/b:1'])).toBe(false);
    expect(named('forge.example/a/b:1', ['forge.example/a/b:2'])).toBe(false);
    expect(named(`a/b@${digest}`, ['a/b:1'], [`forge.example/a/b@${digest}`])).toBe(false);
    expect(named(`a/b:1@${digest}`, ['a/b:1'], [`a/b@sha256:${'c'.repeat(64)}`])).toBe(false);
    expect(named(`a/b:1@${digest}`, [], [`docker.io/a/b@${digest}`])).toBe(true);
  });

  test('R13 references are read as docker reads them, or not at all', () => {
    expect(parseReference('alpine')).toMatchObject({ registry: 'docker.io', path: 'alpine', full: 'alpine:latest' });
    expect(parseReference('127.0.0.1:8929/a/b:1')).toMatchObject({ registry: '127.0.0.1:8929', path: 'a/b', tag: '1' });
    expect(parseReference('localhost/a')).toMatchObject({ registry: 'localhost', path: 'a' });
    expect(parseReference('group/image')).toMatchObject({ registry: 'docker.io', path: 'group/image' });
    for (const bad of [
      '',
      ' ',
      'a b',
      'a/../b',
      'user@forge.example/a',
      'forge.example:5000@evil/a',
      '-a',
      'a//b',
      'A/b:',
      'http://forge.example/a',
      'a\n',
      'a:1:2',
    ])
      expect(parseReference(bad), bad).toBeUndefined();
    fc.assert(
      fc.property(fc.string({ maxLength: 40 }), (text) => {
        const found = parseReference(text);
        if (found !== undefined && isIn(found, [registry])) expect(text.toLowerCase().startsWith(`${registry}/`)).toBe(true);
      }),
    );
  });

  test('a service has the names that gitlab-runner gives it, and its aliases', () => {
    const names = (text: string, aliases: readonly string[] = []) => serviceNames(parseReference(text), text, aliases);
    expect(names('tutum/wordpress:latest', ['blog'])).toEqual(['tutum__wordpress', 'tutum-wordpress', 'blog']);
    expect(names('forge.example:5000/a/postgres:15')).toEqual(['forge.example__a__postgres', 'forge.example-a-postgres']);
    expect(names('redis', ['bad name', 'good'])).toEqual(['redis', 'good']);
  });

  test('R7 services see the variables of a job that sees no pass', () => {
    const [full, fetch] = [newPassToken('full').reveal(), pass];
    const payload = {
      id: 1,
      token: 'glcbt-x',
      variables: [
        { key: 'CI_JOB_TOKEN', value: 'glcbt-x' },
        { key: 'CI_REGISTRY_PASSWORD', value: 'glcbt-x' },
        { key: 'IMAGE', value: 'redis' },
      ],
      services: [{ name: '$IMAGE:7', alias: 'a, b', variables: [{ key: 'ONE', value: '$IMAGE' }] }],
      extended_job_token: { token: full, fetch_token: fetch, exposure: 'replace', hosts: { registry: [registry] } },
    };
    const opened = {
      job: parsePayload(payload),
      trace: { line: () => undefined } as never,
      control: { script: new AbortController().signal } as never,
    };
    const found = needsOf(opened, new Map());
    expect(JSON.stringify([found.serviceEnvironment, found.services])).not.toContain('jpt_');
    expect(found.services).toMatchObject([{ name: 'redis:7', aliases: ['a', 'b'], variables: { ONE: 'redis' } }]);
    expect(JSON.stringify(found)).not.toContain(pass);
  });

  test('R13 what the configuration says and this runner would not heed is an error, not a silence', () => {
    expect(() => config({ userns_mode: 'host' })).toThrow('[runners.docker] userns_mode: this runner does not have that');
    expect(() => config({ pull_policy: 'sometimes' })).toThrow(JobpassError);
    expect(() => config({ host: 'tcp://10.0.0.1:2375' })).toThrow('unix:///');
    expect(() => config({ memory: 'lots' })).toThrow('512m');
    expect([bytesOf('512m'), bytesOf('1g'), bytesOf('7'), bytesOf('x')]).toEqual([536_870_912, 1_073_741_824, 7, undefined]);
  });
});
