import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, chown, cp, mkdir, mkdtemp, readdir, rm, stat, watch, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { engine, podmanInstalled, startDocker, type TestEngine } from '../support/engine.ts';
import { archiveOf, jobPayload, type Payload, textOf } from './support/jobs.ts';
import { ownUserScene, type OwnUserScene, strangerMayRun, strangerUid } from './support/own-user.ts';

const artifact = archiveOf(['out'], { name: 'all' });

async function run(scene: OwnUserScene, payload: Payload) {
  scene.forge.give(payload);
  const report = await scene.forge.ended(payload.id);
  return { ...report, text: textOf(report.trace) };
}

/** As another user's job: the slot is emptied first. */
const ofAnother = (script: readonly string[]): Payload => {
  const payload = jobPayload(script);
  return payload.job_info === undefined ? payload : { ...payload, job_info: { ...payload.job_info, user_id: 43 } };
};

/** Files below the builds folder that are not the runner's. */
async function others(scene: OwnUserScene): Promise<readonly string[]> {
  const names = await readdir(scene.buildsDir, { recursive: true });
  // One that is gone again, as a trace is once it was told, is nobody's.
  const owners = await Promise.all(names.map((name) => stat(join(scene.buildsDir, name)).catch(() => undefined)));
  return names.filter((_, index) => (owners[index]?.uid ?? strangerUid) !== strangerUid);
}

describe.skipIf(!strangerMayRun || engine() === undefined)('a runner that is not root, in docker’s group', () => {
  let own: TestEngine;
  let scene: OwnUserScene;
  const hostile = 'jobpass-test/hostile:1';
  beforeAll(async () => {
    own = await startDocker();
    const file = await mkdtemp(join(tmpdir(), 'jobpass-hostile-'));
    try {
      // A shell that does all but give files away, before the real one.
      await writeFile(join(file, 'sh'), '#!/bin/busybox sh\ncase "$*" in *chown*) exit 0;; esac\nexec /bin/busybox sh "$@"\n', {
        mode: 0o755,
      });
      const model = own.cli('create', own.image, 'true').trim();
      await mkdir(join(file, 'evil'));
      await cp(join(file, 'sh'), join(file, 'evil', 'sh'));
      own.cli('cp', join(file, 'evil'), `${model}:/evil`);
      own.cli('commit', '--change', 'ENV PATH=/evil:/bin', model, hostile);
      own.cli('rm', '--force', model);
    } finally {
      await rm(file, { recursive: true });
    }
    const { gid } = await stat(own.socketPath);
    const docker = { image: own.image, host: `unix://${own.socketPath}` };
    scene = await ownUserScene({ executor: 'docker', docker }, gid, (config) => config.replace('"always"', '"never"'));
    await scene.start();
  }, 60_000);
  afterAll(async () => {
    await scene.close();
    own.cli('rmi', '--force', hostile);
  });

  const closed = ['mkdir -p out/deep', 'umask 077', 'mkdir out/closed', 'echo mine > out/closed/file', 'ln -s /etc/shadow out/link'];

  test.each(['', hostile])('A53 gets back what root of a container made, also where the image %s does nothing for it', async (image) => {
    const name = image === '' ? own.image : image;
    const script = [...closed, 'mknod out/disk b 8 0'];
    const report = await run(scene, jobPayload(script, { image: { name }, artifacts: [artifact] }, ['cat out/closed/file']));
    expect(report.final, report.text).toMatchObject({ state: 'success' });
    expect(report.text).toContain('mine\n');
    const zip = report.artifacts?.toString('latin1') ?? '';
    expect([zip.includes('out/closed/file'), zip.includes('out/disk'), zip.includes('root:')]).toEqual([true, false, false]);
    expect(await others(scene)).toEqual([]);
    const next = await run(scene, ofAnother(['ls']));
    expect([next.final, next.text]).toMatchObject([{ state: 'success' }, expect.not.stringContaining('out')]);
  });

  test('what a killed runner’s job left, root’s as it is, keeps its slot from nobody', async () => {
    const payload = jobPayload([...closed, 'chmod 000 out/closed', 'echo be"gun" and more that is not held back', 'sleep 1000'], {
      image: { name: hostile },
    });
    scene.forge.give(payload);
    await scene.forge.when(() => textOf(scene.forge.report(payload.id).trace).includes('begun and'));
    await scene.end('SIGKILL');
    await scene.start();
    const next = await run(scene, ofAnother(['ls']));
    expect([next.final, next.text]).toMatchObject([{ state: 'success' }, expect.not.stringContaining('out')]);
    expect(await others(scene)).toEqual([]);
  });
});

describe.skipIf(!strangerMayRun)('a runner that is not root, with the shell executor', () => {
  let scene: OwnUserScene;
  beforeAll(async () => {
    scene = await ownUserScene({ executor: 'shell' }, strangerUid);
    await scene.start();
  });
  afterAll(() => scene.close());

  test('R15 the folder of a job that left read-only parts is emptied for the next', async () => {
    const left = await run(scene, jobPayload(['mkdir -p modules/one', 'touch modules/one/file', 'chmod -R a-w modules']));
    expect(left.final, left.text).toMatchObject({ state: 'success' });
    const next = await run(scene, ofAnother(['ls']));
    expect([next.final, next.text]).toMatchObject([{ state: 'success' }, expect.not.stringContaining('modules')]);
  });
});

/** Whether a user that is not root may have containers here. */
const rootless =
  strangerMayRun &&
  podmanInstalled() &&
  spawnSync('unshare', ['-Ur', 'true'], { uid: strangerUid, gid: strangerUid, cwd: '/' }).status === 0;

describe.skipIf(!rootless)('a runner that is not root, with a podman that is not either', () => {
  test('has its files back: root of a container is the runner itself', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'jobpass-rootless-'));
    await chmod(dir, 0o700);
    await chown(dir, strangerUid, strangerUid);
    const env = { PATH: process.env['PATH'], HOME: dir, XDG_RUNTIME_DIR: dir };
    const asUser = { uid: strangerUid, gid: strangerUid, cwd: '/', env };
    const own = ['--root', join(dir, 'root'), '--runroot', join(dir, 'run'), '--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs'];
    const socket = join(dir, 'podman.sock');
    const seen = watch(dir);
    const service = spawn('podman', [...own, 'system', 'service', '--time=0', `unix://${socket}`], {
      ...asUser,
      stdio: 'ignore',
      detached: true,
    });
    const over = once(service, 'close');
    const image = 'localhost/jobpass-test/own:1';
    let scene: OwnUserScene | undefined;
    try {
      for await (const _ of seen) if (existsSync(socket)) break;
      const files = ['busybox', 'sh', 'mkdir', 'ls'];
      const root = await mkdtemp(join(tmpdir(), 'jobpass-root-'));
      await mkdir(join(root, 'bin'));
      for (const name of files) await cp('/bin/busybox', join(root, 'bin', name));
      const tar = execFileSync('tar', ['-C', root, '-cf', '-', '.'], { maxBuffer: 64 * 1024 * 1024 });
      await rm(root, { recursive: true });
      execFileSync('podman', [...own, 'import', '-', image], { ...asUser, input: tar, stdio: ['pipe', 'ignore', 'ignore'] });
      const change = (config: string): string => config.replace('"always"', '"never"\nnetwork_mode = "none"');
      scene = await ownUserScene({ executor: 'docker', docker: { image, host: `unix://${socket}` } }, strangerUid, change);
      await scene.start();
      const report = await run(
        scene,
        jobPayload(['umask 077', 'mkdir -p out/closed', 'echo mine > out/closed/file'], { artifacts: [artifact] }),
      );
      expect(report.final, report.text).toMatchObject({ state: 'success' });
      expect(report.artifacts?.toString('latin1')).toContain('out/closed/file');
    } finally {
      await scene?.close();
      // It has put itself into a process of its own by then.
      if (service.pid !== undefined) process.kill(-service.pid, 'SIGTERM');
      await over;
      spawnSync('podman', [...own, 'system', 'reset', '--force'], { ...asUser, stdio: 'ignore' });
      await rm(dir, { recursive: true, force: true });
    }
  }, 120_000);
});
