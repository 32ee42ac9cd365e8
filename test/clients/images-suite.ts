import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { engine } from '../support/engine.ts';
import { configType, digestOf, imageType, indexType, layerType } from '../support/registry.ts';
import type { Place } from '../support/place.ts';
import type { Claimed, ForgeClient } from '../support/server.ts';

interface Ran {
  readonly code: number;
  /** Both streams, for people. */
  readonly output: string;
  readonly stdout: string;
}

/** One of the clients that people use, with its own place for credentials and images. Passwords go in by standard input only. */
interface Client {
  readonly name: string;
  login(password: string): Promise<Ran>;
  push(image: string): Promise<Ran>;
  pull(image: string): Promise<Ran>;
  /** Takes the local copy away, so that the next pull asks the registry. */
  forget(image: string): Promise<unknown>;
  readonly credentials: string;
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}
type Put = (bytes: string | Buffer, mediaType: string) => Promise<Descriptor>;

const largeBytes = 24 * 1024 * 1024;
const has = (program: string): boolean => spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;

const ready = engine() !== undefined && ['podman', 'skopeo', 'buildah'].every(has);
const ciFile = 'job:\n  variables: {JOBPASS_EXPOSE: variable}\n  script: ["true"]\n';

/** What docker, podman, buildah and skopeo do with a pass: the same at the embedded forge and through the gateway. @param open makes the place @param byNumber what a route answers whose path names no project */
export function imagesSuite(where: string, open: () => Promise<Place>, byNumber: 200 | 501): void {
  describe.skipIf(!ready)(`images, with the clients that people have, ${where}`, () => {
    let place: Place;
    let server: ForgeClient;
    let dir: string;
    let host: string;
    let alice: { id: number; token: string };
    let app: number;
    const clients: Client[] = [];
    const pushed = new Set<string>();

    function run(program: string, args: readonly string[], input?: string): Promise<Ran> {
      const env = {
        PATH: process.env['PATH'],
        HOME: dir,
        XDG_RUNTIME_DIR: join(dir, 'run'),
        DOCKER_CONFIG: join(dir, 'docker'),
        REGISTRY_AUTH_FILE: join(dir, `${program}-auth.json`),
        ...(process.env['DOCKER_HOST'] === undefined ? {} : { DOCKER_HOST: process.env['DOCKER_HOST'] }),
      };
      return new Promise((resolve, reject) => {
        const child = spawn(program, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
        let output = '';
        let stdout = '';
        for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
        child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
        child.on('error', reject);
        child.on('close', (code) => resolve({ code: code ?? 1, output, stdout }));
        child.stdin.on('error', () => undefined);
        child.stdin.end(input ?? '');
      });
    }
    async function must(program: string, ...args: readonly string[]): Promise<string> {
      const { code, output, stdout } = await run(program, args);
      if (code !== 0) throw new Error(`${program} ${args.join(' ')}: ${output}`);
      return stdout;
    }

    beforeAll(async () => {
      // podman takes no longer folder than 50 characters.
      dir = await mkdtemp(join(tmpdir(), 'clients-'));
      place = await open();
      server = place.forge;
      host = new URL(place.url).host;
      alice = await server.user('alice');
      app = await server.project('team/app');
      const tools = await server.project('ops/tools');
      await server.project('secret/vault');
      await server.member(app, alice.id, 40);
      await server.member(tools, alice.id, 20);
      await server.commit(app, '.gitlab-ci.yml', ciFile, { token: alice.token });
      await makeLayouts();
      clients.push(docker(), podman(), buildah(), skopeo());
      await run('skopeo', ['login', '--tls-verify=false', '--username', 'root', '--password-stdin', host], server.root);
      for (const name of ['ops/tools', 'secret/vault'])
        await must(
          'skopeo',
          'copy',
          '--dest-tls-verify=false',
          `oci:${dir}/${name.split('/')[1] ?? ''}:latest`,
          `docker://${host}/${name}:latest`,
        );
      await run('skopeo', ['logout', host]);
    }, 120_000);

    afterAll(async () => {
      for (const image of pushed) await run('docker', ['rmi', '--force', image]);
      for (const program of ['podman', 'buildah']) await run(program, [...storage(program), 'rmi', '--all', '--force']);
      await place?.stop();
      await rm(dir, { recursive: true, force: true });
    }, 60_000);

    const storage = (program: string): string[] => [
      '--root',
      join(dir, program, 'root'),
      '--runroot',
      join(dir, program, 'run'),
      '--storage-driver',
      'vfs',
    ];

    /** OCI layouts of one file each: `many` is for two architectures, `large` has a layer that no buffer holds, and what other projects have is theirs alone. */
    async function makeLayouts(): Promise<void> {
      await mkdir(join(dir, 'run'), { mode: 0o700 });
      await mkdir(join(dir, 'files'));
      for (const name of ['large', 'tools', 'vault', 'layer']) {
        await writeFile(join(dir, 'files', 'hello'), name === 'large' ? randomBytes(largeBytes) : `hello from ${name} in ${dir}\n`);
        await must('tar', '-C', join(dir, 'files'), '-cf', join(dir, `${name}.tar`), 'hello');
        const layer = await readFile(join(dir, `${name}.tar`));
        await makeLayout(name, (put) => putImage(put, layer, 'amd64'));
      }
      const layer = await readFile(join(dir, 'layer.tar'));
      await makeLayout('many', async (put) => {
        const manifests: unknown[] = [];
        for (const architecture of ['amd64', 'arm64'])
          manifests.push({ ...(await putImage(put, layer, architecture)), platform: { architecture, os: 'linux' } });
        return put(JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests }), indexType);
      });
    }

    async function makeLayout(name: string, fill: (put: Put) => Promise<Descriptor>): Promise<void> {
      const blobs = join(dir, name, 'blobs', 'sha256');
      await mkdir(blobs, { recursive: true });
      const top = await fill(async (bytes, mediaType) => {
        const digest = digestOf(bytes);
        await writeFile(join(blobs, digest.slice(7)), bytes);
        return { mediaType, digest, size: Buffer.byteLength(bytes) };
      });
      await writeFile(join(dir, name, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
      const named = { ...top, annotations: { 'org.opencontainers.image.ref.name': 'latest' } };
      await writeFile(join(dir, name, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [named] }));
    }

    async function putImage(put: Put, layer: Buffer, architecture: string): Promise<Descriptor> {
      const settings = { architecture, os: 'linux', config: {}, rootfs: { type: 'layers', diff_ids: [digestOf(layer)] } };
      const manifest = {
        schemaVersion: 2,
        mediaType: imageType,
        config: await put(JSON.stringify(settings), configType),
        layers: [await put(layer, layerType)],
      };
      return put(JSON.stringify(manifest), imageType);
    }

    const docker = (): Client => ({
      name: 'docker',
      credentials: join(dir, 'docker', 'config.json'),
      login: (password) => run('docker', ['login', '--username', 'any', '--password-stdin', host], password),
      async push(image) {
        pushed.add(image);
        await must('docker', 'import', join(dir, 'layer.tar'), image);
        return run('docker', ['push', image]);
      },
      pull(image) {
        pushed.add(image);
        return run('docker', ['pull', image]);
      },
      forget: (image) => run('docker', ['rmi', '--force', image]),
    });
    const podman = (): Client => ({
      name: 'podman',
      credentials: join(dir, 'podman-auth.json'),
      login: (password) =>
        run('podman', [...storage('podman'), 'login', '--tls-verify=false', '--username', 'any', '--password-stdin', host], password),
      async push(image) {
        await must('podman', ...storage('podman'), 'import', join(dir, 'layer.tar'), image);
        return run('podman', [...storage('podman'), 'push', '--tls-verify=false', image]);
      },
      pull: (image) => run('podman', [...storage('podman'), 'pull', '--tls-verify=false', image]),
      forget: (image) => run('podman', [...storage('podman'), 'rmi', '--force', image]),
    });
    const buildah = (): Client => ({
      name: 'buildah',
      credentials: join(dir, 'buildah-auth.json'),
      login: (password) => run('buildah', ['login', '--tls-verify=false', '--username', 'any', '--password-stdin', host], password),
      async push(image) {
        const id = (await must('buildah', ...storage('buildah'), 'from', 'scratch')).trim();
        await must('buildah', ...storage('buildah'), 'copy', id, join(dir, 'files', 'hello'), '/hello');
        await must('buildah', ...storage('buildah'), 'commit', '--rm', id, image);
        return run('buildah', [...storage('buildah'), 'push', '--tls-verify=false', image]);
      },
      pull: (image) => run('buildah', [...storage('buildah'), 'pull', '--tls-verify=false', image]),
      forget: (image) => run('buildah', [...storage('buildah'), 'rmi', '--force', image]),
    });
    const skopeo = (): Client => ({
      name: 'skopeo',
      credentials: join(dir, 'skopeo-auth.json'),
      login: (password) => run('skopeo', ['login', '--tls-verify=false', '--username', 'any', '--password-stdin', host], password),
      push: (image) => run('skopeo', ['copy', '--dest-tls-verify=false', `oci:${dir}/layer:latest`, `docker://${image}`]),
      pull: (image) => run('skopeo', ['copy', '--src-tls-verify=false', `docker://${image}`, `oci:${dir}/pulled:latest`]),
      forget: () => rm(join(dir, 'pulled'), { recursive: true, force: true }),
    });

    async function startJob(): Promise<Claimed & { pass: string }> {
      await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
      const job = await server.claim(place.runner.token);
      if (job?.pass === undefined) throw new Error('no pass');
      return { ...job, pass: job.pass };
    }

    test.each(['docker', 'podman', 'buildah', 'skopeo'])(
      'R1 R2 A48 %s: a pass logs in, pushes and pulls while its job runs, and nothing after',
      async (name) => {
        const client = clients.find((one) => one.name === name);
        if (client === undefined) throw new Error('no client');
        const job = await startJob();
        const { pass } = job;
        const own = `${host}/team/app/${client.name}:1`;
        const fine = ({ output, code }: Ran): void =>
          expect([client.name, code, output.slice(-2000)]).toEqual([client.name, 0, expect.anything()]);
        const refused = ({ output, code }: Ran): string => {
          expect([client.name, code === 0, output.slice(-500)]).toEqual([client.name, false, expect.anything()]);
          expect(output).toMatch(/denied:|unauthorized|name unknown|invalid username/);
          return output.replaceAll(/secret\/vault|secret\/absent/g, '<name>').replaceAll(/"[^"]*time="[^"]*"|\d{4}-\d\d-\d\dT\S+/g, '');
        };

        fine(await client.login(pass));
        fine(await client.push(own));
        await client.forget(own);
        fine(await client.pull(own));
        fine(await client.pull(`${host}/ops/tools:latest`));
        refused(await client.push(`${host}/ops/tools:mine`));
        expect(refused(await client.pull(`${host}/secret/vault:latest`))).toBe(refused(await client.pull(`${host}/secret/absent:latest`)));

        fine(await client.login(job.fetchPass));
        await client.forget(own);
        fine(await client.pull(own));
        refused(await client.push(`${host}/team/app/${client.name}:2`));

        fine(await client.login(pass));
        await server.finish(job);
        await client.forget(own);
        for (const late of [await client.pull(own), await client.push(`${host}/team/app/${client.name}:3`)])
          expect(refused(late)).toContain('The pass is not valid: its job is not running.');
        // Of a login all but docker say no more than that the password is wrong.
        refused(await client.login(pass));
        await rm(client.credentials, { force: true });
      },
      120_000,
    );

    test('R1 R2 an image for two architectures goes up, is listed anew by podman and docker, and each is pulled while the job runs', async () => {
      const job = await startJob();
      for (const client of clients) await client.login(job.pass);
      const many = `${host}/team/app/many`;
      const manifestsOf = async (tag: string): Promise<readonly string[]> => {
        const raw = await must('skopeo', 'inspect', '--raw', '--tls-verify=false', `docker://${many}:${tag}`);
        return (JSON.parse(raw) as { manifests: { digest: string }[] }).manifests.map(({ digest }) => digest);
      };
      await must('skopeo', 'copy', '--all', '--dest-tls-verify=false', `oci:${dir}/many:latest`, `docker://${many}:1`);
      const both = await manifestsOf('1');
      expect(both.length).toBe(2);

      const podman = (...args: string[]): Promise<string> => must('podman', ...storage('podman'), ...args);
      await podman('pull', '--tls-verify=false', '--arch', 'arm64', `${many}:1`);
      expect((await podman('image', 'inspect', '--format', '{{.Architecture}}', `${many}:1`)).trim()).toBe('arm64');
      await podman('manifest', 'create', 'list');
      await podman('manifest', 'add', '--tls-verify=false', '--all', 'list', `docker://${many}:1`);
      await podman('manifest', 'push', '--tls-verify=false', '--all', 'list', `docker://${many}:podman`);
      expect((await manifestsOf('podman')).toSorted()).toEqual(both.toSorted());

      await must('docker', 'manifest', 'create', '--insecure', `${many}:docker`, ...both.map((digest) => `${many}@${digest}`));
      await must('docker', 'manifest', 'push', '--insecure', '--purge', `${many}:docker`);
      expect((await manifestsOf('docker')).toSorted()).toEqual(both.toSorted());
      pushed.add(`${many}:docker`);
      await must('docker', 'pull', '--platform', 'linux/arm64', `${many}:docker`);
      expect((await must('docker', 'image', 'inspect', '--format', '{{.Architecture}}', `${many}:docker`)).trim()).toBe('arm64');

      await server.finish(job);
      // The other architecture of an image that is here already is asked for, too.
      const late = await run('podman', [...storage('podman'), 'pull', '--tls-verify=false', '--arch', 'amd64', `${many}:1`]);
      expect([late.code, late.output]).toEqual([125, expect.stringContaining('its job is not running')]);
    }, 120_000);

    test('R1 A13 a layer of a project that may be read is mounted; one of a hidden project is sent again', async () => {
      const job = await startJob();
      const [tools, vault, app] = [`${host}/ops/tools:latest`, `${host}/secret/vault:latest`, `${host}/team/app/mounted`];
      for (const image of [tools, vault, `${app}:tools`, `${app}:vault`]) pushed.add(image);
      const [docker, , , skopeo] = clients;
      // The engine remembers where it had its layers from, whoever was logged in then.
      await docker?.login(server.root);
      for (const image of [tools, vault]) await must('docker', 'pull', image);
      await docker?.login(job.pass);
      for (const [from, to] of [
        [tools, 'tools'],
        [vault, 'vault'],
      ] as const)
        await must('docker', 'tag', from, `${app}:${to}`);
      expect(await must('docker', 'push', `${app}:tools`)).toContain('Mounted from ops/tools');
      expect(await must('docker', 'push', `${app}:vault`)).toMatch(/: Pushed\n/);

      await skopeo?.login(job.pass);
      const both = ['--src-tls-verify=false', '--dest-tls-verify=false'];
      const copied = await run('skopeo', ['--debug', 'copy', ...both, `docker://${tools}`, `docker://${host}/team/app/copied:1`]);
      expect([copied.code, copied.output]).toEqual([0, expect.stringMatching(/from=ops%2Ftools[^]*mount OK/)]);
      await server.finish(job);
    }, 120_000);

    test('a large layer goes up by docker and by skopeo, and comes down by the other', async () => {
      const job = await startJob();
      const [docker, , , skopeo] = clients;
      await docker?.login(job.pass);
      await skopeo?.login(job.pass);
      const large = `${host}/team/app/large`;
      for (const tag of ['docker', 'skopeo']) pushed.add(`${large}:${tag}`);
      await must('skopeo', 'copy', '--dest-tls-verify=false', `oci:${dir}/large:latest`, `docker://${large}:skopeo`);
      await must('docker', 'pull', `${large}:skopeo`);
      await must('docker', 'import', join(dir, 'large.tar'), `${large}:docker`);
      await must('docker', 'push', `${large}:docker`);
      await must('skopeo', 'copy', '--src-tls-verify=false', `docker://${large}:docker`, `dir:${dir}/large-again`);
      await server.finish(job);
    }, 120_000);

    test('R1 skopeo lists tags and deletes; so does the REST API', async () => {
      const job = await startJob();
      const { pass } = job;
      const client = clients.find(({ name }) => name === 'skopeo');
      await client?.login(pass);
      const image = `docker://${host}/team/app/deleted`;
      for (const tag of ['1', '2']) await must('skopeo', 'copy', '--dest-tls-verify=false', `oci:${dir}/layer:latest`, `${image}:${tag}`);
      expect(JSON.parse(await must('skopeo', 'list-tags', '--tls-verify=false', image))).toMatchObject({ Tags: ['1', '2'] });
      expect(JSON.parse(await must('skopeo', 'inspect', '--tls-verify=false', `${image}:1`))).toMatchObject({ Os: 'linux' });

      const P = `/api/v4/projects/${app}/registry/repositories`;
      const { list } = await server.call('GET', `${P}?tags=true&tags_count=true&per_page=100`, { token: pass });
      const found = list.find(({ name }) => name === 'deleted');
      expect(found).toMatchObject({ path: 'team/app/deleted', project_id: app, location: `${host}/team/app/deleted`, tags_count: 2 });
      const id = String(found?.['id']);
      const alone = await server.call('GET', `/api/v4/registry/repositories/${id}`, { token: pass });
      expect([alone.status, alone.body['id']]).toEqual([byNumber, byNumber === 200 ? Number(id) : undefined]);
      expect((await server.call('GET', `${P}/${id}/tags/1`, { token: pass })).body).toMatchObject({
        name: '1',
        path: 'team/app/deleted:1',
        digest: expect.stringMatching(/^sha256:/),
        revision: expect.stringMatching(/^[0-9a-f]{64}$/),
      });
      expect((await server.call('DELETE', `${P}/${id}/tags/2`, { token: pass })).status).toBe(200);
      expect((await server.call('DELETE', `${P}/${id}/tags/2`, { token: pass })).status).toBe(404);
      expect((await server.call('GET', `${P}/${id}/tags`, { token: pass })).list.map(({ name }) => name)).toEqual(['1']);
      await must('skopeo', 'delete', '--tls-verify=false', `${image}:1`);
      expect((await server.call('GET', `${P}/${id}/tags`, { token: pass })).list).toEqual([]);
      expect((await server.call('DELETE', `${P}/${id}`, { token: pass })).status).toBe(202);
      expect((await server.call('GET', `${P}/${id}`, { token: pass })).status).toBe(404);
      await server.finish(job);
      expect((await run('skopeo', ['list-tags', '--tls-verify=false', image])).code).not.toBe(0);
    }, 60_000);
  });
}
