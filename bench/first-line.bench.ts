import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Agent, fetch } from 'undici';
import { silentLog } from '../src/base/log.ts';
import { randomBase62, Secret } from '../src/base/secret.ts';
import { type RunnerHandle, startRunner } from '../src/runner/loop.ts';
import { registerRunner } from '../src/runner/register.ts';
import { engine, startDocker, type TestEngine } from '../test/support/engine.ts';

/**
 * From `POST /pipeline` to the first line of the job's script, with the shell and the docker executor, and the same for a large repository the
 * first and the second time. The floor in the same run, turn by turn: what anybody would do by hand with `git clone` and `docker run`.
 */
const rounds = 7;
const large = { files: 4000, fileBytes: 25_000 };
const depth = 20;
/** A connection for each call: a server closes idle ones while a job runs. */
const dispatcher = new Agent({ pipelining: 0 });
const launcher = fileURLToPath(new URL('../bin/jobpass.js', import.meta.url));

interface Bench {
  readonly top: string;
  readonly url: string;
  readonly root: string;
  /** Jobs and floors make their marks there. */
  readonly marks: string;
  readonly docker: TestEngine | undefined;
  post(path: string, body: unknown): Promise<Record<string, unknown>>;
}

export async function run(): Promise<void> {
  const top = await mkdtemp(join(tmpdir(), 'jobpass-bench-'));
  await chmod(top, 0o711);
  const children: ChildProcess[] = [];
  let runner: RunnerHandle | undefined;
  const bench = await makeBench(top, children);
  try {
    runner = await startOurs(bench);
    const small = await project(bench, 'small', 5, 2000);
    for (const executor of bench.docker === undefined ? (['shell'] as const) : (['shell', 'docker'] as const)) {
      const [ours, floor]: [number[], number[]] = [[], []];
      for (let round = 0; round < rounds; round += 1) {
        ours.push(await job(bench, small, executor));
        floor.push(await byHand(bench, 'small', executor));
      }
      report(
        `${executor}, small repository`,
        median(ours),
        median(floor),
        executor === 'shell' ? 'git clone + sh' : 'git clone + docker run',
      );
    }
    if (bench.docker === undefined) console.log('docker: not run, no engine answers');
    const big = await project(bench, 'large', large.files, large.fileBytes);
    const first = await job(bench, big, 'shell');
    const floor = await byHand(bench, 'large', 'shell');
    const [second, again] = [await job(bench, big, 'shell'), await byHand(bench, 'large', 'shell')];
    const megabytes = Math.round((large.files * large.fileBytes) / 1e6);
    report(`shell, ${large.files} files of ${megabytes} MB, first time`, first, floor, 'git clone + sh');
    report(`shell, ${large.files} files of ${megabytes} MB, second time`, second, again, 'git clone + sh');
  } finally {
    await runner?.stop();
    await dispatcher.close();
    for (const child of children) {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await gone;
    }
    await rm(top, { recursive: true, force: true });
  }
}

function report(what: string, us: number, them: number, peer: string): void {
  console.log(`${what}: jobpass ${us.toFixed(0)} ms to the first line, ${peer} ${them.toFixed(0)} ms, ratio ${(us / them).toFixed(2)}`);
}

async function makeBench(top: string, children: ChildProcess[]): Promise<Bench> {
  const root = `glpat-${randomBase62(20)}`;
  const child = spawn(process.execPath, [launcher, 'serve', '--data', join(top, 'data'), '--listen', '127.0.0.1:0'], {
    env: { ...process.env, JOBPASS_ROOT_TOKEN: root },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  const url = await new Promise<string>((resolve, reject) => {
    let seen = '';
    const look = (chunk: Buffer): void => {
      seen += chunk.toString();
      const match = /listening on (http:\S+)/.exec(seen);
      if (match === null) return;
      for (const stream of [child.stdout, child.stderr]) stream?.off('data', look).resume();
      resolve(match[1] ?? '');
    };
    child.stdout?.on('data', look);
    child.stderr?.on('data', look);
    child.once('exit', () => reject(new Error(`the server ended: ${seen}`)));
  });
  const marks = join(top, 'marks');
  await mkdir(marks);
  await chmod(marks, 0o777);
  return {
    top,
    url,
    root,
    marks,
    docker: engine() === undefined ? undefined : await startDocker(),
    async post(path, body) {
      const answer = await fetch(`${url}/api/v4${path}`, {
        method: 'POST',
        headers: { 'private-token': root, 'content-type': 'application/json' },
        body: JSON.stringify(body),
        dispatcher,
      });
      if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
      return (await answer.json()) as Record<string, unknown>;
    },
  };
}

/** One runner with an entry for each executor; each asks for jobs by itself. */
async function startOurs(bench: Bench): Promise<RunnerHandle> {
  const configPath = join(bench.top, 'config', 'config.toml');
  for (const executor of bench.docker === undefined ? ['shell'] : ['shell', 'docker']) {
    const made = await bench.post('/user/runners', { runner_type: 'instance_type', tag_list: [executor], run_untagged: false });
    await registerRunner({
      url: bench.url,
      token: new Secret(String(made['token'])),
      executor,
      configPath,
      name: executor,
      buildsDir: join(bench.top, 'builds'),
      docker: bench.docker === undefined ? undefined : { image: bench.docker.image, host: `unix://${bench.docker.socketPath}` },
    });
  }
  const text = (await readFile(configPath, 'utf8')).replace('concurrent = 1', 'concurrent = 4');
  // The image is in no registry; the marks are seen outside.
  await writeFile(configPath, text.replace('pull_policy = "always"', `pull_policy = "never"\nvolumes = ["${bench.marks}:${bench.marks}"]`));
  return startRunner({ configPath, log: silentLog });
}

/** @returns the project's number */
async function project(bench: Bench, name: string, files: number, fileBytes: number): Promise<number> {
  const made = await bench.post('/projects', { name, path: name, visibility: 'private' });
  const work = join(bench.top, `work-${name}`);
  git(bench, ['init', '--quiet', '-b', 'main', work]);
  await mkdir(join(work, 'data'));
  for (let index = 0; index < files; index += 1) await writeFile(join(work, 'data', `file-${index}`), randomBytes(fileBytes));
  const line = `["touch ${bench.marks}/$CI_PIPELINE_ID"]`;
  const jobOf = (tag: string): string => `${tag}:\n  tags: [${tag}]\n  rules: [{if: '$EXECUTOR == "${tag}"'}]\n  script: ${line}\n`;
  await writeFile(join(work, '.gitlab-ci.yml'), `variables: {GIT_DEPTH: "${depth}"}\n${jobOf('shell')}${jobOf('docker')}`);
  git(bench, ['-C', work, 'add', '--all']);
  git(bench, ['-C', work, '-c', 'user.name=bench', '-c', 'user.email=bench@example.com', 'commit', '--quiet', '-m', 'sample']);
  git(bench, ['-C', work, 'push', '--quiet', '-o', 'ci.skip', `${bench.url}/root/${name}.git`, 'main']);
  return Number(made['id']);
}

/** @returns milliseconds from the question to the job's first line */
async function job(bench: Bench, id: number, executor: string): Promise<number> {
  const started = performance.now();
  const made = await bench.post(`/projects/${id}/pipeline`, { ref: 'main', variables: [{ key: 'EXECUTOR', value: executor }] });
  const took = await marked(join(bench.marks, String(made['id'])), started);
  for (;;) {
    const answer = await fetch(`${bench.url}/api/v4/projects/${id}/pipelines/${String(made['id'])}`, {
      headers: { 'private-token': bench.root },
      dispatcher,
    });
    const { status } = (await answer.json()) as { status: string };
    if (status === 'success') return took;
    if (status === 'failed') throw new Error(`the ${executor} job failed`);
    await sleep(20);
  }
}

let floors = 0;

async function byHand(bench: Bench, name: string, executor: 'shell' | 'docker'): Promise<number> {
  floors += 1;
  const [dir, mark] = [join(bench.top, `hand-${floors}`), join(bench.marks, `hand-${floors}`)];
  const started = performance.now();
  git(bench, ['clone', '--quiet', `--depth=${depth}`, `${bench.url}/root/${name}.git`, dir]);
  const { docker } = bench;
  if (executor === 'shell' || docker === undefined) execFileSync('sh', ['-c', `touch ${mark}`], { cwd: dir });
  else
    docker.cli(
      'run',
      '--rm',
      '-v',
      `${dir}:/build`,
      '-w',
      '/build',
      '-v',
      `${bench.marks}:${bench.marks}`,
      docker.image,
      'sh',
      '-c',
      `touch ${mark}`,
    );
  const took = await marked(mark, started);
  await rm(dir, { recursive: true });
  return took;
}

async function marked(path: string, started: number): Promise<number> {
  while (!existsSync(path)) {
    if (performance.now() - started > 300_000) throw new Error('no line of the script ran within 5 minutes');
    await sleep(1);
  }
  return performance.now() - started;
}

function git(bench: Bench, args: readonly string[]): void {
  execFileSync('git', ['-c', 'credential.helper=', '-c', `credential.helper=${helper}`, ...args], {
    env: { PATH: process.env['PATH'], HOME: bench.top, GIT_CONFIG_NOSYSTEM: '1', GIT_TERMINAL_PROMPT: '0', BENCH_TOKEN: bench.root },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

const helper = '!f() { test "$1" = get && printf "username=root\\npassword=%s\\n" "$BENCH_TOKEN"; }; f';

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0;
}
