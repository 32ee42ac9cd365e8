import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { JobpassError } from '../../../base/errors.ts';
import { type Oid, parseOid, type ProjectId, type RefName, zeroOid } from '../../../base/ids.ts';
import type { DecideRefs } from '../../../base/refs.ts';
import { present } from '../../../base/assert.ts';
import type { Grant } from '../../../pass/grant.ts';
import type { CommitAction, CommitRequest } from '../../repository.ts';
import type { GitRunner } from '../git/processes.ts';
import { Push, type PushDeps } from '../git/push.ts';
import { type File, Folders } from './folders.ts';
import { checkPath } from './names.ts';
import { emptyPack, NewObjects } from './new-objects.ts';
import { readCommits } from './reads.ts';
import { withTrees } from './tree-reader.ts';

export interface WriteDeps extends PushDeps {
  /** For the short-lived object folders of merges. */
  readonly scratch: string;
  readonly onPushed: (repository: string) => void;
}

/** A folder for what git makes beside a repository's own objects, which stay as they are until a push brings the new ones in. */
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

/** What a move brings along: a pack, or what a scratch folder has beyond commits that the repository has. */
export type Brought = Buffer | { readonly scratch: Scratch; readonly bases: readonly Oid[] };

/** The pack of a move to a commit that is there already. */
export const nothing = emptyPack();

/**
 * Moves one ref by a push of ours: the same quarantine, decisions, log and locks as a push from outside, so there is one way for a ref to move.
 * @throws access_denied with the refusal's words, conflict when the ref is not at `oldOid`
 */
export async function moveRef(
  deps: WriteDeps,
  grant: Grant,
  project: ProjectId,
  repository: string,
  change: { readonly ref: RefName; readonly oldOid: Oid; readonly newOid: Oid },
  brought: Brought,
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
  else if (Buffer.isBuffer(brought)) receive.input.end(brought);
  else {
    const { scratch, bases } = brought;
    const pack = deps.git.start(repository, ['pack-objects', '--revs', '--thin', '--stdout', '-q'], { env: scratch.env, signal });
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

/** Objects on their way into a repository, and the last of them, which the ref will name. */
export interface Made {
  readonly oid: Oid;
  readonly pack: Buffer;
}

const maxActions = 1000;

/** Applies the actions on top of `parent`. @returns the new commit, which no repository holds yet. @throws invalid_input, conflict, too_large */
export async function buildCommit(
  deps: Pick<WriteDeps, 'git' | 'clock'>,
  repository: string,
  parent: Oid | undefined,
  request: CommitRequest,
): Promise<Made> {
  const { actions, message } = request;
  if (actions.length > maxActions) throw new JobpassError('too_large', `A commit may have at most ${maxActions} actions`);
  if (message.includes('\0')) throw new JobpassError('invalid_input', 'commit_message is invalid');
  for (const action of actions) pathsOf(action);
  const objects = new NewObjects();
  const tree = await withTrees(deps.git, repository, async (read) => {
    const folders = await Folders.at(read, parent);
    const changed = await changesOf(deps, repository, parent, actions, folders, objects);
    // Removals first, so that a file can make way for a folder of its name.
    for (const [path, file] of changed) if (file === undefined) await folders.remove(path);
    for (const [path, file] of changed) if (file !== undefined) await folders.put(path, file);
    return folders.write(objects);
  });
  const person = identOf(request.author, Math.floor(deps.clock.now() / 1000));
  const parents = parent === undefined ? '' : `parent ${parent}\n`;
  const oid = objects.add('commit', Buffer.from(`tree ${tree}\n${parents}author ${person}\ncommitter ${person}\n\n${message}`));
  return { oid, pack: await objects.pack() };
}

/** What becomes of each path, every action seeing the state that the one before left. */
async function changesOf(
  { git }: Pick<WriteDeps, 'git'>,
  repository: string,
  parent: Oid | undefined,
  actions: readonly CommitAction[],
  folders: Folders,
  objects: NewObjects,
): Promise<ReadonlyMap<string, File | undefined>> {
  const changed = new Map<string, File | undefined>();
  const fileAt = async (path: string): Promise<File | undefined> => (changed.has(path) ? changed.get(path) : folders.file(path));
  for (const action of actions) {
    if (action.lastCommitId !== undefined && parent !== undefined)
      await checkLastCommit(git, repository, parent, action.previousPath ?? action.path, action.lastCommitId);
    const files = new Map<string, File>();
    for (const path of pathsOf(action)) {
      const file = await fileAt(path);
      if (file !== undefined) files.set(path, file);
    }
    const content = action.content === undefined ? undefined : objects.add('blob', action.content);
    for (const [path, file] of applied(action, files, content)) {
      if (file?.oid === emptyBlob) objects.add('blob', Buffer.alloc(0));
      changed.set(path, file);
    }
  }
  return changed;
}

/** A person and a time as an object names them. What git would take for the end of the name is left out, as git does. */
export function identOf({ name, email }: { readonly name: string; readonly email: string }, atSeconds: number): string {
  const clean = (text: string): string => text.replaceAll(/[<>\n\0]/g, '').replaceAll(/^[\s.,:;"\\']+|[\s.,:;"\\']+$/g, '');
  return `${clean(name) || clean(email)} <${clean(email)}> ${atSeconds} +0000`;
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

async function checkLastCommit(git: GitRunner, repository: string, parent: Oid, path: string, wanted: string): Promise<void> {
  const [last] = await readCommits(git, repository, ['--max-count=1', parent, '--', `:(literal)${path}`]);
  if (last?.id !== wanted)
    throw new JobpassError('conflict', 'You are attempting to update a file that has changed since you started editing it.');
}

/** An annotated tag object, which no repository holds yet. @throws invalid_input */
export async function buildTag(
  name: string,
  commit: Oid,
  message: string,
  tagger: { readonly name: string; readonly email: string },
  atSeconds: number,
): Promise<Made> {
  if (message.includes('\0')) throw new JobpassError('invalid_input', 'message is invalid');
  const text = `object ${commit}\ntype commit\ntag ${name}\ntagger ${identOf(tagger, atSeconds)}\n\n${message}\n`;
  const objects = new NewObjects();
  const oid = objects.add('tag', Buffer.from(text));
  return { oid, pack: await objects.pack() };
}
