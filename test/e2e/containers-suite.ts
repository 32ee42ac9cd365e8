import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { silentLog } from '../../src/base/log.ts';
import { Secret } from '../../src/base/secret.ts';
import { bridgeAddress } from '../../src/runner/engine/bridge-address.ts';
import { Engine } from '../../src/runner/engine/engine.ts';
import { type RunnerHandle, startRunner } from '../../src/runner/loop.ts';
import { registerRunner } from '../../src/runner/register.ts';
import { engine, layBusybox } from '../support/engine.ts';
import { passesIn } from '../support/pass-forms.ts';
import type { StoryPlace } from '../support/behind.ts';
import { freePort } from '../support/free-port.ts';

const run = promisify(execFile);
const docker = async (...args: string[]): Promise<string> =>
  (await run('docker', args, { maxBuffer: 512 * 1024 * 1024, env: { ...process.env, DOCKER_CONFIG: '/nonexistent' } })).stdout;

/** A job that says it is there, waits to be looked at, and then says what it sees. */
const watchedJob = `
image: $CI_REGISTRY/tools/images/busybox:1
services:
  - name: $CI_REGISTRY/tools/images/busybox:1
    alias: neighbour
    command: ["sh", "-c", "sleep 600"]
build:
  script:
    - cat lib/secret.txt
    - touch ready
    - while [ ! -e go ]; do sleep 0.1; done
    - env | sort
    - for one in /proc/[0-9]*; do tr '\\0' '\\n' < $one/environ; tr '\\0' ' ' < $one/cmdline; done 2>/dev/null || true
`;

/** Where the engine and its containers reach a place: they do not share one loopback address. */
export interface ContainerAddresses {
  readonly listen: readonly [{ readonly host: string; readonly port: number }, { readonly host: string; readonly port: number }];
  readonly external: string;
  readonly registry: string;
}

export interface ContainerPlace extends StoryPlace {
  /** One that may get full passes, once it is `trusted`: after its registration, which brings its key. */
  readonly waiting: { readonly id: number; readonly token: string };
  trusted(): Promise<void>;
}

/** Jobs in containers, looked at from everywhere. @param start makes the place */
export function containersSuite(where: string, start: (at: ContainerAddresses) => Promise<ContainerPlace>): void {
  describe.skipIf(engine() === undefined)(
    `jobs in containers ${where}, with images of another project and no docker login anywhere`,
    { timeout: 120_000 },
    () => {
      let server: ContainerPlace;
      let alice: { id: number; token: string };
      let app: number;
      let handle: RunnerHandle;
      let dir: string;
      let registry: string;
      /** How this runner's containers are labelled. */
      let owner = '';

      beforeAll(async () => {
        dir = await mkdtemp(join(tmpdir(), 'jobpass-containers-'));
        await chmod(dir, 0o711);
        const port = await freePort();
        const client = new Engine(engine()?.socketPath ?? '');
        const gateway = (await bridgeAddress(client)) ?? '';
        client.close();
        registry = `127.0.0.1:${port}`;
        server = await start({
          listen: [
            { host: '127.0.0.1', port },
            { host: gateway, port },
          ],
          external: `http://${gateway}:${port}`,
          registry: `http://${registry}`,
        });
        alice = await server.user('alice');
        app = await server.project('team/app');
        const lib = await server.project('libs/secret');
        const images = await server.project('tools/images');
        await server.member(app, alice.id, 40);
        await server.member(lib, alice.id, 20);
        await server.member(images, alice.id, 30);
        await server.commit(lib, 'secret.txt', 'of the library\n');
        await pushApplication();
        await pushImage();
        const configPath = join(dir, 'config.toml');
        await registerRunner({
          url: server.url,
          token: new Secret(server.waiting.token),
          executor: 'docker',
          configPath,
          name: 'containers',
          buildsDir: join(dir, 'builds'),
        });
        await server.trusted();
        handle = await startRunner({ configPath, log: silentLog, traceIntervalMs: 50, heartbeatMs: 200 });
        expect(handle.verdict).toMatchObject({ verdict: 'expose' });
      }, 120_000);

      afterAll(async () => {
        await handle?.stop();
        await server?.stop();
        await docker('rmi', '-f', `${registry}/tools/images/busybox:1`).catch(() => '');
        await rm(dir, { recursive: true, force: true });
      });

      /** A project with the library as its private submodule. */
      async function pushApplication(): Promise<void> {
        const work = join(dir, 'work');
        const askpass = join(dir, 'askpass');
        await writeFile(askpass, '#!/bin/sh\ncase "$1" in User*) echo alice;; *) cat "$TOKEN_FILE";; esac\n', { mode: 0o700 });
        await writeFile(join(dir, 'token'), alice.token, { mode: 0o600 });
        const env = {
          ...process.env,
          GIT_ASKPASS: askpass,
          TOKEN_FILE: join(dir, 'token'),
          GIT_CONFIG_NOSYSTEM: '1',
          HOME: dir,
          GIT_AUTHOR_NAME: 'alice',
          GIT_AUTHOR_EMAIL: 'alice@example.com',
          GIT_COMMITTER_NAME: 'alice',
          GIT_COMMITTER_EMAIL: 'alice@example.com',
        };
        const git = (...args: string[]) => run('git', args, { env, cwd: args[0] === 'init' ? dir : work });
        await git('init', '-q', '-b', 'main', work);
        await git('remote', 'add', 'origin', `${server.url}/team/app.git`);
        await git('submodule', '-q', 'add', '../../libs/secret.git', 'lib');
        await git('commit', '-q', '-m', 'with the library');
        await git('push', '-q', 'origin', 'main');
        await rm(join(dir, 'token'));
      }

      /** An image of busybox alone, made here and pushed by alice; nothing of it stays with the engine. */
      async function pushImage(): Promise<void> {
        const root = join(dir, 'rootfs');
        await mkdir(join(root, 'bin'), { recursive: true });
        await mkdir(join(root, 'tmp'));
        const names = ['sh', 'cat', 'env', 'sort', 'sleep', 'touch', 'tr', 'true', 'mkdir', 'rm', 'ls', 'id', 'wget'];
        await layBusybox(join(root, 'bin'), names);
        await run('tar', ['-C', root, '-cf', join(dir, 'image.tar'), '.']);
        const image = `${registry}/tools/images/busybox:1`;
        await docker('import', join(dir, 'image.tar'), image);
        const config = join(dir, 'docker');
        const env = { ...process.env, DOCKER_CONFIG: config };
        const login = run('docker', ['login', '--username', 'alice', '--password-stdin', registry], { env });
        login.child.stdin?.end(alice.token);
        await login;
        await run('docker', ['push', image], { env });
        await rm(config, { recursive: true });
        await docker('rmi', image);
      }

      interface Seen {
        readonly trace: string;
        /** `docker inspect` of each container of the job, by its name. */
        readonly containers: ReadonlyMap<string, string>;
        /** What the host sees: processes, images, the exported file systems, the checkout. */
        readonly surroundings: string;
      }

      /** Runs the job and looks at it from outside while it waits. */
      async function look(exposure: string | undefined): Promise<Seen> {
        await server.must(
          'POST',
          `/api/v4/projects/${app}/repository/commits`,
          {
            branch: 'main',
            commit_message: `exposure ${exposure ?? 'not asked'}`,
            actions: await ciFile(exposure),
          },
          alice.token,
        );
        const job = await until(async () => {
          const { list } = await server.call('GET', `/api/v4/projects/${app}/jobs?scope[]=running&scope[]=failed`, { token: alice.token });
          if (list[0]?.['status'] === 'failed') throw new Error(await trace(Number(list[0]['id'])));
          return list[0] === undefined ? undefined : Number(list[0]['id']);
        });
        const checkout = await until(async () => {
          const status = (await server.must('GET', `/api/v4/projects/${app}/jobs/${job}`))['status'];
          if (status !== 'running') throw new Error(`${String(status)}: ${await trace(job)}`);
          return (await find(join(dir, 'builds'), 'ready'))[0]?.replace(/\/ready$/, '');
        });
        const ids = (await docker('ps', '-aq', '--no-trunc')).split('\n').filter((id) => id !== '');
        const containers = new Map<string, string>();
        const parts: string[] = [];
        for (const id of ids) {
          // The engine is everybody's: what others made may be gone by now, and is not looked at.
          const inspected = await docker('inspect', id).catch(() => '');
          if (!inspected.includes(registry) && !inspected.includes(dir)) continue;
          owner = /"com\.jobpass\.runner": "([^"]+)"/.exec(inspected)?.[1] ?? owner;
          containers.set(/"Name": "\/([^"]+)"/.exec(inspected)?.[1] ?? id, inspected);
          const pids = (await docker('top', id, '-o', 'pid'))
            .split('\n')
            .slice(1)
            .filter((pid) => /\d/.test(pid));
          for (const pid of pids)
            for (const file of ['environ', 'cmdline'])
              parts.push(`process ${file}: ${await readFile(`/proc/${pid.trim()}/${file}`, 'latin1').catch(() => '')}`);
          await docker('export', '-o', join(dir, 'export.tar'), id);
          parts.push(`file system: ${await readFile(join(dir, 'export.tar'), 'latin1')}`);
        }
        for (const id of (await docker('images', '-q')).split('\n').filter((line) => line !== ''))
          parts.push(`image: ${await docker('image', 'inspect', id).catch(() => '')}`);
        for (const file of await find(join(dir, 'builds'), '')) parts.push(`${file}: ${await readFile(file, 'latin1')}`);
        for (const pid of await readdir('/proc'))
          if (/^\d+$/.test(pid)) parts.push(`host process: ${await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')}`);
        await writeFile(join(checkout, 'go'), '');
        await until(async () =>
          (await server.must('GET', `/api/v4/projects/${app}/jobs/${job}`))['status'] === 'running' ? undefined : true,
        );
        expect((await server.must('GET', `/api/v4/projects/${app}/jobs/${job}`))['status'], await trace(job)).toBe('success');
        return { trace: await trace(job), containers, surroundings: parts.join('\n') };
      }

      const trace = async (job: number): Promise<string> =>
        (await server.call('GET', `/api/v4/projects/${app}/jobs/${job}/trace`, { token: alice.token })).text;

      async function ciFile(exposure: string | undefined) {
        const content = `${exposure === undefined ? '' : `variables:\n  JOBPASS_EXPOSE: ${exposure}\n`}variables:\n  GIT_SUBMODULE_STRATEGY: normal\n${watchedJob}`;
        const merged = exposure === undefined ? content : content.replace(/variables:\n {2}GIT/, '  GIT');
        return ciActions(merged);
      }

      async function ciActions(content: string) {
        const known = (await server.call('GET', `/api/v4/projects/${app}/repository/files/.gitlab-ci.yml?ref=main`, { token: alice.token }))
          .status;
        return [{ action: known === 200 ? 'update' : 'create', file_path: '.gitlab-ci.yml', content }];
      }

      test('R6 R7 R8 A30 withheld: no pass in containers, environment, image, checkout or processes, in any form', async () => {
        const { trace: text, containers, surroundings } = await look(undefined);
        expect(containers.size).toBe(2);
        for (const [name, inspected] of containers) expect(passesIn(inspected), name).toEqual([]);
        expect(passesIn(surroundings)).toEqual([]);
        expect(passesIn(text)).toEqual([]);
        expect(text).toContain('jobpass: exposure: withhold');
        expect(text).not.toContain('CI_EXTENDED_JOB_TOKEN');
      });

      test('R7 variable: the one variable of the build container, and nowhere else', async () => {
        const { trace: text, containers, surroundings } = await look('variable');
        const shown = [...containers.values()].flatMap((inspected) => inspected.split('\n').filter((line) => passesIn(line).length > 0));
        expect(shown.map((line) => line.trim().replace(/=jpt_x\w+",?$/, '='))).toEqual(['"CI_EXTENDED_JOB_TOKEN=']);
        const places = surroundings.split(/[\n\0]/).filter((line) => passesIn(line).length > 0);
        expect(
          places.every((line) => /(?:^|environ: )CI_EXTENDED_JOB_TOKEN=jpt_x\w+$/.test(line)),
          places.join('\n').slice(0, 2000),
        ).toBe(true);
        expect(text).toContain('jobpass: exposure: variable');
        expect(text).toContain('CI_EXTENDED_JOB_TOKEN=[MASKED]');
        expect(passesIn(text)).toEqual([]);
      });

      test('R7 replace: in place of the job token where the job looks, and nowhere else', async () => {
        const { trace: text, containers, surroundings } = await look('replace');
        const names = [...containers.values()].flatMap((inspected) =>
          inspected
            .split('\n')
            .filter((line) => passesIn(line).length > 0)
            .map((line) => /"(\w+)=/.exec(line)?.[1]),
        );
        expect(new Set(names)).toEqual(new Set(['CI_JOB_TOKEN', 'CI_REGISTRY_PASSWORD', 'CI_REPOSITORY_URL']));
        const places = surroundings.split(/[\n\0]/).filter((line) => passesIn(line).length > 0);
        const fine = /(?:^|environ: )(?:CI_JOB_TOKEN|CI_REGISTRY_PASSWORD|CI_REPOSITORY_URL)=\S*jpt_x\w+\S*$/;
        expect(
          places.every((line) => fine.test(line)),
          places.join('\n').slice(0, 2000),
        ).toBe(true);
        expect(text).toContain('jobpass: exposure: replace');
        expect(passesIn(text)).toEqual([]);
      });

      test('R8 R11 an image that the person may not read fails the job, in words', async () => {
        await server.project('secret/vault');
        const actions = await ciActions('image: $CI_REGISTRY/secret/vault:1\nbuild:\n  script: ["true"]\n');
        const commits = `/api/v4/projects/${app}/repository/commits`;
        await server.must('POST', commits, { branch: 'main', commit_message: 'hidden', actions }, alice.token);
        const job = await until(async () => {
          const { list } = await server.call('GET', `/api/v4/projects/${app}/jobs?scope[]=failed`, { token: alice.token });
          return list[0] === undefined ? undefined : Number(list[0]['id']);
        });
        const words = await trace(job);
        expect(words).toMatch(/Job failed: The image \S+\/secret\/vault:1 cannot be had: .*There is no such repository/);
        expect(passesIn(words)).toEqual([]);
      });

      test('R8 nothing of a job stays: no container, no network, no volume, no credential', async () => {
        expect(owner).not.toBe('');
        const filter = ['--filter', `label=com.jobpass.runner=${owner}`, '-q'];
        expect((await docker('ps', '-a', ...filter)).trim()).toBe('');
        expect((await docker('network', 'ls', ...filter)).trim()).toBe('');
        const left = await find(join(dir, 'builds'), '');
        for (const file of left) expect(passesIn(await readFile(file, 'latin1')), file).toEqual([]);
      });
    },
  );
}

/** Asks again until there is an answer: the events are in other processes. */
async function until<Value>(ask: () => Promise<Value | undefined>): Promise<Value> {
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

/** Files below a folder, by name ('' = all); what vanishes meanwhile is left out. */
async function find(folder: string, name: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile() && (name === '' || entry.name === name))
    .map((entry) => join(entry.parentPath, entry.name));
}
