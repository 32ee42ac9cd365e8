import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { cleanLeftovers, forgetJob, rememberJob } from '../../src/runner/cleanup.ts';
import { removeUnusedMirrors } from '../../src/runner/git/mirror.ts';
import { privateDir } from '../../src/runner/places.ts';
import { archiveOf, jobPayload, makeScene, ownSeconds, passesFor, type Scene, sourcesOf, textOf, variable } from './support/jobs.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await makeScene();
});
afterEach(async () => {
  await scene.close();
});

const asleep = ownSeconds();

/** Starts a job that prints `ready` and then waits for long; resolves when the server has read that. */
async function waiting(id: number, before: readonly string[] = [], after: readonly string[] = [], seconds = 60): Promise<void> {
  const payload = jobPayload(
    [...before, 'echo "now re""ady"', `sleep ${asleep} & sleep ${asleep}`],
    { id, runner_info: { timeout: seconds } },
    after,
  );
  scene.forge.give(payload);
  await scene.forge.when(() => scene.forge.report(id).trace.includes('now ready'));
}

describe('the end of a job', () => {
  test('R2 canceled on the server: everything is killed at once, after_script does not run', async () => {
    await scene.start();
    await waiting(1, [], ['echo "after""wards"']);
    scene.forge.report(1).status = 'canceled';
    scene.forge.events.emit('report');
    // The kill needs no final report; the next job shows that the slot is free again.
    const next = await scene.run(jobPayload([`ps -eo args | grep -c "[s]leep ${asleep}" || true`], { id: 2 }));
    expect(next.text).toMatch(/\n0\n/);
    expect(textOf(scene.forge.report(1).trace)).not.toContain('afterwards');
  });

  test('canceling: the script is stopped, after_script runs and is told', async () => {
    await scene.start();
    await waiting(1, [], ['echo "status $CI_JOB_STATUS"']);
    scene.forge.report(1).status = 'canceling';
    const report = await scene.forge.ended(1);
    expect(textOf(report.trace)).toContain('status canceled');
    expect(report.final).toMatchObject({ state: 'failed', failure_reason: 'job_canceled' });
    expect(textOf(report.trace)).toContain('ERROR: Job failed: it was canceled');
  });

  test('a job that takes too long ends as such', async () => {
    const report = await scene.run(jobPayload(['sleep 600'], { runner_info: { timeout: 1 } }, ['echo "status $CI_JOB_STATUS"']));
    expect(report.final).toMatchObject({ failure_reason: 'job_execution_timeout' });
    expect(report.text).toContain('ERROR: Job failed: it took longer than its timeout of 1 seconds');
    expect(report.text).toContain('status failed');
  });

  test('a job whose first report is cut off is not lost', async () => {
    let cuts = 2;
    scene.forge.intercept = (request) => {
      if (request.method !== 'PUT' || cuts === 0) return false;
      cuts -= 1;
      request.socket.destroy();
      return true;
    };
    expect((await scene.run(jobPayload(['true'], { id: 1 }))).final).toMatchObject({ state: 'success' });
    expect(cuts).toBe(0);
  });

  test('a job that the server takes back is dropped before anything runs', async () => {
    await scene.start();
    scene.forge.intercept = (request, response) => {
      if (request.method !== 'PUT' || request.url !== '/api/v4/jobs/1') return false;
      response.writeHead(403).end();
      return true;
    };
    scene.forge.give(jobPayload(['echo never'], { id: 1 }));
    const next = await scene.run(jobPayload(['echo ran'], { id: 2 }));
    expect(next.final).toMatchObject({ state: 'success' });
    expect(scene.forge.report(1).trace.length).toBe(0);
  });

  test('the final report: 202 is asked again, 412 sends the trace anew', async () => {
    scene.forge.finalAnswers.push(202, 412);
    const report = await scene.run(jobPayload(['echo hello']));
    expect(report.final).toMatchObject({ state: 'success' });
    expect(report.text).toContain('hello\n');
    expect(report.states.filter((state) => state === 'success')).toHaveLength(3);
  });

  test('a long trace arrives whole, in parts of at most 1 MiB', async () => {
    const report = await scene.run(jobPayload(['i=0; while [ $i -lt 30 ]; do printf "%0100000d\\n" $i; i=$((i+1)); done']));
    expect(report.text.split('\n').filter((line) => /^0{99998}\d\d$/.test(line))).toHaveLength(30);
  });

  test('stamps every line where FF_TIMESTAMPS says nothing else', async () => {
    const on = await scene.run(jobPayload(['echo hello']));
    for (const line of on.trace.toString().trimEnd().split('\n')) expect(line).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]{15}Z 00O /);
    const off = await scene.run(
      jobPayload(['echo hello'], { variables: [variable('GIT_STRATEGY', 'none'), variable('FF_TIMESTAMPS', 'false')] }),
    );
    expect(off.trace.toString()).toMatch(/\nhello\n/);
  });
});

describe('the runner', () => {
  test('a trace that cannot be written does not keep the job from being reported', async () => {
    const handle = await scene.start();
    await mkdir(join(scene.buildsDir, '.jobpass'), { recursive: true });
    await writeFile(join(scene.buildsDir, '.jobpass/traces'), 'in the way');
    scene.forge.give(jobPayload(['true'], { id: 1 }));
    expect((await scene.forge.ended(1)).final).toMatchObject({ failure_reason: 'runner_system_failure' });
    await handle.drain();
  });

  test('draining finishes what runs and asks for nothing more', async () => {
    const handle = await scene.start();
    const flag = join(scene.buildsDir, '..', 'go');
    scene.forge.give(jobPayload(['echo "now re""ady"', `until test -e ${flag}; do sleep 0.02; done`], { id: 1 }));
    await scene.forge.when(() => scene.forge.report(1).trace.includes('now ready'));
    const drained = handle.drain();
    const asked = scene.forge.requests.length;
    await writeFile(flag, '');
    await drained;
    expect(scene.forge.report(1).final).toMatchObject({ state: 'success' });
    expect(scene.forge.requests.length).toBe(asked);
  });

  test('stopping ends what runs, and says so', async () => {
    const handle = await scene.start();
    await waiting(1);
    await handle.stop();
    expect(scene.forge.report(1).final).toMatchObject({ state: 'failed', failure_reason: 'runner_interrupted' });
  });

  test('stopping tells the server also of a job that it had just given', async () => {
    const handle = await scene.start();
    const { promise: asked, resolve } = Promise.withResolvers<void>();
    let held = false;
    // The first word on the job is not answered.
    scene.forge.intercept = (request) => {
      if (held || request.method !== 'PUT') return false;
      held = true;
      resolve();
      return true;
    };
    scene.forge.give(jobPayload(['true'], { id: 1 }));
    await asked;
    await handle.stop();
    expect(scene.forge.report(1).final).toMatchObject({ state: 'failed', failure_reason: 'runner_interrupted' });
  });

  test('R7 signs every poll with its key, and reports the gate', async () => {
    await scene.start();
    await once(scene.forge.events, 'polled');
    const poll = scene.forge.requests.find(({ path }) => path.endsWith('/jobs/request'));
    expect(poll?.signed).toBe(true);
    expect(poll?.body).toMatchObject({ info: { jobpass: { verdict: 'withhold', unsafe: false } } });
  });

  test('a malformed payload is reported as failed, and the next job runs', async () => {
    await scene.start();
    const broken = { ...jobPayload(['true']), id: 3, extended_job_token: { token: 7 } };
    scene.forge.give(broken);
    expect((await scene.forge.ended(3)).final).toMatchObject({ state: 'failed', failure_reason: 'runner_system_failure' });
    scene.forge.give(jobPayload(['true'], { ...sourcesOf(scene.forge, 'abc'), variables: [], id: 1 }));
    expect((await scene.forge.ended(1)).final).toMatchObject({ failure_reason: 'runner_configuration_error' });
    expect((await scene.run(jobPayload(['true'], { id: 2 }))).final).toMatchObject({ state: 'success' });
  });

  test('cleans up after a runner that was killed: processes, temporary files, trace', async () => {
    const place = placeBelow(scene.buildsDir);
    const { slotDir } = place;
    await mkdir(place.tmpDir, { recursive: true });
    const orphan = spawn('sleep', ['600'], { env: { ...process.env, JOBPASS_JOB: 'cookie-of-job-9' }, stdio: 'ignore' });
    await once(orphan, 'spawn');
    await rememberJob(scene.buildsDir, { job: 9, cookie: 'cookie-of-job-9', place });
    expect(await cleanLeftovers(scene.buildsDir)).toEqual([]);
    // As if another process had written it.
    const note = join(scene.buildsDir, '.jobpass/jobs/9-cookie-of-job-9.json');
    await writeFile(note, (await readFile(note, 'utf8')).replace(/"started":"\d+"/, '"started":"1"'));
    const gone = once(orphan, 'exit');
    expect(await cleanLeftovers(scene.buildsDir)).toEqual([9]);
    expect((await gone)[1]).toBe('SIGKILL');
    expect(await readdir(slotDir)).toEqual([]);
  });

  test('runners of one folder may start at once, and while a job begins: none fails, and none takes away what is another’s', async () => {
    const place = placeBelow(scene.buildsDir);
    const clean = (): Promise<readonly number[]> => cleanLeftovers(scene.buildsDir);
    const over = new AbortController();
    const starting = [1, 2, 3].map(async () => {
      while (!over.signal.aborted) expect(await clean()).toEqual([]);
    });
    for (let job = 1; job <= 200; job += 1) {
      await rememberJob(scene.buildsDir, { job, cookie: 'c', place });
      await forgetJob(scene.buildsDir, job, 'c');
    }
    over.abort();
    await Promise.all(starting);
    await writeFile(join(scene.buildsDir, '.jobpass/jobs/9-left.json'), '{}');
    const old = join(await privateDir(scene.buildsDir, 'mirrors'), 'old');
    await mkdir(old);
    await utimes(old, 0, 0);
    const start = (): Promise<unknown> => Promise.all([clean(), removeUnusedMirrors(scene.buildsDir)]);
    await Promise.all([start(), start(), start()]);
    expect(await clean()).toEqual([]);
    expect(await readdir(dirname(old))).toEqual([]);
  });
});

/** As a job of the runner's own user has it. */
function placeBelow(buildsDir: string) {
  const slotDir = join(buildsDir, 'x', '0');
  const folders = { slotDir, tmpDir: join(slotDir, 'app.tmp'), buildDir: join(slotDir, 'app') };
  return { ...folders, uid: undefined, gid: undefined, exclusiveUid: false, disposable: false, seen: folders };
}

test('a runner that was killed in the middle of a job: the next start ends what the job left running', async () => {
  const flag = join(scene.dir, 'running');
  const program = `
    import { startRunner } from ${JSON.stringify(new URL('../../src/runner/loop.ts', import.meta.url).href)};
    import { silentLog } from ${JSON.stringify(new URL('../../src/base/log.ts', import.meta.url).href)};
    await startRunner({ configPath: ${JSON.stringify(scene.configPath)}, log: silentLog });`;
  await writeFile(flag, '');
  await chmod(flag, 0o666);
  const killed = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'ignore' });
  scene.forge.give(jobPayload([`echo $$ > ${flag}`, 'echo "now re""ady"', 'exec sleep 600'], { id: 1 }));
  await scene.forge.when(() => scene.forge.report(1).trace.includes('now ready'));
  const gone = once(killed, 'exit');
  killed.kill('SIGKILL');
  await gone;
  const job = Number(await readFile(flag, 'utf8'));
  expect(running(job)).toBe(true);
  const next = await scene.run(jobPayload(['test ! -e ../app.tmp/left', 'echo fresh'], { id: 2 }));
  expect(next.final, next.text).toMatchObject({ state: 'success' });
  expect(running(job)).toBe(false);
  expect(await readdir(join(scene.buildsDir, '.jobpass/jobs'))).not.toContain('1.json');
});

/** A zombie counts as gone: it runs nothing. */
function running(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

describe('inputs of a job', () => {
  test('A34 every job fetches anew: without the right, a kept mirror gives nothing', async () => {
    const { forge } = scene;
    const sha = forge.repository('group/app', { a: 'text' });
    const first = passesFor(forge);
    await scene.run(jobPayload(['true'], { ...sourcesOf(forge, sha), variables: [], extended_job_token: first.extended_job_token }));
    forge.readers.clear();
    const second = await scene.run(
      jobPayload(['true'], { ...sourcesOf(forge, sha), variables: [], extended_job_token: first.extended_job_token }),
    );
    expect(second.final).toMatchObject({ failure_reason: 'runner_system_failure' });
  });

  test('A53 what a job did to .git is gone for the next one', async () => {
    const { forge } = scene;
    const sha = forge.repository('group/app', { a: 'text' });
    const parts = () => ({
      ...sourcesOf(forge, sha),
      variables: [variable('GIT_CLEAN_FLAGS', 'none')],
      extended_job_token: passesFor(forge).extended_job_token,
    });
    const evil = [
      'git config core.fsmonitor "touch $CI_PROJECT_DIR/ran"',
      'git config alias.x "!touch ran"',
      'printf "#!/bin/sh\\ntouch $CI_PROJECT_DIR/ran\\n" > .git/hooks/post-checkout || { mkdir -p .git/hooks; printf "#!/bin/sh\\ntouch $CI_PROJECT_DIR/ran\\n" > .git/hooks/post-checkout; }; chmod +x .git/hooks/post-checkout',
      'git config core.hooksPath .git/hooks',
      'touch kept',
    ];
    const first = await scene.run(jobPayload(evil, parts()));
    expect(first.final, first.text).toMatchObject({ state: 'success' });
    const second = await scene.run(
      jobPayload(
        ['test -e kept', 'test ! -e ran', 'test -z "$(git config core.fsmonitor)"', 'test ! -e .git/hooks/post-checkout'],
        parts(),
      ),
    );
    expect(second.final, second.text).toMatchObject({ state: 'success' });
  });

  test('R15 A64 another user’s job finds nothing that this one left', async () => {
    const leave = jobPayload(['touch left ../left']);
    expect((await scene.run(leave)).final).toMatchObject({ state: 'success' });
    expect((await scene.run(jobPayload(['test -e left']))).final).toMatchObject({ state: 'success' });
    const info = { ...(leave.job_info as NonNullable<typeof leave.job_info>), user_id: 43 };
    expect((await scene.run(jobPayload(['test ! -e left', 'test ! -e ../left'], { job_info: info }))).final).toMatchObject({
      state: 'success',
    });
  });

  test.runIf(process.getuid?.() === 0)('A39 a link in the place of a folder leads the runner nowhere', async () => {
    const precious = join(scene.dir, 'precious');
    for (const name of ['app', 'app.tmp']) {
      await mkdir(join(precious, name), { recursive: true, mode: 0o755 });
      await writeFile(join(precious, name, 'file'), 'kept');
    }
    const swap = ['cd ../..', 'mv group elsewhere', `ln -s ${precious} group`];
    const artifact = archiveOf(['file']);
    const first = await scene.run(jobPayload(swap, { artifacts: [artifact] }, ['echo still here']));
    expect(first.artifacts).toBeUndefined();
    const clone = [variable('GIT_STRATEGY', 'empty')];
    const second = await scene.run(jobPayload(['pwd', 'touch works'], { variables: clone }));
    expect(second.final, second.text).toMatchObject({ state: 'success' });
    for (const name of ['app', 'app.tmp']) expect(await readFile(join(precious, name, 'file'), 'utf8')).toBe('kept');
  });

  test('masked variables are masked, file variables are files', async () => {
    const variables = [
      variable('GIT_STRATEGY', 'none'),
      variable('PASSWORD', 'hunter2-hunter2', { masked: true, raw: true }),
      variable('KEY', 'file text', { file: true }),
    ];
    const handle = await scene.start();
    const report = await scene.run(jobPayload(['echo "$PASSWORD"', 'cat "$KEY"'], { variables }));
    expect(report.text).toContain('[MASKED]\n');
    expect(report.text).not.toContain('hunter2');
    expect(report.text).toContain('file text');
    await handle.drain();
    for (const kind of ['traces', 'jobs', 'staging'])
      expect(await readdir(join(scene.buildsDir, '.jobpass', kind)).catch(() => [])).toEqual([]);
  });
});
