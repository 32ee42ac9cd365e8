import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readConfig } from '../../src/runner/config.ts';
import { parseSsh } from '../../src/runner/executors/ssh/config.ts';
import { sshExecutor } from '../../src/runner/executors/ssh/ssh.ts';
import { judge } from '../../src/runner/gate/judge.ts';
import { sshdInstalled, startSshd, type TestSshd } from '../support/sshd.ts';
import { jobPayload, makeScene, passesFor, sourcesOf } from './support/jobs.ts';

const good = { host: 'build.example', user: 'ci', identity_file: 'key' };

describe('[runners.ssh]', () => {
  test('is read as gitlab-runner writes it', () => {
    expect(parseSsh({ ...good, port: '2222' }, '/etc/jobpass')).toEqual({
      host: 'build.example',
      port: 2222,
      user: 'ci',
      identityFile: '/etc/jobpass/key',
      knownHostsFile: undefined,
      strictHostKey: true,
    });
    expect(parseSsh({ ...good, disable_strict_host_key_checking: true, known_hosts_file: '/k' }, '/').strictHostKey).toBe(false);
  });

  test.each([
    [{ ...good, password: 'hunter2' }, /password.*identity_file/],
    [{ ...good, host: '-oProxyCommand=touch x' }, /host/],
    [{ ...good, host: 'a b' }, /host/],
    [{ ...good, user: '-l root' }, /user/],
    [{ ...good, port: '0' }, /port/],
    [{ host: 'a', user: 'b' }, /identity_file/],
    [{ ...good, proxy: 'x' }, /proxy/],
  ])('A39 R13 %j is refused with a reason', (table, why) => {
    expect(() => parseSsh(table, '/')).toThrow(why);
  });

  test('R7 the gate withholds, and says why', () => {
    const judgement = judge({ raw: { runners: [{ name: 'x', executor: 'ssh', ssh: good }] } });
    expect(judgement.verdict).toBe('withhold');
    expect(judgement.findings.map(({ reason }) => reason)).toContain('ssh executor: the target host is shared by all jobs');
  });
});

describe.skipIf(!sshdInstalled())('on a real sshd', () => {
  let sshd: TestSshd;
  beforeAll(async () => {
    sshd = await startSshd();
  });
  afterAll(() => sshd.close());
  const section = () => ({
    host: '127.0.0.1',
    port: String(sshd.port),
    user: sshd.user,
    identity_file: sshd.identityFile,
    known_hosts_file: sshd.knownHostsFile,
  });

  test('R6 R7 no pass goes there: not in the sources, the environment, an argv, nor where the job asks for it', async () => {
    const scene = await makeScene({ executor: 'ssh', ssh: section() });
    const sha = scene.forge.repository('group/app', { a: 'text\n' });
    const { full, fetch, extended_job_token } = passesFor(scene.forge, 'variable');
    // Other tests have passes of their own, also in an argv: only these two count where all processes are looked at.
    const [one, other] = [full.slice('jpt_'.length, 20), fetch.slice('jpt_'.length, 20)];
    const script = [
      'cat a .git/config',
      'grep -rl jpt_ "$CI_BUILDS_DIR" && exit 1',
      'env | grep jpt_ && exit 1',
      `cat /proc/[0-9]*/cmdline | tr "\\0" "\\n" | grep -E "jp[t]_(${one}|${other})" && exit 1`,
      'echo searched',
    ];
    const report = await scene.run(jobPayload(script, { ...sourcesOf(scene.forge, sha), variables: [], extended_job_token }));
    expect(report.final, report.text).toMatchObject({ state: 'success' });
    expect(report.text).toContain('jobpass: exposure: withhold');
    expect(report.text).toContain('searched');
    await scene.close();
  });

  test('R2 a script that is stopped while its sources are on their way does not begin', async () => {
    const scene = await makeScene({ executor: 'ssh', ssh: section() });
    const [entry] = (await readConfig(scene.configPath)).entries;
    if (entry === undefined) throw new Error('no entry');
    const never = new AbortController().signal;
    const needs = { jobId: 1, services: [], serviceEnvironment: {}, say: () => undefined, signal: never };
    const place = { slot: 0, projectPath: 'group/app', clonePath: () => undefined, trustKey: 'one', cookie: 'cookie' };
    const workspace = await sshExecutor.prepare({ entry, ...place, needs: { ...needs, image: undefined, pulls: undefined } });
    const stop = new AbortController();
    let said = '';
    const run = { script: ['echo begun'], env: {}, force: never, xtrace: false, sections: undefined };
    const ended = workspace.run({ ...run, signal: stop.signal, onOutput: (bytes) => (said += bytes.toString()) });
    stop.abort();
    expect(await ended).toEqual({ exitCode: 137 });
    expect(said).toBe('');
    await workspace.cleanup();
    await scene.close();
  });

  test('A39 a host with another key is not spoken to, and the job is told', async () => {
    const hosts = join(sshd.home, '..', 'others');
    await writeFile(hosts, '');
    const scene = await makeScene({ executor: 'ssh', ssh: { ...section(), known_hosts_file: hosts } });
    const report = await scene.run(jobPayload(['echo never']));
    expect(report.final).toMatchObject({ state: 'failed', failure_reason: 'runner_system_failure' });
    expect(report.text).toMatch(/cannot be reached over ssh: .*host key/i);
    await scene.close();
  });
});
