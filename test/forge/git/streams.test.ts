import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { JobpassError } from '../../../src/base/errors.ts';
import type { Oid } from '../../../src/base/ids.ts';
import { allowAll, type EmbeddedGit, grantFor, project, startEmbeddedGit } from '../../support/embedded-git.ts';
import { type GitHttp, ok, serveGit } from '../../support/git-http.ts';

let forge: EmbeddedGit;
let http: GitHttp;
let work: string;
const zero = '0'.repeat(40);

beforeEach(async () => {
  forge = await startEmbeddedGit();
  http = await serveGit(forge.git);
  work = join(forge.folder, 'work');
  await ok(forge.folder, 'init', '-q', '-b', 'main', work);
});
afterEach(async () => {
  await http.close();
  await forge.close();
});

async function commit(bytes: Buffer): Promise<Oid> {
  await writeFile(join(work, 'file'), bytes);
  await ok(work, 'add', '-A');
  await ok(work, 'commit', '-q', '-m', 'one');
  return (await ok(work, 'rev-parse', 'HEAD')) as Oid;
}
const packet = (text: string): string => (Buffer.byteLength(text) + 4).toString(16).padStart(4, '0') + text;

/** What a client sends to create `refs/heads/main`: the command, and the pack. */
async function pushBody(tip: Oid): Promise<Buffer> {
  const packed = forge.runner.start(join(work, '.git'), ['pack-objects', '--revs', '--stdout', '-q']);
  packed.input.end(`${tip}\n`);
  return Buffer.concat([Buffer.from(`${packet(`${zero} ${tip} refs/heads/main\0report-status`)}0000`), await buffer(packed.output)]);
}
const wantBody = (tip: Oid): Readable => Readable.from([Buffer.from(`${packet(`want ${tip}\n`)}0000${packet('done\n')}`)]);
const tips = (): Promise<string> => ok(forge.path, 'for-each-ref');
const quarantines = async (): Promise<string[]> =>
  (await readdir(join(forge.path, 'objects'))).filter((name) => name.startsWith('tmp_objdir'));

test('A61 a push whose body is held open until its pass has died is refused with the last byte', async () => {
  const body = await pushBody(await commit(Buffer.from('x')));
  const death = new AbortController();
  const stream = new PassThrough();
  stream.write(body.subarray(0, -1));
  const { output, done } = await forge.git.receivePack(grantFor({ signal: death.signal }), project, undefined, stream, allowAll);
  const failed = once(output, 'error');
  death.abort();
  stream.end(body.subarray(-1));
  await failed;
  expect((await done).outcome).not.toBe('done');
  expect(await tips()).toBe('');
  expect(forge.log).toEqual([]);
});

test('A61 the same where only the grant knows: it is asked before the log and at the lock', async () => {
  const body = await pushBody(await commit(Buffer.from('x')));
  let alive = true;
  const confirm = async (): Promise<void> => {
    if (!alive) throw new JobpassError('pass_dead');
  };
  const stream = new PassThrough();
  stream.write(body.subarray(0, -1));
  const { output, done } = await forge.git.receivePack(grantFor({ confirm }), project, undefined, stream, allowAll);
  alive = false;
  stream.end(body.subarray(-1));
  output.resume();
  expect((await done).outcome).toBe('refused');
  expect(await tips()).toBe('');
});

test('a push that is cut off leaves refs and objects as they were, and no row', async () => {
  const body = await pushBody(await commit(randomBytes(500_000)));
  const stream = new PassThrough();
  const { output, done } = await forge.git.receivePack(grantFor(), project, undefined, stream, allowAll);
  output.resume();
  stream.write(body.subarray(0, 300_000), () => stream.destroy(new Error('the client has gone')));
  expect(await done).toEqual({ outcome: 'failed', moved: [] });
  expect(await tips()).toBe('');
  expect(await quarantines()).toEqual([]);
  expect(forge.log).toEqual([]);
});

test('a push that is cut off while it is unpacked leaves nothing in quarantine', async () => {
  const body = await pushBody(await commit(randomBytes(500_000)));
  const stream = new PassThrough();
  const { output, done } = await forge.git.receivePack(grantFor(), project, undefined, stream, allowAll);
  output.resume();
  stream.write(body.subarray(0, 300_000));
  await expect.poll(quarantines, { timeout: 30_000 }).toHaveLength(1);
  stream.destroy();
  expect(await done).toEqual({ outcome: 'failed', moved: [] });
  expect(await quarantines()).toEqual([]);
});

test('R3 a push that is cut off while it is written down leaves no row that waits, nor anything in quarantine', async () => {
  const body = await pushBody(await commit(Buffer.from('x')));
  const [asked, confirmed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const confirm = (): Promise<void> => {
    asked.resolve();
    return confirmed.promise;
  };
  const { start } = forge.runner;
  let gone: Promise<unknown> | undefined;
  forge.runner.start = (...order) => {
    const git = start(...order);
    gone ??= git.done;
    return git;
  };
  const { output, done } = await forge.git.receivePack(grantFor({ confirm }), project, undefined, Readable.from([body]), allowAll);
  await asked.promise;
  expect(await quarantines()).toHaveLength(1);
  output.destroy();
  await gone;
  expect(await quarantines()).toEqual([]);
  confirmed.resolve();
  expect((await done).outcome).toBe('failed');
  await expect.poll(() => forge.log.map(({ state }) => state)).toEqual(['dropped']);
  expect(await tips()).toBe('');
});

test('junk after the pack does not keep a push from ending', async () => {
  const tip = await commit(Buffer.from('x'));
  const stream = Readable.from([await pushBody(tip), randomBytes(2_000_000)]);
  const { output, done } = await forge.git.receivePack(grantFor(), project, undefined, stream, allowAll);
  output.resume();
  expect((await done).outcome).toBe('done');
  expect(await tips()).toContain(tip);
});

test('R2 a clone in flight is cut when its pass dies', async () => {
  const tip = await commit(randomBytes(8_000_000));
  await ok(work, 'push', '-q', http.url, 'main');
  const death = new AbortController();
  const output = await forge.git.uploadPack(grantFor({ signal: death.signal }), project, undefined, wantBody(tip));
  await once(output, 'readable');
  const failed = once(output, 'error');
  death.abort();
  await failed;
  expect(output.readableEnded).toBe(false);
});

test('R2 a grant that is dead already starts nothing', async () => {
  const tip = await commit(Buffer.from('x'));
  const output = await forge.git.uploadPack(grantFor({ signal: AbortSignal.abort() }), project, undefined, wantBody(tip));
  await once(output, 'error');
});

test('a reader that stops ends git', async () => {
  const tip = await commit(randomBytes(8_000_000));
  await ok(work, 'push', '-q', http.url, 'main');
  const started = forge.runner.start(forge.path, ['upload-pack', '--stateless-rpc', forge.path]);
  wantBody(tip).pipe(started.input);
  await once(started.output, 'readable');
  started.output.destroy();
  expect((await started.done).clean).toBe(false);
});

test('refs that nobody begins to read end their git, however many they are', async () => {
  const tip = await commit(Buffer.from('x'));
  await ok(work, 'push', '-q', http.url, 'main');
  const names = Array.from({ length: 20_000 }, (_, index) => `${tip} refs/tags/${String(index).padStart(40, '0')}`);
  await writeFile(join(forge.path, 'packed-refs'), `# pack-refs with: peeled fully-peeled sorted \n${names.join('\n')}\n`);
  const { start } = forge.runner;
  const ends: Promise<unknown>[] = [];
  forge.runner.start = (...order) => {
    const git = start(...order);
    ends.push(git.done);
    return git;
  };
  const body = await forge.git.advertise(grantFor(), project, 'git-upload-pack', undefined);
  body.destroy();
  await Promise.all(ends);
  expect(ends).toHaveLength(1);
});

test('the helper is started again when it dies; what ran through it fails', async () => {
  const held = forge.runner.start(forge.path, ['cat-file', '--batch']);
  // The alias answers only when it runs, and its parent is the helper.
  const { output } = await forge.runner.run(forge.path, ['-c', 'alias.parent=!ps -o ppid= -p $PPID', 'parent']);
  const helper = Number(output.toString('utf8').trim());
  expect(helper).toBeGreaterThan(1);
  expect(helper).not.toBe(process.pid);
  process.kill(helper, 'SIGKILL');
  expect((await held.done).clean).toBe(false);
  const { output: version } = await forge.runner.run(forge.path, ['version']);
  expect(version.toString('utf8')).toContain('git version');
});

test('an answer beyond the limit is too_large, a failing git upstream_failed, and the server lives on', async () => {
  const tip = await commit(randomBytes(1_000_000));
  await ok(work, 'push', '-q', http.url, 'main');
  await expect(forge.runner.run(forge.path, ['cat-file', 'blob', `${tip}:file`], { maxBytes: 1000 })).rejects.toMatchObject({
    code: 'too_large',
  });
  await expect(forge.runner.run(forge.path, ['no-such-command'])).rejects.toMatchObject({ code: 'upstream_failed' });
});

test("git sees nothing of the server's environment", async () => {
  process.env['JOBPASS_TEST_SECRET'] = 'hunter2';
  const { output } = await forge.runner.run(forge.path, ['-c', 'alias.environment=!env', 'environment']);
  delete process.env['JOBPASS_TEST_SECRET'];
  expect(output.toString('utf8')).not.toContain('hunter2');
});

test('a grant for something else does not pass', async () => {
  await expect(forge.git.uploadPack(grantFor({ permissions: ['code:push'] }), project, undefined, Readable.from([]))).rejects.toMatchObject(
    {
      code: 'internal',
    },
  );
});
