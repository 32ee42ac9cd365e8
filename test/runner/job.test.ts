import { readdir, readFile, stat } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeForge } from './support/fake-forge.ts';
import { jobPayload, makeScene, passesFor, type Scene, sourcesOf, variable } from './support/jobs.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await makeScene();
});
afterEach(async () => {
  await scene.close();
});

const asRoot = process.getuid?.() === 0;

describe('a shell job', () => {
  test('runs its lines in order, and ends with its exit code', async () => {
    const report = await scene.run(jobPayload(['echo one', 'echo two; (exit 3)', 'echo never']));
    expect(report.text).toContain('\u001b[32;1m$ echo one\u001b[0;m\none\n');
    expect(report.text).toContain('two\n');
    expect(report.text).not.toContain('never\n');
    expect(report.final).toMatchObject({ state: 'failed', failure_reason: 'script_failure', exit_code: 3 });
    expect(report.states[0]).toBe('running');
  });

  test('gets nothing of the runner’s environment', async () => {
    process.env['SECRET_OF_THE_RUNNER'] = 'hidden-value';
    const report = await scene.run(
      jobPayload(['env', 'echo "$GREETING"'], {
        variables: [variable('GIT_STRATEGY', 'none'), variable('GREETING', 'hello $NAME'), variable('NAME', 'you')],
      }),
    );
    delete process.env['SECRET_OF_THE_RUNNER'];
    expect(report.text).not.toContain('hidden-value');
    expect(report.text).toContain('hello you');
    expect(report.final).toMatchObject({ state: 'success' });
  });

  test('runs after_script after a failure, and does not let it change the outcome', async () => {
    const report = await scene.run(jobPayload(['false'], {}, ['echo "status: $CI_JOB_STATUS"', 'exit 9']));
    expect(report.text).toContain('status: failed');
    expect(report.final).toMatchObject({ exit_code: 1 });
  });

  test('a command that reads its standard input cannot swallow the script', async () => {
    const report = await scene.run(jobPayload(['cat', 'echo still here']));
    expect(report.text).toContain('still here\n');
  });

  test.runIf(asRoot)('R8 a runner that is root runs it as another user, who reads nothing of the runner', async () => {
    const report = await scene.run(
      jobPayload([
        'echo "uid=$(id -u)"',
        `ls ${scene.buildsDir}/.jobpass && exit 1`,
        `cat ${scene.configPath} && exit 1`,
        'touch ../beside',
      ]),
    );
    const uid = Number(/uid=(\d+)/.exec(report.text)?.[1]);
    expect(uid).toBeGreaterThanOrEqual(0x7000_0000);
    expect(report.final).toMatchObject({ state: 'success' });
  });
});

describe('sources', () => {
  test('R8 come with the fetch pass, which is given back before the script; no credential is left behind (R6)', async () => {
    const { forge } = scene;
    const sha = forge.repository('group/app', { 'hello.txt': 'hello from the forge\n' });
    const { fetch, full, extended_job_token } = passesFor(forge);
    const script = ['cat hello.txt', 'git log --oneline', 'cat .git/config', 'git status --short'];
    const report = await scene.run(jobPayload(script, { ...sourcesOf(forge, sha), variables: [], extended_job_token }));
    expect(report.final).toMatchObject({ state: 'success' });
    expect(report.text).toContain('hello from the forge');
    expect(report.text).toContain(`url = "${forge.url}/group/app.git"`);
    expect(forge.revoked).toEqual([fetch]);
    expect(new Set(forge.gitSeen.map(({ password }) => password))).toEqual(new Set([undefined, fetch]));
    await expectNowhere(scene.dir, [fetch, full]);
  });

  test('R8 A51 private submodules of other groups come with it; a foreign host is sent nothing', async () => {
    const { forge } = scene;
    const inner = forge.repository('other/inner', { 'inner.txt': 'inner text\n' });
    const lib = forge.repository('libs/greeting', { 'greeting.txt': 'a greeting\n' }, { deep: ['../../other/inner.git', inner] });
    const sha = forge.repository('group/app', { a: 'a' }, { lib: ['../../libs/greeting.git', lib] });
    const { fetch, extended_job_token } = passesFor(forge);
    const variables = [variable('GIT_SUBMODULE_STRATEGY', 'recursive')];
    const script = [
      'cat lib/greeting.txt lib/deep/inner.txt',
      'git submodule status --recursive',
      'git config submodule.lib.url',
      'git -C lib config submodule.deep.url',
    ];
    const report = await scene.run(jobPayload(script, { ...sourcesOf(forge, sha), variables, extended_job_token }));
    expect(report.final, report.text).toMatchObject({ state: 'success' });
    expect(report.text).toContain('a greeting\ninner text\n');
    expect(report.text).toContain(`${forge.url}/libs/greeting.git`);
    await expectNowhere(scene.dir, [fetch]);
  });

  /** An address at which this machine is found by others. */
  const outer = Object.values(networkInterfaces())
    .flatMap((rows) => rows ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;

  test.skipIf(outer === undefined)('R8 A51 a submodule of a foreign host is fetched without the pass', async () => {
    const foreign = await new FakeForge(join(scene.dir, 'foreign')).start(outer);
    try {
      const lib = foreign.repository('libs/greeting', { 'greeting.txt': 'a greeting\n' });
      const sha = scene.forge.repository('group/app', { a: 'a' }, { lib: [`${foreign.url}/libs/greeting.git`, lib] });
      const { extended_job_token } = passesFor(scene.forge);
      const variables = [variable('GIT_SUBMODULE_STRATEGY', 'normal')];
      const report = await scene.run(jobPayload(['true'], { ...sourcesOf(scene.forge, sha), variables, extended_job_token }));
      expect(report.final).toMatchObject({ failure_reason: 'runner_system_failure' });
      expect(new Set(foreign.gitSeen.map(({ password }) => password))).toEqual(new Set([undefined]));
    } finally {
      await foreign.close();
    }
  });

  test('R8 A42 a submodule at the runner’s own machine, which is not the server, is asked for nothing', async () => {
    const { forge } = scene;
    const lib = forge.repository('libs/greeting', { 'greeting.txt': 'a greeting\n' });
    const sha = forge.repository(
      'group/app',
      { a: 'a' },
      { lib: [forge.url.replace('127.0.0.1', 'localhost') + '/libs/greeting.git', lib] },
    );
    const { extended_job_token } = passesFor(forge);
    const variables = [variable('GIT_SUBMODULE_STRATEGY', 'normal')];
    const report = await scene.run(jobPayload(['true'], { ...sourcesOf(forge, sha), variables, extended_job_token }));
    expect(report.final).toMatchObject({ failure_reason: 'runner_configuration_error' });
    expect(report.text).toMatch(/http:\/\/localhost:\d+ leads to the runner's own machine/);
    expect(forge.gitSeen.filter(({ path }) => path.startsWith('/libs/'))).toEqual([]);
  });
});

describe('exposure', () => {
  test('R7 an unsafe runner shows no pass, and says why', async () => {
    const { full, extended_job_token } = passesFor(scene.forge, 'variable');
    const report = await scene.run(jobPayload(['env'], { extended_job_token }));
    expect(report.text).toContain('jobpass: exposure: withhold');
    expect(report.text).toContain('shell executor: nothing keeps jobs of this machine apart');
    expect(report.text).not.toContain('CI_EXTENDED_JOB_TOKEN');
    expect(report.text).not.toContain(full);
  });

  test('R7 R12 --unsafe shows it to the job; printed, it is masked and revoked', async () => {
    await scene.start({ unsafe: true });
    const { full, fetch, extended_job_token } = passesFor(scene.forge, 'variable');
    const report = await scene.run(
      jobPayload(['printf %s "$CI_EXTENDED_JOB_TOKEN" | wc -c', 'echo "x$CI_EXTENDED_JOB_TOKEN" | base64 -w 20'], { extended_job_token }),
    );
    expect(report.text).toContain('41\n');
    expect(report.text).toContain('[MASKED]');
    expect(report.text).toContain('the full pass was printed');
    expect(scene.forge.revoked).toEqual([fetch, full]);
  });

  test('R7 replace changes what the job sees, not what the runner reports with', async () => {
    await scene.start({ unsafe: true });
    const { extended_job_token } = passesFor(scene.forge, 'replace');
    const variables = [
      variable('GIT_STRATEGY', 'none'),
      variable('CI_JOB_TOKEN', 'glcbt-ordinary', { masked: true }),
      variable('CI_REPOSITORY_URL', 'http://gitlab-ci-token:glcbt-ordinary@forge.example/a.git', { masked: true }),
    ];
    const script = [
      'case "$CI_JOB_TOKEN" in jpt_x*) echo token replaced;; esac',
      'case "$CI_REPOSITORY_URL" in *jpt_x*) echo url replaced;; esac',
    ];
    const report = await scene.run(jobPayload(script, { extended_job_token, variables }));
    expect(report.text).toContain('token replaced');
    expect(report.text).toContain('url replaced');
    expect(report.final).toMatchObject({ state: 'success' });
  });
});

/** Looks for texts in every file below a folder. */
async function expectNowhere(dir: string, texts: readonly string[]): Promise<void> {
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    if ((await stat(path)).size > 10_000_000) continue;
    const content = await readFile(path, 'latin1');
    for (const text of texts) expect(content.includes(text), path).toBe(false);
  }
}
