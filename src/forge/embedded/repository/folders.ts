import { JobpassError } from '../../../base/errors.ts';
import { type Oid, parseOid } from '../../../base/ids.ts';
import { present } from '../../../base/assert.ts';
import { limits } from '../../../base/limits.ts';
import type { NewObjects } from './new-objects.ts';
import type { ReadTree } from './tree-reader.ts';

/** What stands at a name: a file, a link or a submodule by its object, or a folder that was not opened. */
export interface File {
  readonly mode: string;
  readonly oid: Oid;
}

const folderMode = '40000';

/** A tree that is changed: a folder is read when a path leads into it, and only those are written. */
export class Folders {
  readonly #read: ReadTree;
  readonly #root: Folder;
  #opened = 0;

  private constructor(read: ReadTree, root: Folder) {
    this.#read = read;
    this.#root = root;
  }

  /** @param tree a tree, or a commit; undefined for a folder with nothing in it */
  static async at(read: ReadTree, tree: Oid | undefined): Promise<Folders> {
    return new Folders(read, tree === undefined ? new Folder() : folderOf(await read(tree)));
  }

  /** @returns undefined where nothing or a folder is */
  async file(path: string): Promise<File | undefined> {
    const [names, last] = namesOf(path);
    let folder: Folder | undefined = this.#root;
    for (const name of names) {
      folder = await this.#open(folder, name);
      if (folder === undefined) return undefined;
    }
    const entry = folder.entries.get(last);
    return entry === undefined || entry instanceof Folder || entry.mode === folderMode ? undefined : entry;
  }

  /** Puts a file in the place of whatever is there, on the way to it as well. @throws too_large */
  async put(path: string, file: File): Promise<void> {
    const [names, last] = namesOf(path);
    let folder = this.#root;
    for (const name of names) {
      const next: Folder = (await this.#open(folder, name)) ?? this.#count(new Folder());
      folder.entries.set(name, next);
      folder = next;
    }
    folder.entries.set(last, file);
  }

  /** Takes a file away. A folder that is empty then is not written. */
  async remove(path: string): Promise<void> {
    const [names, last] = namesOf(path);
    let folder: Folder | undefined = this.#root;
    for (const name of names) {
      folder = await this.#open(folder, name);
      if (folder === undefined) return;
    }
    const entry = folder.entries.get(last);
    if (entry !== undefined && !(entry instanceof Folder) && entry.mode !== folderMode) folder.entries.delete(last);
  }

  /** @returns the root's tree */
  write(objects: NewObjects): Oid {
    return written(this.#root, objects) ?? objects.add('tree', Buffer.alloc(0));
  }

  async #open(folder: Folder, name: string): Promise<Folder | undefined> {
    const entry = folder.entries.get(name);
    if (entry === undefined || entry instanceof Folder) return entry;
    if (entry.mode !== folderMode) return undefined;
    const opened = this.#count(folderOf(await this.#read(entry.oid)));
    folder.entries.set(name, opened);
    return opened;
  }

  #count(folder: Folder): Folder {
    this.#opened += 1;
    if (this.#opened > limits.foldersPerCommit)
      throw new JobpassError('too_large', `A commit may touch at most ${limits.foldersPerCommit} folders`);
    return folder;
  }
}

/** One that was opened. */
class Folder {
  /** By the name's bytes, one a character: a name need not be UTF-8. */
  readonly entries = new Map<string, File | Folder>();
}

/** @returns undefined for a folder with nothing in it, which git has no place for */
function written(folder: Folder, objects: NewObjects): Oid | undefined {
  const rows: { readonly sortedBy: string; readonly bytes: Buffer }[] = [];
  for (const [name, entry] of folder.entries) {
    const { mode, oid } = entry instanceof Folder ? { mode: folderMode, oid: written(entry, objects) } : entry;
    if (oid === undefined) continue;
    // A folder stands where its name with a slash would.
    const sortedBy = mode === folderMode ? `${name}/` : name;
    rows.push({ sortedBy, bytes: Buffer.concat([Buffer.from(`${mode} ${name}\0`, 'latin1'), Buffer.from(oid, 'hex')]) });
  }
  if (rows.length === 0) return undefined;
  rows.sort((one, other) => (one.sortedBy < other.sortedBy ? -1 : 1));
  return objects.add('tree', Buffer.concat(rows.map(({ bytes }) => bytes)));
}

/** A tree object: mode, name and the bytes of an id, again and again. */
function folderOf(tree: Buffer): Folder {
  const folder = new Folder();
  for (let at = 0; at < tree.length;) {
    const space = tree.indexOf(0x20, at);
    const end = tree.indexOf(0, space);
    const id = parseOid(tree.toString('hex', end + 1, end + 21));
    const mode = tree.toString('latin1', at, space);
    folder.entries.set(tree.toString('latin1', space + 1, end), { mode: plainMode(mode), oid: present(id, 'the object of a tree') });
    at = end + 21;
  }
  return folder;
}

/** As git's index has them: older programs wrote other bits of a file's rights. */
function plainMode(mode: string): string {
  const bits = Number.parseInt(mode, 8);
  if ((bits & 0o170000) !== 0o100000) return mode;
  return (bits & 0o100) === 0 ? '100644' : '100755';
}

/** The folders on the way, and the last name, by their bytes. */
function namesOf(path: string): [string[], string] {
  const names = Buffer.from(path, 'utf8').toString('latin1').split('/');
  const last = names.pop() ?? '';
  return [names, last];
}
