import { hash } from 'node:crypto';
import { isJobpassError } from '../../base/errors.ts';
import { runAs } from '../run-as.ts';
import { gitEnvironment } from './environment.ts';
import type { Mirror } from './mirror.ts';

/** What a commit's `.gitattributes` say of its files. */
export interface Attributes {
  /** Two commits with one key have their files written in one way; undefined where there is too much to tell. */
  readonly key: string | undefined;
  readonly lfs: boolean;
}

const mostBytes = 1024 * 1024;

export async function attributesOf(mirror: Mirror): Promise<Attributes> {
  try {
    const args = ['grep', '-a', '--no-color', '-e', '.', mirror.sha, '--', ':(glob)**/.gitattributes'];
    const options = { cwd: mirror.dir, env: gitEnvironment(mirror.home), collectBytes: mostBytes, anyExit: true };
    const { stdout } = await runAs(undefined, 'git', args, options);
    const lines = stdout.replaceAll(`${mirror.sha}:`, '');
    return { key: hash('sha256', lines, 'hex'), lfs: lines.includes('filter=lfs') };
  } catch (error) {
    if (!isJobpassError(error, 'too_large')) throw error;
    return { key: undefined, lfs: true };
  }
}
