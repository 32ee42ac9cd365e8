import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { JobPayload } from '../../src/wire/runner.ts';
import { archiveOf, jobPayload, makeScene, ownSeconds, passesFor, type Scene, sourcesOf, variable } from './support/jobs.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await makeScene();
});
afterEach(async () => {
  await scene.close();
});

const sections = { trace_sections: true, token_mask_prefixes: [], failure_reasons: [] };
/** A job with sources. */
function withSources(sha: string, script: readonly string[], variables: Record<string, string> = {}, parts: Partial<JobPayload> = {}) {
  const { extended_job_token } = passesFor(scene.forge);
  const given = Object.entries(variables).map(([key, value]) => variable(key, value));
  return jobPayload(script, { ...sourcesOf(scene.forge, sha), variables: given, extended_job_token, ...parts });
}

describe('what a job says about its sources', () => {
  test('R8 hooks run around the fetch, in the order of gitlab-runner; they see no pass, and leave nothing running beside git', async () => {
    await scene.configure(`pre_get_sources_script = "echo operator before"\npost_get_sources_script = "echo operator after"`);
    const sha = scene.forge.repository('group/app', { a: 'text\n' });
    const asleep = ownSeconds();
    // The hook ends when what it leaves is out of its reach.
    const leave = [`setsid sleep ${asleep} &`, `until ps -eo args= | grep -q '^[s]leep ${asleep}'; do sleep 0.02; done`];
    const hooks = [
      { name: 'pre_get_sources_script', script: ['echo job before', 'test ! -e a', 'env', ...leave] },
      { name: 'post_get_sources_script', script: ['echo job after', 'cat a'] },
    ];
    const script = [`ps -eo args | grep -c "[s]leep ${asleep}" || true`];
    const report = await scene.run(withSources(sha, script, {}, { hooks } as never));
    expect(report.final, report.text).toMatchObject({ state: 'success' });
    expect(report.text.replaceAll(/^.*\$ .*\n/gm, '')).toMatch(
      /operator before\njob before\n[^]*Fetching [^]*job after\ntext\noperator after\n0\n/,
    );
    expect(report.text).not.toMatch(/jpt_|\[MASKED\]/);
    const failed = await scene.run(
      withSources(sha, ['echo never'], {}, { hooks: [{ name: 'pre_get_sources_script', script: ['exit 4'] }] } as never),
    );
    expect(failed.text).toContain('pre_get_sources_script ended with exit code 4');
    expect(failed.text).not.toContain('never\n');
  });

  test('tags come with GIT_FETCH_EXTRA_FLAGS, submodules as GIT_SUBMODULE_PATHS chooses', async () => {
    const { forge } = scene;
    const lib = forge.repository('libs/one', { one: '1' });
    const sha = forge.repository('group/app', { a: 'text' }, { one: ['../../libs/one.git', lib], two: ['../../libs/one.git', lib] });
    execFileSync('git', ['tag', 'v1', sha], { cwd: join(scene.dir, 'git/group/app.git') });
    const script = ['git tag', 'cat one/one', 'test ! -e two/one', 'git submodule status'];
    const variables = { GIT_FETCH_EXTRA_FLAGS: '--tags --prune', GIT_SUBMODULE_STRATEGY: 'normal', GIT_SUBMODULE_PATHS: ':(exclude)two' };
    const report = await scene.run(withSources(sha, script, variables));
    expect(report.final, report.text).toMatchObject({ state: 'success' });
    expect(report.text).toContain('\nv1\n');
    const plain = await scene.run(withSources(sha, ['test -z "$(git tag)"'], { GIT_STRATEGY: 'clone' }));
    expect(plain.final, plain.text).toMatchObject({ state: 'success' });
  });

  test('GIT_CLEAN_FLAGS keeps what it excludes; GIT_CHECKOUT=false leaves the work tree', async () => {
    const sha = scene.forge.repository('group/app', { a: 'text' });
    await scene.run(withSources(sha, ['touch keep drop']));
    const second = await scene.run(
      withSources(sha, ['test -e keep', 'test ! -e drop', 'touch mine; rm a'], { GIT_CLEAN_FLAGS: '-ffdx -e keep' }),
    );
    expect(second.final, second.text).toMatchObject({ state: 'success' });
    const third = await scene.run(withSources(sha, ['test -e mine', 'test ! -e a'], { GIT_CHECKOUT: 'false' }));
    expect(third.final, third.text).toMatchObject({ state: 'success' });
  });

  test.each([
    ['GIT_FETCH_EXTRA_FLAGS', '--upload-pack=touch${IFS}/tmp/x'],
    ['GIT_CLEAN_FLAGS', '-ffdx --exec=x'],
    ['GIT_SUBMODULE_UPDATE_FLAGS', '--remote'],
    ['GIT_SUBMODULE_PATHS', '../other'],
    ['GIT_STRATEGY', 'pull'],
    ['GET_SOURCES_ATTEMPTS', '11'],
    ['GIT_CHECKOUT', 'maybe'],
    ['GIT_CLONE_PATH', '$CI_BUILDS_DIR/../elsewhere'],
    ['GIT_CLONE_PATH', '/tmp/elsewhere'],
    ['GIT_CLONE_PATH', '$CI_BUILDS_DIR-other/x'],
    ['GIT_CLONE_PATH', '$CI_BUILDS_DIR/.git/x'],
  ])('A39 R13 %s=%s ends the job with a clear reason, before git runs', async (key, value) => {
    const sha = scene.forge.repository('group/app', { a: 'text' });
    const report = await scene.run(withSources(sha, ['echo never'], { [key]: value }));
    expect(report.final).toMatchObject({ state: 'failed', failure_reason: 'runner_configuration_error' });
    expect(report.text).toContain(key);
    expect(scene.forge.gitSeen).toEqual([]);
  });

  test('GIT_CLONE_PATH is followed below CI_BUILDS_DIR, unless the configuration forbids it', async () => {
    const sha = scene.forge.repository('group/app', { a: 'text' });
    const asked = { GIT_CLONE_PATH: '$CI_BUILDS_DIR/go/src/app', WHERE: '$CI_PROJECT_DIR' };
    const script = ['case "$PWD" in */go/src/app) ;; *) exit 1;; esac', 'test "$PWD" = "$CI_PROJECT_DIR"', 'cat a'];
    const report = await scene.run(withSources(sha, script, asked));
    expect(report.final, report.text).toMatchObject({ state: 'success' });
    const other = await makeScene();
    await other.configure('custom_build_dir = { enabled = false }');
    const refused = await other.run(
      jobPayload(['true'], { variables: [variable('GIT_STRATEGY', 'none'), variable('GIT_CLONE_PATH', '$CI_BUILDS_DIR/x')] }),
    );
    expect(refused.text).toContain('custom_build_dir');
    await other.close();
  });

  test('sources, artifacts and uploads are tried as often as the job says', async () => {
    const { forge } = scene;
    const sha = forge.repository('group/app', { a: 'text' });
    let [git, download, upload] = [0, 0, 0];
    forge.intercept = (request, response) => {
      const fail = (status: number): boolean => {
        request.resume();
        response.writeHead(status, { 'retry-after': '0' }).end();
        return true;
      };
      const url = request.url ?? '';
      if (url.includes('info/refs') && request.headers.authorization !== undefined && git++ < 1) return fail(400);
      if (url === '/api/v4/jobs/7/artifacts' && download++ < 1) return fail(404);
      if (request.method === 'POST' && url.includes('/artifacts?') && upload++ < 4) return fail(503);
      return false;
    };
    forge.downloads.set(7, Buffer.from('UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==', 'base64'));
    const report = await scene.run(
      withSources(
        sha,
        ['cat a'],
        { GET_SOURCES_ATTEMPTS: '2', ARTIFACT_DOWNLOAD_ATTEMPTS: '2' },
        {
          dependencies: [{ id: 7, token: '', name: 'build', artifacts_file: { filename: 'x.zip', size: 22 } }],
          artifacts: [archiveOf(['a'], { name: 'all' })],
        },
      ),
    );
    expect(report.final, report.text).toMatchObject({ state: 'success' });
    expect([git > 1, download, upload]).toEqual([true, 2, 5]);
    expect(report.artifacts).toBeDefined();
  });
});

describe('the trace', () => {
  test('has the sections of gitlab-runner, and those of multi-line commands where FF_SCRIPT_SECTIONS asks', async () => {
    const variables = [variable('GIT_STRATEGY', 'none'), variable('FF_SCRIPT_SECTIONS', 'true')];
    const report = await scene.run(jobPayload(['echo one', 'echo two\necho three'], { features: sections, variables }, ['echo after']));
    const names = [...report.text.matchAll(/section_start:\d{10}:(\w+)/g)].map((match) => match[1]);
    expect(names).toEqual(['prepare_executor', 'get_sources', 'step_script', 'section_script_step_1', 'after_script']);
    expect(report.text.match(/section_end:\d{10}:/g)).toHaveLength(names.length);
    expect(report.text).toMatch(
      /section_script_step_1\[hide_duration=true,collapsed=true\]\r\u001b\[0K\u001b\[32;1m\$ echo two\necho three/,
    );
    const without = await scene.run(jobPayload(['echo two\necho three'], { variables }));
    expect(without.text).not.toContain('section_');
    expect(without.text).toContain('$ echo two # collapsed multi-line command');
  });

  test('R12 CI_DEBUG_TRACE shows commands, and never a pass or what is masked; the server is told', async () => {
    await scene.start({ unsafe: true });
    const seen: (string | undefined)[] = [];
    scene.forge.intercept = (request) => {
      if (request.method === 'PATCH') seen.push(request.url?.split('?')[1]);
      return false;
    };
    const { full, extended_job_token } = passesFor(scene.forge, 'variable');
    const variables = [
      variable('GIT_STRATEGY', 'none'),
      variable('CI_DEBUG_TRACE', 'true'),
      variable('PASSWORD', 'hunter2-hunter2', { masked: true }),
    ];
    const report = await scene.run(jobPayload(['test "$CI_EXTENDED_JOB_TOKEN" != "$PASSWORD"'], { extended_job_token, variables }));
    expect(report.final, report.text).toMatchObject({ state: 'success' });
    expect(report.text).toContain("+ test '[MASKED]' '!=' '[MASKED]'".replaceAll("'[MASKED]'", '[MASKED]'));
    expect(report.text).not.toContain(full);
    expect(report.text).not.toContain('hunter2');
    expect(new Set(seen)).toEqual(new Set(['debug_trace=true']));
  });

  test('the configuration may forbid CI_DEBUG_TRACE', async () => {
    await scene.configure('debug_trace_disabled = true');
    const report = await scene.run(
      jobPayload(['true'], { variables: [variable('GIT_STRATEGY', 'none'), variable('CI_DEBUG_TRACE', 'true')] }),
    );
    expect(report.text).not.toContain('+ true');
  });
});

test('the operator’s lines and variables: before and after each script, and below the job’s own', async () => {
  await scene.configure(
    `pre_build_script = "echo before $FROM"\npost_build_script = "echo behind"\nenvironment = ["FROM=operator", "BOTH=operator"]`,
  );
  const report = await scene.run(
    jobPayload(['echo "script $BOTH"'], { variables: [variable('GIT_STRATEGY', 'none'), variable('BOTH', 'job')] }, ['echo last']),
  );
  expect(report.text.replaceAll(/^.*\$ .*\n/gm, '')).toMatch(/before operator\nscript job\nbehind\n[^]*last\n/);
});

test('a job is told of its runner, under gitlab-runner’s names', async () => {
  const ca = join(scene.dir, 'ca.pem');
  await writeFile(ca, 'a certificate\n');
  await scene.configure(`tls-ca-file = "${ca}"`);
  const report = await scene.run(
    jobPayload(
      [
        'echo "is $CI_RUNNER_VERSION $CI_RUNNER_EXECUTABLE_ARCH $CI_CONCURRENT_ID $CI_CONCURRENT_PROJECT_ID"',
        'cat "$CI_SERVER_TLS_CA_FILE"',
      ],
      {
        variables: [variable('GIT_STRATEGY', 'none'), variable('CI_RUNNER_VERSION', 'of the server')],
      },
    ),
  );
  expect(report.final, report.text).toMatchObject({ state: 'success' });
  expect(report.text).toMatch(/\nis \d+\.\d+\.\d+ linux\/(?:amd64|arm64) 0 0\n/);
  expect(report.text).toContain('\na certificate\n');
});
