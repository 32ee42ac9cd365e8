import { spawn, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { engine } from '../support/engine.ts';
import { configType, digestOf, imageType } from '../support/registry.ts';
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
      await makeLayout();
      clients.push(docker(), podman(), buildah(), skopeo());
      await run('skopeo', ['login', '--tls-verify=false', '--username', 'root', '--password-stdin', host], server.root);
      for (const name of ['ops/tools', 'secret/vault'])
        await must('skopeo', 'copy', '--dest-tls-verify=false', `oci:${dir}/layout:latest`, `docker://${host}/${name}:latest`);
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

    /** An OCI layout with one image of one file. */
    async function makeLayout(): Promise<void> {
      const blobs = join(dir, 'layout', 'blobs', 'sha256');
      await mkdir(blobs, { recursive: true });
      await mkdir(join(dir, 'run'), { mode: 0o700 });
      await mkdir(join(dir, 'files'));
      await writeFile(join(dir, 'files', 'hello'), `hello from ${dir}\n`);
      await must('tar', '-C', join(dir, 'files'), '-cf', join(dir, 'layer.tar'), 'hello');
      const layer = await readFile(join(dir, 'layer.tar'));
      const put = async (bytes: string | Buffer, mediaType: string) => {
        const digest = digestOf(bytes);
        await writeFile(join(blobs, digest.slice(7)), bytes);
        return { mediaType, digest, size: Buffer.byteLength(bytes) };
      };
      const settings = { architecture: 'amd64', os: 'linux', config: {}, rootfs: { type: 'layers', diff_ids: [digestOf(layer)] } };
      const manifest = await put(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: imageType,
          config: await put(JSON.stringify(settings), configType),
          layers: [await put(layer, 'application/vnd.oci.image.layer.v1.tar')],
        }),
        imageType,
      );
      await writeFile(join(dir, 'layout', 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
      const named = { ...manifest, annotations: { 'org.opencontainers.image.ref.name': 'latest' } };
      await writeFile(join(dir, 'layout', 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [named] }));
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
      push: (image) => run('skopeo', ['copy', '--dest-tls-verify=false', `oci:${dir}/layout:latest`, `docker://${image}`]),
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
        refused(await client.pull(own));
        refused(await client.push(`${host}/team/app/${client.name}:3`));
        refused(await client.login(pass));
        await rm(client.credentials, { force: true });
      },
      120_000,
    );

    test('R1 skopeo lists tags and deletes; so does the REST API', async () => {
      const job = await startJob();
      const { pass } = job;
      const client = clients.find(({ name }) => name === 'skopeo');
      await client?.login(pass);
      const image = `docker://${host}/team/app/deleted`;
      for (const tag of ['1', '2']) await must('skopeo', 'copy', '--dest-tls-verify=false', `oci:${dir}/layout:latest`, `${image}:${tag}`);
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
