import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { JobpassError } from '../../../base/errors.ts';
import { type Oid, type ProjectId, type RefName, zeroOid } from '../../../base/ids.ts';
import type { DecideRefs } from '../../../base/refs.ts';
import { present } from '../../../base/assert.ts';
import type { Grant } from '../../../pass/grant.ts';
import type { CommitAction, CommitRequest } from '../../forge.ts';
import { Push, type PushDeps } from '../git/push.ts';
import { checkPath } from './names.ts';
import { entryAt, readCommits, revParse } from './reads.ts';

export interface WriteDeps extends PushDeps {
  /** For short-lived repositories of writes over the API. */
  readonly scratch: string;
}

/**
 * A write over the API is a push from a scratch repository that borrows the objects: the same quarantine, decisions, log and locks as a push
 * from outside, so there is one way for a ref to move.
 */
export async function withScratch<Result>(
  deps: WriteDeps,
  repository: string,
  work: (scratch: string) => Promise<Result>,
): Promise<Result> {
  const folder = await mkdtemp(join(deps.scratch, 'write-'));
  try {
    const scratch = join(folder, 'scratch.git');
    await deps.git.run(scratch, ['init', '--quiet', '--bare', '--template=', scratch]);
    await mkdir(join(scratch, 'objects', 'info'), { recursive: true });
    await writeFile(join(scratch, 'objects', 'info', 'alternates'), `${repository}/objects\n`);
    return await work(scratch);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Moves one ref, decided and logged like a push. @throws access_denied with the refusal's words, conflict when the ref is not at `oldOid` */
export async function moveRef(
  deps: WriteDeps,
  grant: Grant,
  project: ProjectId,
  repository: string,
  scratch: string,
  change: { ref: RefName; oldOid: Oid; newOid: Oid },
  decide: DecideRefs,
): Promise<void> {
  const push = new Push(deps, grant, project, repository, decide);
  const spec = change.newOid === zeroOid ? `:${change.ref}` : `${change.newOid}:${change.ref}`;
  const lease = `--force-with-lease=${change.ref}:${change.oldOid === zeroOid ? '' : change.oldOid}`;
  const started = deps.git.start(scratch, ['push', '--quiet', '--porcelain', lease, repository, spec], {
    signal: grant.signal,
    ...push.hooks(),
  });
  started.input.end();
  started.output.resume();
  const { code } = await started.done;
  const { outcome } = await push.finish();
  if (outcome === 'done') return;
  // A grant that died at the lock says so itself; otherwise the refusal is about the ref.
  await grant.confirm(null);
  if (push.refusal !== undefined) throw new JobpassError('access_denied', push.refusal);
  throw new JobpassError('conflict', `The ref could not be moved: it changed meanwhile (git ended with ${code}).`);
}

/** Applies the actions on top of `parent` in the scratch repository. @returns the new commit */
export async function buildCommit(deps: WriteDeps, scratch: string, parent: Oid | undefined, request: CommitRequest): Promise<Oid> {
  const index = { GIT_INDEX_FILE: join(scratch, 'index.tmp') };
  if (parent !== undefined) await deps.git.run(scratch, ['read-tree', parent], { env: index });
  for (const action of request.actions) await applyAction(deps, scratch, index, parent, action);
  const tree = await line(deps, scratch, ['write-tree'], index);
  const { name, email } = request.author;
  const person = { GIT_AUTHOR_NAME: name, GIT_AUTHOR_EMAIL: email, GIT_COMMITTER_NAME: name, GIT_COMMITTER_EMAIL: email };
  const { output } = await deps.git.run(scratch, ['commit-tree', tree, ...(parent === undefined ? [] : ['-p', parent]), '-F', '-'], {
    env: person,
    stdin: request.message,
  });
  return present(await revParse(deps.git, scratch, output.toString('utf8').trim()), 'the new commit');
}

async function applyAction(
  deps: WriteDeps,
  scratch: string,
  env: Readonly<Record<string, string>>,
  parent: Oid | undefined,
  action: CommitAction,
): Promise<void> {
  const path = checkPath(action.path);
  const from = action.action === 'move' ? checkPath(action.previousPath ?? '') : path;
  const old = parent === undefined ? undefined : await entryIn(deps, scratch, env, from);
  if (action.action === 'create') {
    if (old !== undefined) throw new JobpassError('invalid_input', 'A file with this name already exists');
  } else if (old === undefined) throw new JobpassError('invalid_input', "A file with this name doesn't exist");
  if (action.lastCommitId !== undefined && parent !== undefined) {
    const [last] = await readCommits(deps.git, scratch, ['-1', parent, '--', `:(literal)${from}`]);
    if (last?.id !== action.lastCommitId)
      throw new JobpassError('invalid_input', 'You are attempting to update a file that has changed since you started editing it.');
  }
  const remove = `0 ${zeroOid}\t${from}\0`;
  if (action.action === 'delete') return void (await deps.git.run(scratch, ['update-index', '-z', '--index-info'], { env, stdin: remove }));
  const blob =
    action.content === undefined ? (old?.oid ?? (await hash(deps, scratch, Buffer.alloc(0)))) : await hash(deps, scratch, action.content);
  const executable = action.executable ?? old?.mode === '100755';
  const entry = `${executable ? '100755' : '100644'} ${blob}\t${path}\0`;
  await deps.git.run(scratch, ['update-index', '-z', '--index-info'], { env, stdin: action.action === 'move' ? remove + entry : entry });
}

/** As the index has it now: earlier actions of the same commit count. */
async function entryIn(deps: WriteDeps, scratch: string, env: Readonly<Record<string, string>>, path: string) {
  const tree = await line(deps, scratch, ['write-tree'], env);
  return entryAt(deps.git, scratch, tree as Oid, path);
}

async function hash(deps: WriteDeps, scratch: string, content: Buffer): Promise<Oid> {
  const { output } = await deps.git.run(scratch, ['hash-object', '-w', '--stdin'], { stdin: content });
  return output.toString('utf8').trim() as Oid;
}

async function line(deps: WriteDeps, scratch: string, args: readonly string[], env: Readonly<Record<string, string>>): Promise<string> {
  return (await deps.git.run(scratch, args, { env })).output.toString('utf8').trim();
}

/** An annotated tag object. */
export async function buildTag(
  deps: WriteDeps,
  scratch: string,
  name: string,
  commit: Oid,
  message: string,
  tagger: { name: string; email: string },
  atSeconds: number,
): Promise<Oid> {
  const clean = (text: string): string => text.replaceAll(/[<>\n\0]/g, '');
  const text = `object ${commit}\ntype commit\ntag ${name}\ntagger ${clean(tagger.name)} <${clean(tagger.email)}> ${atSeconds} +0000\n\n${message}\n`;
  const { output } = await deps.git.run(scratch, ['mktag'], { stdin: text });
  return output.toString('utf8').trim() as Oid;
}
