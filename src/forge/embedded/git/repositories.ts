import { appendFile, mkdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { JobpassError } from '../../../base/errors.ts';
import type { ProjectId } from '../../../base/ids.ts';
import { branchRef } from '../repository/names.ts';
import type { GitRunner } from './processes.ts';

const settings = `[receive]
	fsckObjects = true
	advertisePushOptions = true
	# The client gets a clear word about its default branch from our decision, not from git.
	denyDeleteCurrent = ignore
[transfer]
	fsckObjects = true
[core]
	logAllRefUpdates = false
[uploadpack]
	allowFilter = true
	allowReachableSHA1InWant = true
`;

/** Bare repositories in folders by number: a project's name is never part of a file name (R14, A39). */
export class Repositories {
  readonly #root: string;
  readonly #git: GitRunner;

  constructor(root: string, git: GitRunner) {
    this.#root = root;
    this.#git = git;
  }

  path(project: ProjectId): string {
    return join(this.#root, (project % 256).toString(16).padStart(2, '0'), `${project}.git`);
  }

  /** @throws not_found when there is none on disk */
  async existing(project: ProjectId): Promise<string> {
    const path = this.path(project);
    if ((await stat(path).catch(() => undefined)) === undefined) throw new JobpassError('not_found', { what: 'Repository' });
    return path;
  }

  /** @throws invalid_input for a branch name that git would not take */
  async create(project: ProjectId, defaultBranch: string): Promise<void> {
    branchRef(defaultBranch);
    const path = this.path(project);
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await this.#git.run(path, ['init', '--quiet', '--bare', '--template=', `--initial-branch=${defaultBranch}`, path]);
    // Appended: a git for each of them would be most of what a new project costs.
    await appendFile(join(path, 'config'), settings);
  }

  async setDefaultBranch(project: ProjectId, branch: string): Promise<void> {
    await this.#git.run(await this.existing(project), ['symbolic-ref', 'HEAD', branchRef(branch)]);
  }

  /** Out of the way first, so that nothing serves half a repository. */
  async remove(project: ProjectId): Promise<void> {
    const path = this.path(project);
    const gone = `${path}.removed-${Date.now()}`;
    await rename(path, gone).catch(() => undefined);
    await rm(gone, { recursive: true, force: true });
  }
}
