import { hash } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { JobpassError } from '../../../base/errors.ts';
import { type Oid, parseOid, type ProjectId, type RefName, zeroOid } from '../../../base/ids.ts';
import type { DecideRefs } from '../../../base/refs.ts';
import { present } from '../../../base/assert.ts';
import type { Grant } from '../../../pass/grant.ts';
import type { CommitAction, CommitRequest } from '../../repository.ts';
import type { RunOptions } from '../git/processes.ts';
import { Push, type PushDeps } from '../git/push.ts';
import { checkPath } from './names.ts';
import { readCommits } from './reads.ts';

export interface WriteDeps extends PushDeps {
  /** For the short-lived object folders of writes over the API. */
  readonly scratch: string;
  readonly onPushed: (repository: string) => void;
}

/** A folder for new objects beside a repository's own, which stay as they are until a push brings the new ones in. */
export interface Scratch {
  readonly repository: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Gives `work` an empty object folder and takes it away afterwards. */
export async function withScratch<Result>(
  deps: WriteDeps,
  repository: string,
  work: (scratch: Scratch) => Promise<Result>,
): Promise<Result> {
  const folder = await mkdtemp(join(deps.scratch, 'write-'));
  try {
    const objects = join(folder, 'objects');
    await mkdir(objects);
    const env = {
      GIT_OBJECT_DIRECTORY: objects,
      GIT_ALTERNATE_OBJECT_DIRECTORIES: join(repository, 'objects'),
      GIT_INDEX_FILE: join(folder, 'index'),
    };
    return await work({ repository, env });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Moves one ref by a push from the scratch folder: the same quarantine, decisions, log and locks as a push from outside, so there is one way
 * for a ref to move.
 * @param bases commits that the repository has; what they reach is not sent
 * @throws access_denied with the refusal's words, conflict when the ref is not at `oldOid`
 */
export async function moveRef(
  deps: WriteDeps,
  grant: Grant,
  project: ProjectId,
  { repository, env }: Scratch,
  change: { readonly ref: RefName; readonly oldOid: Oid; readonly newOid: Oid },
  bases: readonly Oid[],
  decide: DecideRefs,
): Promise<void> {
  await deps.git.checkHooks();
  const push = new Push(deps, grant, project, repository, decide);
  const { signal } = grant;
  const receive = deps.git.start(repository, ['receive-pack', '--stateless-rpc', repository], { signal, ...push.hooks() });
  receive.output.resume();
  const command = `${change.oldOid} ${change.newOid} ${change.ref}\0report-status`;
  // gitprotocol-pack(5): one command, a flush, then the pack, unless the command deletes.
  receive.input.write(`${(Buffer.byteLength(command) + 4).toString(16).padStart(4, '0')}${command}0000`);
  if (change.newOid === zeroOid) receive.input.end();
  else if (bases.includes(change.newOid)) receive.input.end(emptyPack);
  else {
    const pack = deps.git.start(repository, ['pack-objects', '--revs', '--thin', '--stdout', '-q'], { env, signal });
    pack.input.end(`${change.newOid}\n${bases.map((base) => `^${base}\n`).join('')}`);
    pack.output.once('error', () => receive.kill());
    pack.output.pipe(receive.input);
  }
  const { outcome } = await push.finish(await receive.done);
  if (outcome === 'done') return deps.onPushed(repository);
  // A grant that died meanwhile says so itself; otherwise the refusal is about the ref.
  await grant.confirm(null);
  if (push.refusal !== undefined) throw new JobpassError('access_denied', push.refusal);
  throw new JobpassError('conflict', 'The ref could not be moved: it changed meanwhile.');
}

/** gitformat-pack(5): version 2, no objects, and the SHA-1 of that. */
const emptyPackHead = Buffer.from('PACK\0\0\0\u0002\0\0\0\0');
const emptyPack = Buffer.concat([emptyPackHead, hash('sha1', emptyPackHead, 'buffer')]);

const maxActions = 1000;

/** Applies the actions on top of `parent`. @returns the new commit, still only in the scratch folder. @throws invalid_input */
export async function buildCommit(deps: WriteDeps, scratch: Scratch, parent: Oid | undefined, request: CommitRequest): Promise<Oid> {
  const { actions, message } = request;
  if (actions.length > maxActions) throw new JobpassError('too_large', `A commit may have at most ${maxActions} actions`);
  if (message.includes('\0')) throw new JobpassError('invalid_input', 'commit_message is invalid');
  const run = runIn(deps, scratch);
  if (parent !== undefined) await run(['read-tree', parent]);
  const paths = [...new Set(actions.flatMap((action) => pathsOf(action)))];
  const files = parent === undefined ? new Map<string, File>() : await filesAt(run, paths);
  const changed = new Map<string, File | undefined>();
  for (const action of actions) {
    if (action.lastCommitId !== undefined && parent !== undefined)
      await checkLastCommit(deps, scratch, parent, action.previousPath ?? action.path, action.lastCommitId);
    const content = action.content === undefined ? undefined : await oidFrom(run, ['hash-object', '-w', '--stdin'], action.content);
    for (const [path, file] of applied(action, files, content)) {
      if (file === undefined) files.delete(path);
      else files.set(path, file);
      changed.set(path, file);
    }
  }
  const missing = [...changed.values()].some((file) => file?.oid === emptyBlob);
  if (missing) await oidFrom(run, ['hash-object', '-w', '--stdin'], '');
  await run(['update-index', '-z', '--index-info'], { stdin: indexInfo(changed) });
  const tree = await oidFrom(run, ['write-tree']);
  const { name, email } = request.author;
  const person = { GIT_AUTHOR_NAME: name, GIT_AUTHOR_EMAIL: email, GIT_COMMITTER_NAME: name, GIT_COMMITTER_EMAIL: email };
  return oidFrom(run, ['commit-tree', tree, ...(parent === undefined ? [] : ['-p', parent]), '-F', '-'], message, person);
}

interface File {
  readonly mode: string;
  readonly oid: Oid;
}
const emptyBlob = present(parseOid('e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'), 'the empty blob');

function pathsOf(action: CommitAction): string[] {
  return action.action === 'move' ? [checkPath(action.path), checkPath(action.previousPath ?? '')] : [checkPath(action.path)];
}

/** What one action makes of the files: a path and its file, or undefined where it goes. @throws invalid_input */
function applied(
  action: CommitAction,
  files: ReadonlyMap<string, File>,
  content: Oid | undefined,
): readonly (readonly [string, File | undefined])[] {
  const { path } = action;
  const from = action.action === 'move' ? (action.previousPath ?? '') : path;
  const old = files.get(from);
  if (action.action === 'create') {
    if (old !== undefined) throw new JobpassError('invalid_input', 'A file with this name already exists');
  } else if (old === undefined) throw new JobpassError('invalid_input', "A file with this name doesn't exist");
  if (action.action === 'move' && files.has(path)) throw new JobpassError('invalid_input', 'A file with this name already exists');
  if (action.action === 'delete') return [[path, undefined]];
  const kept = content === undefined || old?.mode === '100755' ? old?.mode : undefined;
  const mode = action.executable === undefined ? (kept ?? '100644') : action.executable ? '100755' : '100644';
  const file = { mode, oid: content ?? old?.oid ?? emptyBlob };
  return action.action === 'move'
    ? [
        [from, undefined],
        [path, file],
      ]
    : [[path, file]];
}

async function checkLastCommit(deps: WriteDeps, { repository }: Scratch, parent: Oid, path: string, wanted: string): Promise<void> {
  const [last] = await readCommits(deps.git, repository, ['--max-count=1', parent, '--', `:(literal)${path}`]);
  if (last?.id !== wanted)
    throw new JobpassError('conflict', 'You are attempting to update a file that has changed since you started editing it.');
}

type Run = (args: readonly string[], options?: RunOptions) => Promise<{ readonly output: Buffer }>;

function runIn(deps: WriteDeps, { repository, env }: Scratch): Run {
  return (args, options) => deps.git.run(repository, args, { ...options, env: { ...env, ...options?.env } });
}

/** As many as fit on a command line. */
const pathsPerRun = 100;

/** The files at these paths as the index has them. */
async function filesAt(run: Run, paths: readonly string[]): Promise<Map<string, File>> {
  const files = new Map<string, File>();
  for (let at = 0; at < paths.length; at += pathsPerRun) {
    const wanted = paths.slice(at, at + pathsPerRun).map((path) => `:(top,literal)${path}`);
    const { output } = await run(['ls-files', '--stage', '-z', '--', ...wanted]);
    for (const line of output.toString('utf8').split('\0')) {
      const [, mode = '', name = '', path = ''] = /^(\d{6}) ([0-9a-f]+) 0\t(.+)$/s.exec(line) ?? [];
      const oid = parseOid(name);
      if (oid !== undefined) files.set(path, { mode, oid });
    }
  }
  return files;
}

/** Input of `update-index --index-info`; removals first, so that a file can make way for a folder of its name. */
function indexInfo(changed: ReadonlyMap<string, File | undefined>): string {
  const gone = [...changed].flatMap(([path, file]) => (file === undefined ? `0 ${zeroOid}\t${path}\0` : []));
  const there = [...changed].flatMap(([path, file]) => (file === undefined ? [] : `${file.mode} ${file.oid}\t${path}\0`));
  return [...gone, ...there].join('');
}

async function oidFrom(
  run: Run,
  args: readonly string[],
  stdin: string | Buffer = '',
  env: Readonly<Record<string, string>> = {},
): Promise<Oid> {
  const { output } = await run(args, { stdin, env });
  return present(parseOid(output.toString('utf8').trim()), `the object of git ${args[0] ?? ''}`);
}

/** An annotated tag object, still only in the scratch folder. @throws invalid_input */
export async function buildTag(
  deps: WriteDeps,
  scratch: Scratch,
  name: string,
  commit: Oid,
  message: string,
  tagger: { readonly name: string; readonly email: string },
  atSeconds: number,
): Promise<Oid> {
  if (message.includes('\0')) throw new JobpassError('invalid_input', 'message is invalid');
  const clean = (text: string): string => text.replaceAll(/[<>\n\0]/g, '');
  const text = `object ${commit}\ntype commit\ntag ${name}\ntagger ${clean(tagger.name)} <${clean(tagger.email)}> ${atSeconds} +0000\n\n${message}\n`;
  return oidFrom(runIn(deps, scratch), ['mktag'], text);
}
