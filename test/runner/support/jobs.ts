import { randomBytes, randomInt } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog } from '../../../src/base/log.ts';
import { Secret } from '../../../src/base/secret.ts';
import { type RunnerHandle, startRunner } from '../../../src/runner/loop.ts';
import { registerRunner, type RegisterOptions } from '../../../src/runner/register.ts';
import { newPassToken } from '../../../src/base/pass-token.ts';
import type { JobArtifact, JobPayload, JobVariable } from '../../../src/wire/runner.ts';
import { FakeForge, type JobReport } from './fake-forge.ts';

/** A forge, and a runner that is registered with it. */
export interface Scene {
  readonly dir: string;
  readonly forge: FakeForge;
  readonly configPath: string;
  readonly buildsDir: string;
  start(options?: { readonly unsafe?: boolean }): Promise<RunnerHandle>;
  /** Adds lines to the runner's entry in config.toml, before a start. */
  configure(lines: string): Promise<void>;
  /** Runs one job to its end. */
  run(payload: Payload): Promise<JobReport & { readonly text: string }>;
  close(): Promise<void>;
}

export type Payload = Omit<Partial<JobPayload>, 'id'> & { readonly id: number };

/** What `register` needs beside the server's address. */
export type SceneOptions = Partial<Pick<RegisterOptions, 'executor' | 'docker' | 'ssh'>>;

export async function makeScene(more: SceneOptions = {}): Promise<Scene> {
  const dir = await mkdtemp(join(tmpdir(), 'jobpass-runner-'));
  // A job's own OS user has to get to its folder.
  await chmod(dir, 0o711);
  const forge = await new FakeForge(dir).start();
  const configPath = join(dir, 'config', 'config.toml');
  const buildsDir = join(dir, 'builds');
  await registerRunner({ url: forge.url, token: new Secret('glrt-good'), executor: 'shell', configPath, name: 'test', buildsDir, ...more });
  // Images of tests are in no registry.
  if (more.executor === 'docker') await writeFile(configPath, (await readFile(configPath, 'utf8')).replace('"always"', '"never"'));
  const handles: RunnerHandle[] = [];
  const scene: Scene = {
    dir,
    forge,
    configPath,
    buildsDir,
    async start(options = {}) {
      const handle = await startRunner({ configPath, log: silentLog, traceIntervalMs: 10, heartbeatMs: 50, retryMs: 1, ...options });
      handles.push(handle);
      return handle;
    },
    async configure(lines) {
      const text = await readFile(configPath, 'utf8');
      await writeFile(configPath, text.replace('[[runners]]\n', `[[runners]]\n${lines}\n`));
    },
    async run(payload) {
      if (handles.length === 0) await scene.start();
      forge.give(payload);
      const report = await forge.ended(payload.id);
      return { ...report, text: textOf(report.trace) };
    },
    async close() {
      await Promise.all(handles.map((handle) => handle.stop()));
      await forge.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
  return scene;
}

/** A trace without its stamps. */
export function textOf(trace: Buffer): string {
  return trace
    .toString()
    .split('\n')
    .map((line) => line.replace(/^\d{4}-\d\d-\d\dT[\d:.]{15}Z 00O[ +]/, ''))
    .join('\n');
}

let nextId = 100;

/** A payload with just a script; whatever is given on top replaces its parts. */
export function jobPayload(script: readonly string[], parts: Partial<JobPayload> = {}, after: readonly string[] = []): Payload {
  nextId += 1;
  const id = parts.id ?? nextId;
  return {
    token: `glcbt-${randomBytes(15).toString('hex')}`,
    allow_git_fetch: true,
    job_info: {
      id,
      name: 'test',
      stage: 'test',
      pipeline_id: 1,
      project_id: 5,
      project_name: 'app',
      project_full_path: 'group/app',
      namespace_id: 1,
      root_namespace_id: 1,
      user_id: 42,
    },
    runner_info: { timeout: 60 },
    variables: [variable('GIT_STRATEGY', 'none')],
    steps: [
      { name: 'script', script, timeout: 60, when: 'on_success', allow_failure: false },
      ...(after.length === 0 ? [] : ([{ name: 'after_script', script: after, timeout: 60, when: 'always', allow_failure: true }] as const)),
    ],
    artifacts: [],
    dependencies: [],
    ...parts,
    id,
  };
}

/** `artifacts:paths` of a payload. */
export function archiveOf(paths: readonly string[], more: Partial<JobArtifact> = {}): JobArtifact {
  return {
    name: null,
    untracked: false,
    paths,
    exclude: [],
    when: 'always',
    artifact_type: 'archive',
    artifact_format: 'zip',
    expire_in: null,
    ...more,
  };
}

export function variable(key: string, value: string, more: Partial<JobVariable> = {}): JobVariable {
  return { key, value, public: true, masked: false, ...more };
}

/** The parts of a payload that make the runner fetch. */
export function sourcesOf(forge: FakeForge, sha: string, path = 'group/app'): Pick<JobPayload, 'git_info'> {
  return {
    git_info: {
      repo_url: `${forge.url.replace('://', '://gitlab-ci-token:wrong@')}/${path}.git`,
      repo_object_format: 'sha1',
      ref: 'main',
      sha,
      before_sha: '0'.repeat(40),
      ref_type: 'branch',
      refspecs: ['+refs/heads/main:refs/remotes/origin/main'],
      depth: 20,
      protected: false,
    },
  };
}

/** Passes for a job, and the field that carries them. */
export function passesFor(forge: FakeForge, exposure: 'withhold' | 'variable' | 'replace' = 'withhold') {
  const [full, fetch] = [newPassToken('full').reveal(), newPassToken('fetch').reveal()];
  forge.readers.add(fetch);
  const extended_job_token = {
    token: full,
    fetch_token: fetch,
    username: 'gitlab-ci-token',
    expires_at: '2030-01-01T00:00:00Z',
    exposure,
    notes: ['rights of @alice'],
    hosts: { api: [forge.url], git: [forge.url], registry: [] },
  };
  return { full, fetch, extended_job_token };
}

/** As many as nobody else on this machine sleeps: the processes of one test are told by them, also where suites run side by side. */
export const ownSeconds = (): number => randomInt(1_000_000, 10_000_000);
