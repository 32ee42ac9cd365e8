import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { JobpassError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import { Secret } from '../../base/secret.ts';
import type { JobArtifact, JobDependency } from '../../wire/runner.ts';
import { copyTree } from '../artifacts/copy-tree.ts';
import { selectFiles } from '../artifacts/select.ts';
import { unzip } from '../artifacts/unzip.ts';
import { multipart, writePlain, writeZip } from '../artifacts/zip.ts';
import { Masker } from '../trace/masker.ts';
import { waitFor } from '../wait.ts';
import type { JobContext, Outcome } from './context.ts';
import { stagingDir, untrackedFiles, withinBuild } from './files.ts';
import { attemptsOf } from './git-settings.ts';
import { expander } from './variables.ts';

/** As gitlab-runner: a server that is busy is asked more often than one that fails. */
const attemptsAfter = (status: number): number => (status === 503 ? 6 : 3);
/** Trying again would change nothing. */
const final = new Set([400, 401, 403, 404, 413, 422]);
const endings = { zip: '.zip', gzip: '.gz', raw: '' } as const;

/** Fetches and unpacks the artifacts of the jobs that this one depends on. @throws upstream_failed, invalid_input, too_large */
export async function restoreArtifacts(context: JobContext): Promise<void> {
  const attempts = attemptsOf(context.variables, 'ARTIFACT_DOWNLOAD_ATTEMPTS');
  for (const dependency of context.job.dependencies) {
    if (dependency.artifacts_file === undefined) continue;
    context.trace.line(`Downloading artifacts for ${dependency.name} (${dependency.id})…`);
    for (let attempt = 1; ; attempt += 1) {
      try {
        await restoreOne(context, dependency);
        break;
      } catch (error) {
        if (attempt >= attempts || context.control.script.aborted) throw error;
        context.trace.line(`Downloading failed; trying again (${attempt + 1} of ${attempts})`);
      }
    }
  }
}

async function restoreOne(context: JobContext, dependency: JobDependency): Promise<void> {
  const folder = await stagingDir(context, `in-${dependency.id}`);
  try {
    await download(context, dependency, join(folder, 'archive.zip'));
    await mkdir(join(folder, 'files'));
    await unzip(join(folder, 'archive.zip'), join(folder, 'files'), context.control.script);
    await copyTree(join(folder, 'files'), context.workspace.place, context.control.script);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function download(context: JobContext, dependency: JobDependency, path: string): Promise<void> {
  const { client, control, token } = context;
  // Newer servers send the running job's own token here.
  const secret = dependency.token === '' ? token : new Secret(dependency.token);
  const answer = await client.downloadArtifacts(dependency.id, secret, control.script);
  if (typeof answer === 'number')
    throw new JobpassError('upstream_failed', `The artifacts of ${dependency.name} cannot be fetched: the server answered ${answer}.`);
  let size = 0;
  const limit = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length;
      if (size > limits.artifactBytes) done(new JobpassError('too_large', 'The artifacts are larger than allowed.'));
      else done(null, chunk);
    },
  });
  await pipeline(answer, limit, createWriteStream(path, { mode: 0o600 }), { signal: control.script });
}

/** True where `artifacts:when` fits the outcome. */
export function isUploaded({ when }: JobArtifact, outcome: Outcome): boolean {
  return when === 'always' || (when === 'on_success') === (outcome.state === 'success');
}

/** Packs and uploads what `artifacts:` names, where its `when` fits the outcome. @throws upstream_failed, too_large */
export async function collectArtifacts(context: JobContext, outcome: Outcome): Promise<void> {
  for (const artifact of context.job.artifacts) if (isUploaded(artifact, outcome)) await uploadOne(context, artifact);
}

async function uploadOne(context: JobContext, artifact: JobArtifact): Promise<void> {
  const { workspace, trace, variables, control } = context;
  const { place } = workspace;
  const expand = expander(variables.all);
  const untracked = artifact.untracked ? await untrackedFiles(context) : [];
  const within = (paths: readonly string[]): readonly string[] => withinBuild(paths.map(expand), place, (text) => trace.line(text));
  const chosen = await selectFiles(place.buildDir, {
    paths: within(artifact.paths),
    exclude: within(artifact.exclude),
    literal: untracked,
  });
  if (chosen.length === 0) return trace.line('WARNING: no files match the paths of `artifacts:`; nothing is uploaded');
  trace.line(`Uploading ${chosen.filter(({ kind }) => kind === 'file').length} files…`);
  const folder = await stagingDir(context, 'out');
  try {
    const path = join(folder, 'content');
    const say = (text: string): void => trace.line(text);
    const order = { root: place.buildDir, uid: place.uid, chosen, watched: context.watched, signal: control.all, say };
    if (artifact.artifact_format === 'zip') await writeZip(path, order);
    else await writePlain(path, order, artifact.artifact_format);
    await send(context, artifact, path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function send(context: JobContext, artifact: JobArtifact, path: string): Promise<void> {
  const { client, job, token, variables, trace, control } = context;
  const query = new URLSearchParams({ artifact_format: artifact.artifact_format, artifact_type: artifact.artifact_type });
  if (artifact.expire_in !== null) query.set('expire_in', artifact.expire_in);
  const name = expander(variables.all)(artifact.name ?? '');
  new Masker({ phrases: [], watched: context.watched, prefixes: [] }).write(Buffer.from(name));
  for (let attempt = 1; ; attempt += 1) {
    const { type, body } = multipart(`${name === '' ? 'artifacts' : name}${endings[artifact.artifact_format]}`, createReadStream(path));
    const status = await client.uploadArtifacts(job.id, token, query, type, body, control.all).catch((error: unknown) => {
      if (control.all.aborted || attempt >= attemptsAfter(0)) throw error;
      return 0;
    });
    if (status === 201) return trace.line('Uploading artifacts: done');
    // 3xx: no redirect is followed (R16).
    if (final.has(status) || (status >= 300 && status < 400) || attempt >= attemptsAfter(status))
      throw new JobpassError('upstream_failed', `The server refused the artifacts with ${status}.`);
    await waitFor(context.retryMs * attempt, control.all);
  }
}
