import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { JobPayload } from '../../../src/wire/runner.ts';
import {
  archiveOf,
  jobPayload,
  makeScene,
  ownSeconds,
  passesFor,
  type Scene,
  type SceneOptions,
  sourcesOf,
  textOf,
  variable,
} from '../../runner/support/jobs.ts';

/** Where an executor's jobs run; all of them on this machine, so that their processes can be seen. */
export interface Ground {
  readonly scene: SceneOptions;
  close(): Promise<void>;
}

/** What every executor has to do, whatever it runs on. @see docs/executors.md */
export function executorSuite(name: string, begin: () => Promise<Ground>): void {
  // Each job is many processes; a busy machine takes its time.
  describe(`the ${name} executor`, { timeout: 120_000 }, () => {
    let ground: Ground;
    let scene: Scene;
    beforeAll(async () => {
      ground = await begin();
    }, 120_000);
    afterAll(() => ground.close(), 60_000);
    beforeEach(async () => {
      scene = await makeScene(ground.scene);
    });
    afterEach(() => scene.close());

    /** How long the jobs of the test sleep. */
    let asleep = 0;
    beforeEach(() => {
      asleep = ownSeconds();
    });

    /** A job that says so once it waits; its processes are told by the seconds that they sleep. */
    async function waiting(id: number, parts: Partial<JobPayload> = {}): Promise<void> {
      const after = ['echo "after: $CI_JOB_STATUS"'];
      scene.forge.give(jobPayload([`sleep ${asleep} & echo "now re""ady"; sleep ${asleep}`], { id, ...parts }, after));
      await scene.forge.when(() => scene.forge.report(id).trace.includes('now ready'));
    }

    test('sources and variables arrive; what the job made is kept, and meets no other user’s job; its exit code is the job’s', async () => {
      const { forge } = scene;
      const sha = forge.repository('group/app', { 'hello.txt': 'from git\n', 'run.sh': 'exit 0\n' });
      const { full, fetch, extended_job_token } = passesFor(forge);
      const cache = { key: 'k', untracked: false, policy: 'pull-push', when: 'on_success', fallback_keys: [] } as const;
      const parts = {
        ...sourcesOf(forge, sha),
        extended_job_token,
        variables: [variable('GREETING', "it's $NAME"), variable('NAME', 'me'), variable('FILE', 'in a file', { file: true })],
        cache: [{ ...cache, paths: ['kept'] }],
      };
      const script = [
        'cat hello.txt',
        'test "$GREETING" = "it\'s me"',
        'cat "$FILE"',
        'mkdir -p kept out',
        'echo old > kept/one',
        'echo x > out/x',
      ];
      const first = await scene.run(
        jobPayload(script, { ...parts, artifacts: [archiveOf(['out'], { when: 'on_success' })] }, ['cat out/x; rm hello.txt']),
      );
      expect(first.final, first.text).toMatchObject({ state: 'success' });
      expect(first.text).toMatch(/from git\n[^]*in a file/);
      expect(first.artifacts?.includes('out/x')).toBe(true);
      expect(first.text).toContain('Created cache of 1 files');
      const again = passesFor(forge).extended_job_token;
      const second = await scene.run(jobPayload(['cat kept/one hello.txt'], { ...parts, extended_job_token: again }));
      expect(second.text).toContain('old\nfrom git\n');
      const other = { ...jobPayload([]).job_info, user_id: 43 } as JobPayload['job_info'];
      const third = await scene.run(
        jobPayload(['test ! -e kept', 'env', 'find "$CI_BUILDS_DIR" -name one | grep . && exit 1', '(exit 7)'], { job_info: other }, [
          'echo "after: $CI_JOB_STATUS"',
        ]),
      );
      expect(third.final, third.text).toMatchObject({ failure_reason: 'script_failure', exit_code: 7 });
      expect(third.text).toContain('after: failed');
      const seen = [first, second, third].map(({ text }) => text).join('');
      expect(seen).not.toMatch(/jpt_/);
      for (const pass of [full, fetch]) expect(seen).not.toContain(pass);
    });

    test('R2 A26 canceled: everything of the job is gone before the next one starts; no environment leaks, nor into an argv', async () => {
      process.env['SECRET_OF_THE_RUNNER'] = 'hidden-value';
      try {
        await scene.start();
        await waiting(1, { variables: [variable('GIT_STRATEGY', 'none'), variable('SECRET_OF_THE_JOB', 'argv-canary')] });
        for (const argv of await everyArgv()) expect(argv).not.toContain('argv-canary');
        scene.forge.report(1).status = 'canceled';
        const next = await scene.run(jobPayload(['env'], { id: 2 }));
        expect(next.final).toMatchObject({ state: 'success' });
        expect(await sleeping(asleep)).toBe(0);
        expect(textOf(scene.forge.report(1).trace)).not.toContain('after:');
        expect(next.text).not.toMatch(/hidden-value|argv-canary/);
      } finally {
        delete process.env['SECRET_OF_THE_RUNNER'];
      }
    });

    test('canceling: the script ends, after_script runs and is told', async () => {
      await scene.start();
      await waiting(1);
      scene.forge.report(1).status = 'canceling';
      const report = await scene.forge.ended(1);
      expect(textOf(report.trace)).toContain('after: canceled');
      expect(report.final).toMatchObject({ failure_reason: 'job_canceled' });
      expect(await sleeping(asleep)).toBe(0);
    });

    test('a job that takes too long ends as such, with all that it runs', async () => {
      const report = await scene.run(jobPayload([`sleep ${asleep} & sleep ${asleep}`], { runner_info: { timeout: 3 } }));
      expect(report.final).toMatchObject({ failure_reason: 'job_execution_timeout' });
      expect(await sleeping(asleep)).toBe(0);
    });

    test('a runner that was killed: the next start ends what its job left running', async () => {
      const code = `
        import { startRunner } from ${JSON.stringify(new URL('../../../src/runner/loop.ts', import.meta.url).href)};
        import { silentLog } from ${JSON.stringify(new URL('../../../src/base/log.ts', import.meta.url).href)};
        await startRunner({ configPath: ${JSON.stringify(scene.configPath)}, log: silentLog });`;
      const killed = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: 'ignore' });
      await waiting(1);
      const gone = once(killed, 'exit');
      killed.kill('SIGKILL');
      await gone;
      await scene.start();
      expect(await sleeping(asleep)).toBe(0);
      expect((await scene.run(jobPayload(['true'], { id: 2 }))).final).toMatchObject({ state: 'success' });
    });
  });
}

async function everyArgv(): Promise<readonly string[]> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry));
  return Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')));
}

/** How many processes of this machine sleep for so long. */
async function sleeping(seconds: number): Promise<number> {
  return (await everyArgv()).filter((argv) => argv === `sleep\0${seconds}\0`).length;
}
