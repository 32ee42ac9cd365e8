import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret, randomBase62 } from '../../base/secret.ts';
import { JobpassError } from '../../base/errors.ts';
import { type Containers, findContainers, forgetToolbox, publishToolbox } from './containers.ts';
import { makeRunner, setUpForge, type Setup } from './forge-setup.ts';
import { Git } from './git.ts';
import { Api, fieldOf, numberOf, rowsOf, textOf } from './http.ts';
import { type Child, runChild, startChild } from './processes.ts';
import { type Reached, reached } from './reached.ts';
import { applicationFiles, libraryFiles, settingsFiles } from './story.ts';
import { table } from './table.ts';
import { startWitness, type Verdict } from './witness.ts';
import { makeWorkplace, type Workplace } from './workplace.ts';

export interface DemoOptions {
  /** Folder to keep everything in; undefined = a temporary one that is removed at the end. */
  readonly folder: string | undefined;
  /** Leave after the table; otherwise stay up until Ctrl-C. */
  readonly exit: boolean;
  readonly json: boolean;
  /** Socket of the container engine (`unix:///…`); undefined = docker's own, null = leave containers out. */
  readonly engine: string | undefined | null;
  readonly out: (text: string) => void;
  /** Resolves when the user wants to stop. */
  readonly interrupted: Promise<void>;
}

const timeLimitMs = 200_000;

/** Runs the main job from nothing, prints what happened, and cleans up. @returns the exit code */
export async function runDemo(options: DemoOptions): Promise<number> {
  const started = performance.now();
  const place = await makeWorkplace(options.folder);
  const children: Child[] = [];
  let containers: Containers | undefined;
  const step = (text: string): void => {
    if (!options.json) options.out(`  ${((performance.now() - started) / 1000).toFixed(1).padStart(4)} s  ${text}\n`);
  };
  try {
    if (!options.json) options.out('\njobpass demo: one server, two runners, five private projects, one ordinary user\n\n');
    const rootToken = new Secret(`glpat-${randomBase62(20)}`);
    const found = options.engine === null ? 'left out on purpose (--no-engine)' : await findContainers(options.engine);
    containers = typeof found === 'string' ? undefined : found;
    const { url, api } = await startForge(place, rootToken, containers, children, step);
    if (typeof found === 'string') step(`containers  ${found}: no build image, no registry; an unsafe shell runner shows the pass instead`);
    const story = await tellStory({ place, url, containers, children, step }, api);
    report(options, url, story, typeof found === 'string' ? found : undefined);
    if (!options.exit) {
      options.out(`\n  The server stays up at ${url}\n  root token: ${rootToken.reveal()}\n  data: ${place.top}\n  Ctrl-C ends it.\n`);
      await Promise.race([options.interrupted, story.ended]);
    }
    return story.ok ? 0 : 1;
  } finally {
    for (const child of children.toReversed()) await child.stop();
    if (containers !== undefined) await forgetToolbox(containers);
    if (place.temporary) await rm(place.top, { recursive: true, force: true });
  }
}

type Step = (text: string) => void;

async function startForge(
  place: Workplace,
  rootToken: Secret,
  containers: Containers | undefined,
  children: Child[],
  step: Step,
): Promise<{ url: string; api: Api }> {
  const env = { ...plainEnv(place), JOBPASS_ROOT_TOKEN: rootToken.reveal() };
  const { child, match } = await startChild(
    ['serve', '--data', place.data, ...addresses(containers)],
    env,
    join(place.logs, 'server.log'),
    /listening on (http:\/\/127\.0\.0\.1:\d+)/,
  );
  children.push(child);
  const url = match[1] ?? '';
  step(`server      ${url}`);
  if (containers !== undefined)
    step(
      `containers  they reach it at http://${containers.gateway}:${containers.port}: plain HTTP on this machine's bridge, for the demo only`,
    );
  return { url, api: new Api(url, rootToken) };
}

/**
 * A container reaches this machine by the bridge's address alone, and the engine trusts plain HTTP registries on loopback alone: so the server
 * listens at both, is called by the one, and its images by the other.
 */
function addresses(containers: Containers | undefined): readonly string[] {
  if (containers === undefined) return ['--listen', '127.0.0.1:0'];
  const { gateway, port } = containers;
  const listen = ['--listen', `127.0.0.1:${port}`, '--listen', `${gateway}:${port}`];
  return [...listen, '--external-url', `http://${gateway}:${port}`, '--registry-url', `http://127.0.0.1:${port}`, '--allow-plain-http'];
}

interface Stage {
  readonly place: Workplace;
  readonly url: string;
  readonly containers: Containers | undefined;
  readonly children: Child[];
  readonly step: Step;
}

interface Story {
  readonly ok: boolean;
  readonly lines: readonly Reached[];
  readonly verdict: Verdict;
  readonly jobs: readonly { readonly name: string; readonly status: string; readonly exposure: string }[];
  readonly release: string;
  readonly ended: Promise<void>;
}

async function tellStory(stage: Stage, root: Api): Promise<Story> {
  const { place, url, containers, step } = stage;
  const setup = await setUpForge(root);
  step('people      alice: maintainer of demo-app/app, reporter in demo-libs, demo-ops and demo-images, developer in demo-docs');
  const token = await root.post('/api/v4/user/personal_access_tokens', { name: 'demo push', scopes: ['api'] });
  const admin = { username: 'root', email: 'root@example.com', token: new Secret(textOf(token, 'token')) };
  if (containers !== undefined) {
    const { sizeBytes, digest } = await publishToolbox(place, url, admin);
    step(
      `build image demo-images/toolbox:1: this machine's shell, git and Node.js, ${Math.round(sizeBytes / 1e6)} MB, ${digest.slice(0, 19)}…`,
    );
  }
  await startRunner(stage, root, 'demo-safe');
  await startRunner(stage, root, containers === undefined ? 'demo-exposed' : 'demo-container');
  const witness = await startWitness(containers?.gateway ?? '127.0.0.1', url, '/demo-app/app.git/info/refs?service=git-upload-pack');
  try {
    await pushProjects(stage, setup, new Git(place.work, admin), witness.url);
    step('git push    alice pushes demo-app/app, with the private submodule ../../demo-libs/greeting.git');
    const alice = new Api(url, setup.alice.token);
    const { pipeline, jobs } = await followPipeline(alice, setup.appId, step);
    if (pipeline !== 'success') throw new JobpassError('upstream_failed', await lastWords(alice, setup.appId, jobs));
    const verdict = await witness.verdict;
    step(`afterwards  the same pass: ${verdict.after}`);
    return await collect(root, alice, setup, jobs, verdict);
  } finally {
    witness.close();
  }
}

const runners = {
  'demo-safe': {
    flags: ['--executor', 'shell'],
    trust: undefined,
    about: 'runner 1    shell, as it should be: clones with its fetch pass, shows the script nothing',
  },
  'demo-exposed': {
    flags: ['--executor', 'shell', '--unsafe'],
    trust: { trust: 'full', unsafe_accepted: true },
    about: `runner 2    shell, marked --unsafe by an admin: shows the pass to a job that asks. For demonstration: on a shell executor
                       other jobs of the machine could read it. Real jobs see their pass in containers.`,
  },
  'demo-container': {
    flags: ['--executor', 'docker'],
    trust: { trust: 'full' },
    about: 'runner 2    docker: its gate finds it safe, so a job that asks sees its pass; pulls the build image with the fetch pass',
  },
} as const;

async function startRunner({ place, url, containers, children, step }: Stage, root: Api, tag: keyof typeof runners): Promise<void> {
  const { id, token } = await makeRunner(root, tag);
  const { flags, trust, about } = runners[tag];
  const config = join(place.work, `${tag}.toml`);
  const engine = tag === 'demo-container' && containers !== undefined ? ['--docker-host', `unix://${containers.socketPath}`] : [];
  const env = { ...plainEnv(place), JOBPASS_RUNNER_TOKEN: token.reveal() };
  const place_ = ['--config', config, '--url', url, '--name', tag, '--builds-dir', join(place.builds, tag)];
  await runChild(['runner', 'register', ...place_, ...flags, ...engine], env);
  if (trust !== undefined) await root.put(`/api/v4/runners/${id}`, trust);
  const { child } = await startChild(
    ['runner', 'run', '--config', config],
    plainEnv(place),
    join(place.logs, `${tag}.log`),
    /runner\.(?:started|polling)/,
  );
  children.push(child);
  step(about);
}

async function pushProjects({ place, url, containers }: Stage, setup: Setup, admin: Git, witness: string): Promise<void> {
  // The forge's own administrator fills the other groups' projects; alice only reads them.
  await admin.publish('greeting', `${url}/demo-libs/greeting.git`, libraryFiles);
  await admin.publish('settings', `${url}/demo-ops/settings.git`, settingsFiles);
  await admin.publish('site', `${url}/demo-docs/site.git`, { 'README.md': '# site\n' });
  const alice = new Git(place.work, setup.alice);
  const files = applicationFiles({ node: place.node, witness, containers: containers !== undefined });
  await alice.publish('app', `${url}/demo-app/app.git`, files, [
    { path: 'lib', url: '../../demo-libs/greeting.git', from: `${url}/demo-libs/greeting.git` },
  ]);
}

interface JobRow {
  readonly id: number;
  readonly name: string;
  readonly status: string;
}

async function followPipeline(alice: Api, project: number, step: Step): Promise<{ pipeline: string; jobs: readonly JobRow[] }> {
  const deadline = performance.now() + timeLimitMs;
  const told = new Map<string, string>();
  for (;;) {
    const [pipeline] = rowsOf(await alice.get(`/api/v4/projects/${project}/pipelines`));
    const jobs =
      pipeline === undefined
        ? []
        : rowsOf(await alice.get(`/api/v4/projects/${project}/pipelines/${numberOf(pipeline, 'id')}/jobs`)).map((row) => ({
            id: numberOf(row, 'id'),
            name: textOf(row, 'name'),
            status: textOf(row, 'status'),
          }));
    for (const job of jobs.toSorted((one, other) => one.id - other.id)) {
      if (told.get(job.name) !== job.status && job.status !== 'created') step(`job         ${job.name}: ${job.status}`);
      told.set(job.name, job.status);
    }
    const status = String(fieldOf(pipeline, 'status'));
    if (['success', 'failed', 'canceled', 'skipped'].includes(status)) return { pipeline: status, jobs };
    if (performance.now() > deadline)
      throw new JobpassError('timeout', `the pipeline is still ${status}; ${await lastWords(alice, project, jobs)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function lastWords(alice: Api, project: number, jobs: readonly JobRow[]): Promise<string> {
  const parts = await Promise.all(
    jobs.map(
      async (job) =>
        `--- ${job.name}: ${job.status}\n${String(await alice.get(`/api/v4/projects/${project}/jobs/${job.id}/trace`)).slice(-3000)}`,
    ),
  );
  return `the pipeline did not succeed:\n${parts.join('\n')}`;
}

async function collect(root: Api, alice: Api, setup: Setup, jobs: readonly JobRow[], verdict: Verdict): Promise<Story> {
  const projects = rowsOf(await root.get('/api/v4/projects?per_page=100'));
  const names = new Map(projects.map((project) => [numberOf(project, 'id'), textOf(project, 'path_with_namespace')]));
  const users = new Map([[setup.alice.id, setup.alice.username]]);
  const ordered = jobs.toSorted((one, other) => one.id - other.id);
  const lines = await reached(
    root,
    ordered.map((job) => job.id),
    names,
    users,
  );
  const release = await alice.get(`/api/v4/projects/${setup.appId}/releases/v1.0.0`);
  const [link] = rowsOf(fieldOf(fieldOf(release, 'assets'), 'links'));
  const seen: { name: string; status: string; exposure: string }[] = [];
  for (const job of ordered) {
    const trace = String(await alice.get(`/api/v4/projects/${setup.appId}/jobs/${job.id}/trace`));
    seen.push({ name: job.name, status: job.status, exposure: /jobpass: exposure:? (\w+)/i.exec(trace)?.[1] ?? 'unknown' });
  }
  const ok = verdict.during === 200 && verdict.after === 401 && verdict.gitAfter === 401 && verdict.registryAfter === 401;
  return {
    ok,
    lines,
    verdict,
    jobs: seen,
    release: `${textOf(release, 'tag_name')} with link ${textOf(link, 'url')}`,
    ended: new Promise(() => undefined),
  };
}

/** @param leftOut why there are no containers */
function report(options: DemoOptions, url: string, story: Story, leftOut: string | undefined): void {
  if (options.json) {
    options.out(
      `${JSON.stringify({ url, ok: story.ok, reached: story.lines, jobs: story.jobs, release: story.release, after: story.verdict, left_out: leftOut ?? null })}\n`,
    );
    return;
  }
  const { verdict } = story;
  const rows = story.lines.map((line) => [line.what, line.permission, line.pass, line.as, line.decision === 'allow' ? 'yes' : 'no']);
  rows.push(
    ['the same pass, after its job', 'GET /user', 'full', 'alice', `${verdict.after}`],
    ['the same pass, after its job', 'git fetch', 'full', 'alice', `${verdict.gitAfter}`],
    ['the same pass, after its job', 'registry', 'full', 'alice', `${verdict.registryAfter}`],
  );
  options.out(`\n${table([['what the pipeline reached', 'by permission', 'pass', 'as', 'answer'], ...rows])}\n\n`);
  options.out(`  release ${story.release}\n`);
  for (const job of story.jobs) options.out(`  job ${job.name}: exposure of the pass to the script: ${job.exposure}\n`);
  if (leftOut !== undefined)
    options.out(`  left out, because ${leftOut}: the private build image, images over the registry, exposure in containers\n`);
  options.out(`  the pass was refused ${verdict.diedWithinMs} ms after it was last accepted\n`);
}

/** Nothing of the caller's environment reaches the demo's processes but what they need to run. */
function plainEnv(place: Workplace): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], HOME: place.work, LANG: 'C.UTF-8', NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] };
}
