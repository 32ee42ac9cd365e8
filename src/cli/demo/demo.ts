import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret, randomBase62 } from '../../base/secret.ts';
import { JobpassError } from '../../base/errors.ts';
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
  readonly out: (text: string) => void;
  /** Resolves when the user wants to stop. */
  readonly interrupted: Promise<void>;
}

const timeLimitMs = 120_000;

/** Runs the main job from nothing, prints what happened, and cleans up. @returns the exit code */
export async function runDemo(options: DemoOptions): Promise<number> {
  const started = performance.now();
  const place = await makeWorkplace(options.folder);
  const children: Child[] = [];
  const step = (text: string): void => {
    if (!options.json) options.out(`  ${((performance.now() - started) / 1000).toFixed(1).padStart(4)} s  ${text}\n`);
  };
  try {
    if (!options.json) options.out('\njobpass demo: one server, two runners, four private projects, one ordinary user\n\n');
    const rootToken = new Secret(`glpat-${randomBase62(20)}`);
    const { url, api } = await startForge(place, rootToken, children, step);
    const story = await tellStory(place, url, api, children, step);
    report(options, url, story);
    if (!options.exit) {
      options.out(`\n  The server stays up at ${url}\n  root token: ${rootToken.reveal()}\n  data: ${place.top}\n  Ctrl-C ends it.\n`);
      await Promise.race([options.interrupted, story.ended]);
    }
    return story.ok ? 0 : 1;
  } finally {
    for (const child of children.toReversed()) await child.stop();
    if (place.temporary) await rm(place.top, { recursive: true, force: true });
  }
}

type Step = (text: string) => void;

async function startForge(place: Workplace, rootToken: Secret, children: Child[], step: Step): Promise<{ url: string; api: Api }> {
  const env = { ...plainEnv(place), JOBPASS_ROOT_TOKEN: rootToken.reveal() };
  const { child, match } = await startChild(
    ['serve', '--data', place.data, '--listen', '127.0.0.1:0'],
    env,
    join(place.logs, 'server.log'),
    /listening on (http:\/\/127\.0\.0\.1:\d+)/,
  );
  children.push(child);
  const url = match[1] ?? '';
  step(`server      ${url}`);
  return { url, api: new Api(url, rootToken) };
}

interface Story {
  readonly ok: boolean;
  readonly lines: readonly Reached[];
  readonly verdict: Verdict;
  readonly jobs: readonly { readonly name: string; readonly status: string; readonly exposure: string }[];
  readonly release: string;
  readonly ended: Promise<void>;
}

async function tellStory(place: Workplace, url: string, root: Api, children: Child[], step: Step): Promise<Story> {
  const setup = await setUpForge(root);
  step('people      alice: maintainer of demo-app/app, reporter in demo-libs and demo-ops, developer in demo-docs');
  await startRunners(place, url, root, children, step);
  const witness = await startWitness(url, '/demo-app/app.git/info/refs?service=git-upload-pack');
  try {
    await pushProjects(place, url, root, setup, witness.url);
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

async function startRunners(place: Workplace, url: string, root: Api, children: Child[], step: Step): Promise<void> {
  for (const tag of ['demo-safe', 'demo-exposed']) {
    const { id, token } = await makeRunner(root, tag);
    const exposed = tag === 'demo-exposed';
    const config = join(place.work, `${tag}.toml`);
    const flags = exposed ? ['--unsafe'] : [];
    const env = { ...plainEnv(place), JOBPASS_RUNNER_TOKEN: token.reveal() };
    await runChild(
      [
        'runner',
        'register',
        '--config',
        config,
        '--url',
        url,
        '--executor',
        'shell',
        '--name',
        tag,
        '--builds-dir',
        join(place.builds, tag),
        ...flags,
      ],
      env,
    );
    if (exposed) await root.put(`/api/v4/runners/${id}`, { trust: 'full', unsafe_accepted: true });
    const { child } = await startChild(
      ['runner', 'run', '--config', config],
      plainEnv(place),
      join(place.logs, `${tag}.log`),
      /runner\.(?:started|polling)/,
    );
    children.push(child);
    step(
      exposed
        ? `runner 2    shell, marked --unsafe by an admin: shows the pass to a job that asks. For demonstration: on a shell executor\n                      other jobs of the machine could read it. Real jobs see their pass in containers.`
        : 'runner 1    shell, as it should be: clones with its fetch pass, shows the script nothing',
    );
  }
}

async function pushProjects(place: Workplace, url: string, root: Api, setup: Setup, witness: string): Promise<void> {
  // The forge's own administrator fills the other groups' projects; alice only reads them.
  const token = await root.post('/api/v4/user/personal_access_tokens', { name: 'demo push', scopes: ['api'] });
  const admin = new Git(place.work, { username: 'root', email: 'root@example.com', token: new Secret(textOf(token, 'token')) });
  await admin.publish('greeting', `${url}/demo-libs/greeting.git`, libraryFiles);
  await admin.publish('settings', `${url}/demo-ops/settings.git`, settingsFiles);
  await admin.publish('site', `${url}/demo-docs/site.git`, { 'README.md': '# site\n' });
  const alice = new Git(place.work, setup.alice);
  await alice.publish('app', `${url}/demo-app/app.git`, applicationFiles(place.node, witness), [
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
  const ok = verdict.during === 200 && verdict.after === 401 && verdict.gitAfter === 401;
  return {
    ok,
    lines,
    verdict,
    jobs: seen,
    release: `${textOf(release, 'tag_name')} with link ${textOf(link, 'url')}`,
    ended: new Promise(() => undefined),
  };
}

function report(options: DemoOptions, url: string, story: Story): void {
  if (options.json) {
    options.out(
      `${JSON.stringify({ url, ok: story.ok, reached: story.lines, jobs: story.jobs, release: story.release, after: story.verdict })}\n`,
    );
    return;
  }
  const { verdict } = story;
  const rows = story.lines.map((line) => [line.what, line.permission, line.pass, line.as, line.decision === 'allow' ? 'yes' : 'no']);
  rows.push(
    ['the same pass, after its job', 'GET /user', 'full', 'alice', `${verdict.after}`],
    ['the same pass, after its job', 'git fetch', 'full', 'alice', `${verdict.gitAfter}`],
  );
  options.out(`\n${table([['what the pipeline reached', 'by permission', 'pass', 'as', 'answer'], ...rows])}\n\n`);
  options.out(`  release ${story.release}\n`);
  for (const job of story.jobs) options.out(`  job ${job.name}: exposure of the pass to the script: ${job.exposure}\n`);
  options.out(`  the pass of job publish was refused ${verdict.diedWithinMs} ms after it was last accepted\n`);
}

/** Nothing of the caller's environment reaches the demo's processes but what they need to run. */
function plainEnv(place: Workplace): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], HOME: place.work, LANG: 'C.UTF-8', NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] };
}
