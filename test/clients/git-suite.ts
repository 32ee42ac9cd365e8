import { execFile, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Place } from '../support/place.ts';
import type { Claimed, ForgeClient } from '../support/server.ts';

const execute = promisify(execFile);
const hasLfs = spawnSync('git-lfs', ['version'], { stdio: 'ignore' }).status === 0;
const helper = '!f() { test "$1" = get && printf "username=any\\npassword=%s\\n" "$PASS"; }; f';
const ciFile = 'job:\n  variables: {JOBPASS_EXPOSE: variable}\n  script: ["true"]\n';

interface Ran {
  readonly code: number;
  /** Both streams, for people. */
  readonly words: string;
}

/** What git and git-lfs do with a pass: the same at the embedded forge and through the gateway. @param open makes the place */
export function gitSuite(where: string, open: () => Promise<Place>): void {
  describe(`git, with a pass, ${where}`, () => {
    let place: Place;
    let forge: ForgeClient;
    let dir: string;
    let alice: { id: number; token: string };
    let app: number;
    let job: Claimed & { pass: string };
    const url = (path: string): string => `${place.url}/${path}.git`;

    beforeAll(async () => {
      dir = await mkdtemp(join(tmpdir(), 'jobpass-git-clients-'));
      place = await open();
      forge = place.forge;
      alice = await forge.user('alice');
      app = await forge.project('team/app');
      const lib = await forge.project('libs/secret');
      await forge.member(app, alice.id, 40);
      await forge.member(lib, alice.id, 20);
      await forge.commit(lib, 'secret.txt', 'of the library\n');
      await forge.commit(lib, 'more.txt', 'more of it\n');
      await forge.commit(app, '.gitlab-ci.yml', ciFile, { token: alice.token });
      for (const name of ['one', 'two']) await forge.commit(app, name, `${name}\n`, { token: alice.token });
    });
    afterAll(async () => {
      await place?.stop();
      await rm(dir, { recursive: true, force: true });
    });

    async function startJob(): Promise<Claimed & { pass: string }> {
      await forge.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
      const claimed = await forge.claim(place.runner.token);
      if (claimed?.pass === undefined) throw new Error('no pass');
      return { ...claimed, pass: claimed.pass };
    }

    function git(pass: string, cwd: string, ...args: readonly string[]): Promise<Ran> {
      const env = {
        PATH: process.env['PATH'] ?? '',
        HOME: dir,
        LC_ALL: 'C',
        PASS: pass,
        GIT_TERMINAL_PROMPT: '0',
        GIT_CONFIG_NOSYSTEM: '1',
      };
      const settings = ['credential.helper=', `credential.helper=${helper}`, 'user.name=alice', 'user.email=alice@example.com'];
      return execute('git', [...settings.flatMap((one) => ['-c', one]), ...args], { cwd: join(dir, cwd), env }).then(
        ({ stdout, stderr }) => ({ code: 0, words: stdout + stderr }),
        (error: { code: number; stdout: string; stderr: string }) => ({ code: error.code, words: error.stdout + error.stderr }),
      );
    }
    async function must(pass: string, cwd: string, ...args: readonly string[]): Promise<string> {
      const { code, words } = await git(pass, cwd, ...args);
      if (code !== 0) throw new Error(`git ${args.join(' ')}: ${words}`);
      return words.trim();
    }
    async function refused(pass: string, cwd: string, ...args: readonly string[]): Promise<string> {
      const { code, words } = await git(pass, cwd, ...args);
      expect([args.join(' '), code === 0, words]).toEqual([args.join(' '), false, expect.anything()]);
      return words;
    }
    async function commit(cwd: string, file: string, content: string): Promise<void> {
      await writeFile(join(dir, cwd, file), content);
      await must('', cwd, 'add', '.');
      await must('', cwd, 'commit', '-q', '-m', file);
    }
    const raw = async (file: string, ref: string): Promise<string> =>
      (await forge.call('GET', `/api/v4/projects/${app}/repository/files/${file}/raw?ref=${ref}`, { token: alice.token })).text;

    test('R1 a shallow clone, which most jobs have, is deepened and pushes what was made in it', async () => {
      job = await startJob();
      await must(job.fetchPass, '.', 'clone', '-q', '--depth=1', url('team/app'), 'shallow');
      expect(await must('', 'shallow', 'rev-list', '--count', 'HEAD')).toBe('1');
      await must(job.fetchPass, 'shallow', 'fetch', '-q', '--deepen=1');
      expect(await must('', 'shallow', 'rev-list', '--count', 'HEAD')).toBe('2');
      await commit('shallow', 'made.txt', 'in a shallow clone\n');
      expect(await refused(job.fetchPass, 'shallow', 'push', 'origin', 'HEAD:refs/heads/shallow')).toContain(
        'it lacks code:push on team/app',
      );
      await must(job.pass, 'shallow', 'push', '-q', 'origin', 'HEAD:refs/heads/shallow', 'HEAD:refs/tags/v1');
      expect(await raw('made.txt', 'v1')).toBe('in a shallow clone\n');
      await must(job.fetchPass, 'shallow', 'fetch', '-q', '--unshallow');
      expect(await must('', 'shallow', 'rev-list', '--count', 'HEAD')).toBe('4');
      // Where the forge lacks what is below, a shallow history is no history.
      await must(job.fetchPass, '.', 'clone', '-q', '--depth=1', url('libs/secret'), 'foreign');
      expect(await refused(job.pass, 'foreign', 'push', url('team/app'), 'HEAD:refs/heads/foreign')).toContain(
        'shallow update not allowed',
      );
    });

    test('R1 a partial clone fetches what it lacks when it is looked at', async () => {
      await must(job.fetchPass, '.', 'clone', '-q', '--filter=blob:none', '--no-checkout', url('team/app'), 'partial');
      expect(await must('', 'partial', 'rev-list', '--all', '--objects', '--missing=print')).toContain('\n?');
      expect(await must(job.fetchPass, 'partial', 'cat-file', '-p', 'HEAD:one')).toBe('one');
    });

    test('R1 submodules of another group, by relative and by absolute addresses', async () => {
      await must(job.pass, '.', 'clone', '-q', url('team/app'), 'parent');
      await must(job.pass, 'parent', 'submodule', '-q', 'add', '../../libs/secret.git', 'relative');
      await must(job.pass, 'parent', 'submodule', '-q', 'add', url('libs/secret'), 'absolute');
      await commit('parent', 'parent.txt', 'x');
      await must(job.pass, 'parent', 'push', '-q', 'origin', 'HEAD:refs/heads/parent');
      await must(job.fetchPass, '.', 'clone', '-q', '--recurse-submodules', '-b', 'parent', url('team/app'), 'nested');
      for (const name of ['relative', 'absolute'])
        expect(await readFile(join(dir, 'nested', name, 'secret.txt'), 'utf8')).toBe('of the library\n');
    });

    test('R1 a forced push with a lease replaces what was seen, and nothing newer; a protected branch is not forced', async () => {
      await must(job.pass, '.', 'clone', '-q', url('team/app'), 'lease');
      await commit('lease', 'first.txt', 'first\n');
      await must(job.pass, 'lease', 'push', '-q', 'origin', 'HEAD:refs/heads/lease');
      const again = ['push', '-q', '--force-with-lease', 'origin', 'HEAD:refs/heads/lease'];
      await must('', 'lease', 'commit', '-q', '--amend', '-m', 'again');
      await must(job.pass, 'lease', ...again);
      await forge.commit(app, 'newer.txt', 'newer\n', { token: alice.token, branch: 'lease' });
      await must('', 'lease', 'commit', '-q', '--amend', '-m', 'once more');
      expect(await refused(job.pass, 'lease', ...again)).toContain('stale info');
      expect(await raw('newer.txt', 'lease')).toBe('newer\n');
      await must('', 'lease', 'checkout', '-q', '-B', 'main', 'origin/main~1');
      await must('', 'lease', 'commit', '-q', '--allow-empty', '-m', 'elsewhere');
      expect(await refused(job.pass, 'lease', 'push', '--force-with-lease', 'origin', 'main')).toContain('not allowed to force push');
    });

    test('R1 notes go up with a pass and come down again, as semantic-release keeps its channels', async () => {
      await must(job.fetchPass, '.', 'clone', '-q', url('team/app'), 'noted');
      await must('', 'noted', 'notes', '--ref=semantic-release-v1', 'add', '-m', '{"channels":[null]}', 'HEAD');
      const push = ['push', url('team/app'), 'refs/notes/semantic-release-v1'];
      await refused(job.fetchPass, 'noted', ...push);
      await must(job.pass, 'noted', ...push);
      await must('', 'noted', 'update-ref', '-d', 'refs/notes/semantic-release-v1');
      await must(job.fetchPass, 'noted', 'fetch', '-q', url('team/app'), '+refs/notes/*:refs/notes/*');
      expect(await must('', 'noted', 'notes', '--ref=semantic-release-v1', 'show', 'HEAD')).toBe('{"channels":[null]}');
    });

    test('R5 R11 no push option but ci.skip, and git tells its user why', async () => {
      // More than what a connection holds: git hears the answer once it has sent all.
      await writeFile(join(dir, 'lease', 'large'), randomBytes(20 * 1024 * 1024));
      await commit('lease', 'options.txt', 'x');
      const push = (option: string) => ['push', '-o', option, 'origin', 'HEAD:refs/heads/options', 'HEAD:refs/heads/more'];
      const words = await refused(job.pass, 'lease', ...push('merge_request.create'));
      expect(words).toMatch(/option/);
      for (const name of ['options', 'more']) expect(words).toMatch(new RegExp(`! \\[remote rejected\\] HEAD -> ${name} \\(`));
      expect(words).not.toMatch(/RPC failed|up-to-date/);
      await must(job.pass, 'lease', ...push('ci.skip'));
    });

    test('R13 an archive by git itself, and anything else that git does not ask for to fetch or push, is refused', async () => {
      await refused(job.pass, '.', 'archive', `--remote=${url('team/app')}`, 'HEAD');
      const headers = { authorization: `Basic ${Buffer.from(`x:${job.pass}`).toString('base64')}` };
      // As git asks that does it over HTTP, from 2.44 on.
      const asked = await forge.call('POST', '/team/app.git/git-upload-archive', { headers, raw: '0000' });
      expect([asked.status, asked.text]).toEqual([200, expect.stringMatching(/^[0-9a-f]{4}NACK archives are had over the API .*\n0000$/)]);
      expect((await forge.call('POST', '/team/app.git/git-upload-archive', { raw: '0000' })).status).toBe(401);
      for (const path of ['info/refs?service=git-upload-archive', 'objects/info/packs'])
        expect((await forge.call('GET', `/team/app.git/${path}`, { headers })).status).toBe(403);
    });

    test.skipIf(!hasLfs)('R11 A40 large files go up and down with the pass itself, and are locked', async () => {
      await must(job.pass, '.', 'clone', '-q', url('team/app'), 'lfs');
      await must(job.pass, 'lfs', 'lfs', 'install', '--local');
      await must(job.pass, 'lfs', 'lfs', 'track', '--lockable', '*.bin');
      const big = randomBytes(3_000_000);
      await writeFile(join(dir, 'lfs', 'big.bin'), big);
      await commit('lfs', 'lfs.txt', 'x');
      await must(job.pass, 'lfs', 'push', '-q', 'origin', 'HEAD:refs/heads/lfs');
      await must(job.pass, 'lfs', 'lfs', 'lock', 'big.bin');
      expect(await must(job.fetchPass, 'lfs', 'lfs', 'locks')).toMatch(/^big\.bin\s+alice\s/);
      expect(await must(job.pass, 'lfs', 'lfs', 'locks', '--verify')).toMatch(/^O big\.bin\s+alice\s/);
      expect(await refused(job.fetchPass, 'lfs', 'lfs', 'unlock', 'big.bin')).toContain('it lacks code:push on team/app');
      await must(job.pass, 'lfs', 'lfs', 'unlock', 'big.bin');
      await must(job.fetchPass, '.', 'clone', '-q', '-b', 'lfs', url('team/app'), 'lfs-again');
      await must(job.fetchPass, 'lfs-again', 'lfs', 'install', '--local');
      await must(job.fetchPass, 'lfs-again', 'lfs', 'pull');
      expect(big.equals(await readFile(join(dir, 'lfs-again', 'big.bin')))).toBe(true);
    });

    test('R2 R11 at the end of the job all of it ends, in words', async () => {
      await forge.finish(job);
      const over = 'The pass is not valid: its job is not running.';
      expect(await refused(job.pass, 'lease', 'fetch')).toContain(over);
      expect(await refused(job.pass, 'lease', 'push', 'origin', 'HEAD:refs/heads/late')).toContain(over);
      expect(await refused(job.fetchPass, 'partial', 'cat-file', '-p', 'HEAD:two')).toContain(over);
      if (hasLfs) expect(await refused(job.pass, 'lfs', 'lfs', 'locks')).toContain(over);
    });
  });
}
