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
import { jobGitEnvironment } from '../git/checkout.ts';
import { privateDir } from '../places.ts';
import { runAs } from '../run-as.ts';
import { waitFor } from '../wait.ts';
import type { JobContext, Outcome } from './context.ts';
import { expandText } from './variables.ts';

const attempts = 3;
const endings = { zip: '.zip', gzip: '.gz', raw: '' } as const;

/** Fetches and unpacks the artifacts of the jobs that this one depends on. @throws upstream_failed, invalid_input, too_large */
export async function restoreArtifacts(context: JobContext): Promise<void> {
  for (const dependency of context.job.dependencies) {
    if (dependency.artifacts_file === undefined) continue;
    context.trace.line(`Downloading artifacts for ${dependency.name} (${dependency.id})…`);
    const folder = await staging(context, `in-${dependency.id}`);
    try {
      await download(context, dependency, join(folder, 'archive.zip'));
      await mkdir(join(folder, 'files'));
      await unzip(join(folder, 'archive.zip'), join(folder, 'files'));
      await copyTree(join(folder, 'files'), context.workspace.place, context.control.script);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
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

/** Packs and uploads what `artifacts:` names, where its `when` fits the outcome. @throws upstream_failed, too_large */
export async function collectArtifacts(context: JobContext, outcome: Outcome): Promise<void> {
  for (const artifact of context.job.artifacts) {
    const wanted = artifact.when === 'always' || (artifact.when === 'on_success') === (outcome.state === 'success');
    if (wanted) await uploadOne(context, artifact);
  }
}

async function uploadOne(context: JobContext, artifact: JobArtifact): Promise<void> {
  const { workspace, trace, variables, control } = context;
  const { place } = workspace;
  const expanded = (texts: readonly string[]): readonly string[] => texts.map((text) => expandText(text, variables.all));
  const untracked = artifact.untracked ? await untrackedFiles(context) : [];
  const chosen = await selectFiles(place.buildDir, {
    paths: expanded(artifact.paths),
    exclude: expanded(artifact.exclude),
    literal: untracked,
  });
  if (chosen.length === 0) return trace.line('WARNING: no files match the paths of `artifacts:`; nothing is uploaded');
  trace.line(`Uploading ${chosen.filter(({ kind }) => kind === 'file').length} files…`);
  const folder = await staging(context, 'out');
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
  const name = expandText(artifact.name ?? '', variables.all);
  for (let attempt = 1; ; attempt += 1) {
    const { type, body } = multipart(`${name === '' ? 'artifacts' : name}${endings[artifact.artifact_format]}`, createReadStream(path));
    const status = await client.uploadArtifacts(job.id, token, query, type, body, control.all).catch((error: unknown) => {
      if (control.all.aborted || attempt >= attempts) throw error;
      return 503;
    });
    if (status === 201) return trace.line('Uploading artifacts: done');
    if (status !== 503 || attempt >= attempts)
      throw new JobpassError('upstream_failed', `The server refused the artifacts with ${status}.`);
    await waitFor(1000 * attempt, control.all);
  }
}

async function untrackedFiles(context: JobContext): Promise<readonly string[]> {
  const { place } = context.workspace;
  const { stdout } = await runAs(place, 'git', ['ls-files', '--others', '-z'], {
    cwd: place.buildDir,
    env: jobGitEnvironment(place),
    collectBytes: 16 * 1024 * 1024,
  });
  return stdout.split('\0').filter((path) => path !== '');
}

async function staging(context: JobContext, name: string): Promise<string> {
  const folder = join(await privateDir(context.entry.buildsDir, 'staging'), `${context.job.id}-${context.slot}-${name}`);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { mode: 0o700 });
  return folder;
}
