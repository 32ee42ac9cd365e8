import { mkdtemp, chmod, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { randomBase62, Secret } from '../../src/base/secret.ts';
import { type RunnerHandle, startRunner } from '../../src/runner/loop.ts';
import { shortToken } from '../../src/runner/places.ts';
import { registerRunner } from '../../src/runner/register.ts';
import { engine, importPrograms, podmanInstalled, startDocker, startPodman, type TestEngine } from '../support/engine.ts';
import { FakeForge } from './support/fake-forge.ts';
import { archiveOf, jobPayload, passesFor, type Payload, sourcesOf, textOf, variable } from './support/jobs.ts';

describe.each([
  { name: 'docker', there: engine() !== undefined, begin: startDocker },
  { name: 'podman', there: podmanInstalled(), begin: startPodman },
])('the docker executor on $name', ({ there, begin }) => {
  describe.skipIf(!there)('runs jobs in containers', () => {
    /** By it containers are told from those of other tests at the same engine. */
    const token = new Secret(`glrt-good${randomBase62(12)}`);
    let own: TestEngine;
    let forge: FakeForge;
    let dir: string;
    let configPath: string;
    const handles: RunnerHandle[] = [];

    beforeAll(async () => {
      own = await begin();
      dir = await mkdtemp(join(tmpdir(), 'jobpass-docker-'));
      await chmod(dir, 0o711);
      forge = await new FakeForge(dir).start();
      configPath = join(dir, 'config.toml');
      const docker = { image: own.image, host: `unix://${own.socketPath}` };
      await registerRunner({
        url: forge.url,
        token,
        executor: 'docker',
        configPath,
        name: 'd',
        buildsDir: join(dir, 'builds'),
        docker,
      });
      await configure('');
    }, 120_000);
    afterAll(async () => {
      await Promise.all(handles.map((handle) => handle.stop()));
      await forge.close();
      await own.close();
      await rm(dir, { recursive: true, force: true });
    }, 60_000);

    /** Images of these tests are in no registry. @param more lines of `[runners.docker]` */
    async function configure(more: string): Promise<void> {
      const text = await readFile(configPath, 'utf8');
      const policy = 'pull_policy = "never"\nallowed_pull_policies = ["never", "always"]\n';
      await writeFile(configPath, text.replace(/pull_policy = [^]*$/, `${policy}${more}`));
      for (const handle of handles.splice(0)) await handle.stop();
      await forge.quiet();
      handles.push(await startRunner({ configPath, log: forge.log, traceIntervalMs: 10, heartbeatMs: 50 }));
    }
    async function run(payload: Payload) {
      forge.give(payload);
      const report = await forge.ended(payload.id);
      return { ...report, text: textOf(report.trace) };
    }
    const limits = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=4096:4096'];
    const left = (): string => own.cli('ps', '-aq', '--filter', `label=com.jobpass.runner=${shortToken(token)}`).trim();

    test('a script has its sources, its variables and its own home, and its exit code is the job’s', async () => {
      const sha = forge.repository('group/app', { 'hello.txt': 'from git\n' });
      const { extended_job_token, fetch } = passesFor(forge);
      const report = await run(
        jobPayload(
          ['cat hello.txt', 'pwd', 'echo "$CI_PROJECT_DIR $GREETING $(cat "$SECRET_FILE")"', 'exit 3'],
          {
            ...sourcesOf(forge, sha),
            extended_job_token,
            variables: [variable('GREETING', 'hello'), variable('SECRET_FILE', 'in a file', { file: true })],
          },
          ['echo "after: $CI_JOB_STATUS"'],
        ),
      );
      expect(report.text).toMatch(/from git\n[^]*\/builds\/group\/app\n[^]*\/builds\/group\/app hello in a file\n/);
      expect(report.text).toContain('after: failed');
      expect(report.final).toMatchObject({ state: 'failed', failure_reason: 'script_failure', exit_code: 3 });
      expect(forge.revoked).toContain(fetch);
      expect(left()).toBe('');
    });

    test('a service is found by its alias, has its own variables and never the pass (R7)', async () => {
      const { extended_job_token } = passesFor(forge, 'variable');
      const command = ['sh', '-c', 'env > /tmp/env; while true; do cat /tmp/env | nc -l -p 7000; done'];
      const report = await run(
        jobPayload(['for try in 1 2 3 4 5 6 7 8 9; do nc neighbour 7000 > seen && [ -s seen ] && break; sleep 0.3; done', 'cat seen'], {
          extended_job_token,
          services: [{ name: own.image, alias: 'neighbour other', command, variables: [variable('OF_SERVICE', 'yes')] }],
        }),
      );
      expect(report.final, report.text).toMatchObject({ state: 'success' });
      expect(report.text).toContain('OF_SERVICE=yes');
      expect(report.text).not.toMatch(/jpt_|CI_EXTENDED_JOB_TOKEN/);
      expect(left()).toBe('');
    });

    test('a service that opens a port is waited for; one that never answers is told of, and a service that is not allowed is refused', async () => {
      const ports = `${own.image.split(':')[0] ?? ''}:ports`;
      const model = own.cli('create', ...limits, own.image, 'true').trim();
      own.cli('commit', '--change', 'EXPOSE 7000', model, ports);
      own.cli('rm', '--force', model);
      const late = ['sh', '-c', 'sleep 1; while true; do echo up | nc -l -p 7000; done'];
      const report = await run(
        // Without trying twice: when the script begins, the service is there.
        jobPayload(['nc late 7000 > seen; cat seen'], { services: [{ name: ports, alias: 'late', command: late }] }),
      );
      expect(report.final, report.text).toMatchObject({ state: 'success' });
      expect(report.text).toContain('up\n');
      await configure('wait_for_services_timeout = 1\nallowed_services = ["jobpass-test/*"]\n');
      const never = await run(jobPayload(['true'], { services: [{ name: ports, alias: 'never', command: ['sleep', '60'] }] }));
      expect(never.final, never.text).toMatchObject({ state: 'success' });
      expect(never.text).toMatch(/WARNING: service \S+:ports probably didn't start properly/);
      const refused = await run(jobPayload(['true'], { services: [{ name: 'elsewhere/db:1' }] }));
      expect(refused.final).toMatchObject({ failure_reason: 'runner_configuration_error' });
      expect(refused.text).toContain('The service "elsewhere/db:1" is not allowed by this runner; allowed are: jobpass-test/*');
      await configure('');
      own.cli('rmi', '--force', ports);
      expect(left()).toBe('');
    });

    test('A53 what root of a container leaves behind is handed back without devices and links that lead anywhere', async () => {
      const report = await run(
        jobPayload(['mkdir out', '(umask 077; echo mine > out/file)', 'ln -s /etc/shadow out/link', 'mknod out/disk b 8 0 || true', 'id'], {
          artifacts: [archiveOf(['out'], { name: 'all' })],
        }),
      );
      expect(report.final, report.text).toMatchObject({ state: 'success' });
      const zip = report.artifacts?.toString('latin1') ?? '';
      expect([zip.includes('out/file'), zip.includes('out/disk'), zip.includes('root:')]).toEqual([true, false, false]);
      const names = await readdir(join(dir, 'builds'), { recursive: true });
      expect(names.filter((name) => name.includes('out/'))).toEqual([]);
    });

    test('R2 a cancel ends the container, however it resists; after_script runs where the cancel is not forced', async () => {
      const stubborn = ['trap "" TERM; echo be"gun" and more that is not held back; while true; do sleep 1; done'];
      const begun = async (payload: Payload) => {
        forge.give(payload);
        await forge.when(() => textOf(forge.report(payload.id).trace).includes('begun and'));
      };
      const gentle = jobPayload(stubborn, {}, ['echo "status $CI_JOB_STATUS"']);
      await begun(gentle);
      forge.report(gentle.id).status = 'canceling';
      const report = await forge.ended(gentle.id);
      expect(report.final).toMatchObject({ state: 'failed', failure_reason: 'job_canceled' });
      expect(textOf(report.trace)).toContain('status canceled');
      const forced = jobPayload(stubborn, {}, ['echo never']);
      await begun(forced);
      forge.report(forced.id).status = 'canceled';
      // No final report is asked for; the next job shows that the slot is free again.
      expect((await run(jobPayload(['true']))).final).toMatchObject({ state: 'success' });
      expect(textOf(forge.report(forced.id).trace)).not.toContain('never\n');
      expect(left()).toBe('');
    });

    test('SIGTERM reaches all in the container, so that a script can tidy up while it waits for a program', async () => {
      const script = ["trap 'echo tidied up; exit 1' TERM", 'echo be"gun" and more that is not held back', 'sleep 1000'];
      const payload = jobPayload(script);
      forge.give(payload);
      await forge.when(() => textOf(forge.report(payload.id).trace).includes('begun and'));
      forge.report(payload.id).status = 'canceling';
      const report = await forge.ended(payload.id);
      expect([report.final, textOf(report.trace)]).toMatchObject([
        { state: 'failed', failure_reason: 'job_canceled' },
        expect.stringMatching(/^tidied up$/m),
      ]);
    });

    test('a user that is not root may write to the checkout in each script: after a hook, and to what the script before made', async () => {
      const sha = forge.repository('group/users', { 'hello.txt': 'from git\n' });
      const { extended_job_token } = passesFor(forge);
      await configure('user = "1000:1000"\n');
      const hooks = [{ name: 'pre_get_sources_script' as const, script: ['id'] }];
      const parts = { ...sourcesOf(forge, sha, 'group/users'), extended_job_token, variables: [], hooks };
      const script = ['echo more >> hello.txt', 'mkdir out', 'echo one > out/file'];
      const report = await run(jobPayload(script, parts, ['echo two >> out/file', 'cat out/file', 'rm -r out']));
      expect(report.final, report.text).toMatchObject({ state: 'success' });
      expect(report.text).toMatch(/one\ntwo\n/);
      expect(report.text).not.toContain('WARNING');
      await configure('');
    });

    test('root without its capabilities reads and writes the checkout all the same', async () => {
      const sha = forge.repository('group/bare', { 'hello.txt': 'from git\n' });
      const { extended_job_token } = passesFor(forge);
      await configure('cap_drop = ["ALL"]\n');
      const parts = { ...sourcesOf(forge, sha, 'group/bare'), extended_job_token, variables: [] };
      const report = await run(jobPayload(['cat hello.txt', 'echo more >> hello.txt'], parts, ['cat hello.txt']));
      expect(report.final, report.text).toMatchObject({ state: 'success' });
      expect(report.text).toMatch(/from git\nmore\n/);
      await configure('');
    });

    test('a script that the image’s entrypoint does not start has not succeeded', async () => {
      const name = `${own.image.split(':')[0] ?? ''}:idle`;
      const model = own.cli('create', ...limits, own.image, 'true').trim();
      // It ends once the script has come, and not at once: podman may lose the end of a container that was hardly there.
      own.cli('commit', '--change', 'ENTRYPOINT ["/bin/sh", "-c", "head -c 1 > /dev/null"]', model, name);
      own.cli('rm', '--force', model);
      const report = await run(jobPayload(['exit 1'], { image: { name } }));
      expect(report.final, report.text).toMatchObject({ state: 'failed', failure_reason: 'runner_configuration_error' });
      expect(report.text).toContain('The script was not run');
      own.cli('rmi', '--force', name);
      // What a script does with the folder beside its project is not taken for that.
      const thorough = await run(jobPayload(['rm -rf "$CI_PROJECT_DIR.tmp"/*']));
      expect(thorough.final, thorough.text).toMatchObject({ state: 'success' });
    });

    test('git works in the checkout, whoever a script runs as, and beside what the job tells git itself', async () => {
      await importPrograms(own.cli, `${own.image.split(':')[0] ?? ''}:git`, ['sh', 'git', 'stat', 'id']);
      const name = `${own.image.split(':')[0] ?? ''}:git`;
      const sha = forge.repository('group/gits', { 'hello.txt': 'from git\n' });
      const variables = [
        variable('GIT_CONFIG_COUNT', '1'),
        variable('GIT_CONFIG_KEY_0', 'user.name'),
        variable('GIT_CONFIG_VALUE_0', 'Job Itself'),
      ];
      for (const user of ['0', '1000:1000']) {
        const { extended_job_token } = passesFor(forge);
        const image = { name, executor_opts: { docker: { user } } };
        const script = ['git status', 'git config user.name', 'stat -c "owner %u" .'];
        const report = await run(jobPayload(script, { ...sourcesOf(forge, sha, 'group/gits'), extended_job_token, variables, image }));
        expect(report.final, report.text).toMatchObject({ state: 'success' });
        expect(report.text).toMatch(/HEAD detached at [^]*\nJob Itself\n/);
        if (user === '0' && process.getuid?.() === 0) expect(report.text).toContain('owner 0\n');
      }
      own.cli('rmi', '--force', name);
    });

    test('the operator’s user stands above the one that a job names', async () => {
      await configure('user = "1000:1000"\n');
      const report = await run(jobPayload(['id'], { image: { name: own.image, executor_opts: { docker: { user: '0:0' } } } }));
      expect([report.final, report.text]).toMatchObject([{ state: 'success' }, expect.stringContaining('uid=1000')]);
      await configure('');
    });

    test('an image or a user that the runner does not allow, and one that is not to be had, fail the job with what to do', async () => {
      await configure(`allowed_images = ["jobpass-test/*"]\nallowed_users = ["1000"]\n`);
      const other = await run(jobPayload(['true'], { image: { name: 'elsewhere/image' } }));
      expect(other.final).toMatchObject({ failure_reason: 'runner_configuration_error' });
      expect(other.text).toContain('allowed are: jobpass-test/*');
      const user = await run(jobPayload(['true'], { image: { name: own.image, executor_opts: { docker: { user: '0' } } } }));
      expect(user.text).toContain('allowed are: 1000');
      const policy = await run(jobPayload(['true'], { image: { name: own.image, pull_policy: ['if-not-present'] } }));
      expect(policy.text).toContain('is not allowed by this runner');
      const missing = await run(jobPayload(['true'], { image: { name: 'jobpass-test/none:1' } }));
      expect(missing.final).toMatchObject({ failure_reason: 'image_pull_failure' });
      await configure('');
    });

    test('limits, capabilities, volumes and the user are those of the configuration; entrypoint those of the job', async () => {
      await configure('memory = "64m"\ncpus = "0.5"\ncap_drop = ["NET_RAW"]\nvolumes = ["/cache"]\nuser = "1000:1000"\n');
      const payload = jobPayload(['id', 'touch mine', 'ls -d /cache', 'echo waiting', 'while [ ! -e go ]; do sleep 0.1; done'], {
        image: { name: own.image, entrypoint: ['/bin/busybox', 'env', 'FROM_ENTRYPOINT=yes'] },
      });
      forge.give(payload);
      await forge.when(() => textOf(forge.report(payload.id).trace).includes('waiting\n'));
      const inspected: unknown = JSON.parse(own.cli('inspect', left().split('\n')[0] ?? ''));
      expect(inspected).toMatchObject([
        { HostConfig: { Memory: 64 * 1024 * 1024, CapDrop: expect.arrayContaining([expect.stringMatching(/NET_RAW/)]) } },
      ]);
      const [place] = (await readdir(join(dir, 'builds'), { recursive: true })).filter((name) => name.endsWith('/mine'));
      await writeFile(join(dir, 'builds', (place ?? '').replace(/mine$/, 'go')), '');
      const report = await forge.ended(payload.id);
      expect(report.final, textOf(report.trace)).toMatchObject({ state: 'success' });
      expect(textOf(report.trace)).toContain('uid=1000');
      await configure('');
    });

    test('R6 R12 the engine keeps no log of what a job and its services say, which is not masked there', async () => {
      const services = [{ name: own.image, command: ['sh', '-c', 'env; sleep 600'] }];
      const payload = jobPayload(['echo a word of the job', 'while [ ! -e go ]; do sleep 0.1; done'], { services });
      forge.give(payload);
      await forge.when(() => textOf(forge.report(payload.id).trace).includes('a word of the job\n'));
      const inspected: unknown = JSON.parse(own.cli('inspect', ...left().split('\n')));
      const without = { HostConfig: { LogConfig: { Type: 'none' } } };
      expect(inspected).toMatchObject([without, without]);
      const [place] = (await readdir(join(dir, 'builds'), { recursive: true })).filter((name) => name.endsWith('/app'));
      await writeFile(join(dir, 'builds', place ?? '', 'go'), '');
      expect((await forge.ended(payload.id)).final).toMatchObject({ state: 'success' });
    });

    test('what a killed runner left behind goes at the next start; what a living one runs stays', async () => {
      expect(await readFile(configPath, 'utf8')).toContain(`"${token.reveal()}"`);
      const payload = jobPayload(['echo label; sleep 0.1']);
      forge.give(payload);
      await forge.ended(payload.id);
      const labels = (mark: string) => [
        '--label',
        `com.jobpass.runner=${shortToken(token)}`,
        '--label',
        'com.jobpass.job=77',
        '--label',
        `com.jobpass.process=${mark}`,
      ];
      const { processMark } = await import('../../src/runner/cleanup.ts');
      const dead = own.cli('create', ...limits, ...labels('999999:1'), own.image, 'true').trim();
      const alive = own.cli('create', ...limits, ...labels(await processMark()), own.image, 'true').trim();
      await configure('');
      const ids = own.cli('ps', '-aq', '--no-trunc', '--filter', 'label=com.jobpass.job=77');
      expect([ids.includes(dead), ids.includes(alive)]).toEqual([false, true]);
      own.cli('rm', '-f', alive);
    });
  });
});
