import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ZipFile } from 'yazl';
import { Readable } from 'node:stream';
import { selectFiles } from '../../src/runner/artifacts/select.ts';
import { throughAnother, unzip } from '../../src/runner/artifacts/unzip.ts';
import { writePlain, writeZip } from '../../src/runner/artifacts/zip.ts';
import { archiveOf, jobPayload, makeScene, passesFor, type Scene } from './support/jobs.ts';

const patient = new AbortController().signal;
let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'jobpass-zip-'));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

async function zipOf(entries: readonly (readonly [string, string, number?])[]): Promise<string> {
  const zip = new ZipFile();
  for (const [name, text, mode] of entries) zip.addBuffer(Buffer.from(text), name, mode === undefined ? {} : { mode });
  zip.end();
  const path = join(dir, 'in.zip');
  await pipeline(Readable.from(zip.outputStream), createWriteStream(path));
  return path;
}

describe('reports', () => {
  const order = async () => {
    await mkdir(join(dir, 'build'));
    await writeFile(join(dir, 'build', 'a.xml'), 'first');
    await writeFile(join(dir, 'build', 'b.xml'), 'second');
    await writeFile(join(dir, 'outside'), 'no');
    await symlink(join(dir, 'outside'), join(dir, 'build', 'c.xml'));
    const said: string[] = [];
    const chosen = ['a.xml', 'b.xml', 'c.xml'].map((path) => ({ path, kind: 'file' as const }));
    return {
      said,
      root: join(dir, 'build'),
      uid: undefined,
      chosen,
      watched: [],
      signal: new AbortController().signal,
      say: (text: string) => void said.push(text),
    };
  };

  test('A39 gzip: each file a member, what is no file of the job is left out', async () => {
    const given = await order();
    await writePlain(join(dir, 'report'), given, 'gzip');
    expect(gunzipSync(await readFile(join(dir, 'report'))).toString()).toBe('firstsecond');
    expect(given.said).toEqual([expect.stringContaining('c.xml')]);
  });

  test('raw: one file, as it is', async () => {
    const given = await order();
    await writePlain(join(dir, 'report'), given, 'raw');
    expect(await readFile(join(dir, 'report'), 'utf8')).toBe('first');
    expect(given.said).toEqual([expect.stringContaining('only a.xml')]);
  });
});

describe('unzip', () => {
  test('keeps links as they are, wherever they lead: those of a virtual environment lead to the machine', async () => {
    const path = await zipOf([
      ['venv/bin/python', '/usr/bin/python3', 0o120777],
      ['venv/up', '../../above', 0o120777],
    ]);
    await mkdir(join(dir, 'out'));
    await unzip(path, join(dir, 'out'), patient);
    expect([await readlink(join(dir, 'out/venv/bin/python')), await readlink(join(dir, 'out/venv/up'))]).toEqual([
      '/usr/bin/python3',
      '../../above',
    ]);
  });

  test('keeps the times of files', async () => {
    const zip = new ZipFile();
    zip.addBuffer(Buffer.from('text'), 'file', { mtime: new Date('2020-02-03T04:05:06Z') });
    zip.end();
    await pipeline(Readable.from(zip.outputStream), createWriteStream(join(dir, 'in.zip')));
    await mkdir(join(dir, 'out'));
    await unzip(join(dir, 'in.zip'), join(dir, 'out'), patient);
    expect((await stat(join(dir, 'out/file'))).mtime).toEqual(new Date('2020-02-03T04:05:06Z'));
  });

  test('R2 ends with its job', async () => {
    const path = await zipOf([['file', 'text']]);
    await mkdir(join(dir, 'out'));
    await expect(unzip(path, join(dir, 'out'), AbortSignal.abort(new Error('canceled')))).rejects.toThrow('canceled');
    expect(await readdir(join(dir, 'out'))).toEqual([]);
  });

  test('keeps folders and modes', async () => {
    const path = await zipOf([
      ['a/b.sh', 'text', 0o100755],
      ['a/link', 'b.sh', 0o120777],
    ]);
    await mkdir(join(dir, 'out'));
    await unzip(path, join(dir, 'out'), patient);
    expect(await readFile(join(dir, 'out/a/link'), 'utf8')).toBe('text');
    expect(await readlink(join(dir, 'out/a/link'))).toBe('b.sh');
  });

  test.each([
    [
      'a file below a link',
      [
        ['x', 'y', 0o120777],
        ['x/z', 'y', 0o120777],
      ],
    ],
    [
      'the same file twice',
      [
        ['x', '1'],
        ['x', '2'],
      ],
    ],
  ] as [string, [string, string, number?][]][])('A39 refuses %s', async (_what, entries) => {
    const path = await zipOf(entries);
    await mkdir(join(dir, 'out'));
    await expect(unzip(path, join(dir, 'out'), patient)).rejects.toThrow();
    expect((await readdir(dir)).toSorted()).toEqual(['in.zip', 'out']);
  });

  test('A39 refuses a name that climbs out', async () => {
    const path = await zipOf([['aa/evil', 'text']]);
    const bytes = await readFile(path);
    await writeFile(path, Buffer.from(bytes.toString('latin1').replaceAll('aa/evil', '../evil'), 'latin1'));
    await mkdir(join(dir, 'out'));
    await expect(unzip(path, join(dir, 'out'), patient)).rejects.toThrow();
  });

  test('R2 entries that are not packed, links too, keep nobody waiting', async () => {
    const zip = new ZipFile();
    zip.addBuffer(Buffer.from('text'), 'file', { compress: false });
    zip.addBuffer(Buffer.from('file'), 'link', { compress: false, mode: 0o120777 });
    zip.end();
    await pipeline(Readable.from(zip.outputStream), createWriteStream(join(dir, 'in.zip')));
    await mkdir(join(dir, 'out'));
    await unzip(join(dir, 'in.zip'), join(dir, 'out'), patient);
    expect(await readFile(join(dir, 'out/link'), 'utf8')).toBe('text');
  });

  test('R2 an entry that is broken fails its job, and ends no runner', async () => {
    const path = await zipOf([['a/b/c/d', randomBytes(50_000).toString('hex')]]);
    const bytes = await readFile(path);
    // Behind the local header and the name: a block of a type that there is not.
    bytes.fill(0xff, 37, 77);
    await writeFile(path, bytes);
    const program = `
      import { unzip } from ${JSON.stringify(new URL('../../src/runner/artifacts/unzip.ts', import.meta.url).href)};
      await unzip(${JSON.stringify(path)}, ${JSON.stringify(join(dir, 'out'))}, new AbortController().signal).catch(() => console.log('refused'));`;
    const answer = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
    expect([answer.status, answer.stdout], answer.stderr).toEqual([0, 'refused\n']);
  });

  test('A39 links are as many as files may be, and each is looked at once', () => {
    const links = new Map(Array.from({ length: 200_000 }, (_, index) => [`d/${index}`, 'x']));
    expect(throughAnother(links)).toBeUndefined();
    expect(throughAnother(new Map([...links, ['d/7/x/y', 'x']]))).toBe('d/7/x/y');
  });
});

test('patterns choose files, folders and globs, less what is excluded; .git is left alone', async () => {
  for (const folder of ['build/deep', '.git', 'src']) await mkdir(join(dir, folder), { recursive: true });
  for (const file of ['build/a.txt', 'build/deep/b.log', '.git/config', 'src/c.ts', 'top.txt']) await writeFile(join(dir, file), 'x');
  const paths = async (include: string[], exclude: string[] = []): Promise<string[]> =>
    (await selectFiles(dir, { paths: include, exclude })).filter(({ kind }) => kind === 'file').map(({ path }) => path);
  expect(await paths(['build/'])).toEqual(['build/a.txt', 'build/deep/b.log']);
  expect(await paths(['**/*.txt'])).toEqual(['build/a.txt', 'top.txt']);
  expect(await paths(['build', 'src/*.ts'], ['**/*.log'])).toEqual(['build/a.txt', 'src/c.ts']);
  expect(await paths(['.'])).toEqual(['build/a.txt', 'build/deep/b.log', 'src/c.ts', 'top.txt']);
  expect(await paths(['../x', '/etc/passwd'])).toEqual([]);
});

test('A39 what a pattern costs is bounded, whatever a job writes', async () => {
  for (const file of ['a'.repeat(250), 'one', '.two', 'x/y/z']) {
    await mkdir(join(dir, file, '..'), { recursive: true });
    await writeFile(join(dir, file), 'x');
  }
  const select = async (paths: readonly string[], exclude: readonly string[] = []): Promise<readonly string[]> =>
    (await selectFiles(dir, { paths, exclude })).flatMap(({ kind, path }) => (kind === 'file' && path.length < 10 ? [path] : []));
  expect(await select([`${'*a'.repeat(40)}b`, '{1..1000000000}', '{a,b}'.repeat(40), '+(+(a))b'])).toEqual([]);
  expect(await select(['{one,x/**}', '.t*'])).toEqual(['.two', 'one', 'x/y/z']);
  expect(await select(['**'], ['x/**'])).toEqual(['.two', 'one']);
  const costly = `*${'a'.repeat(125)}b`;
  await expect(select(Array.from({ length: 8000 }, () => costly))).rejects.toMatchObject({ code: 'too_large' });
  await expect(select(['a'.repeat(5000)])).rejects.toMatchObject({ code: 'too_large' });
});

test('A39 a deep tree holds no more of the open files that the runner may have than a flat one', async () => {
  const deep = join(dir, ...Array.from({ length: 300 }, () => 'd'));
  await mkdir(deep, { recursive: true });
  await writeFile(join(deep, 'file'), '');
  const program = `
    import { selectFiles } from ${JSON.stringify(new URL('../../src/runner/artifacts/select.ts', import.meta.url).href)};
    console.log((await selectFiles(${JSON.stringify(dir)}, { paths: ['d'], exclude: [] })).length);`;
  // Node.js itself takes as many as the limit allows at its start.
  const answer = spawnSync('/bin/sh', ['-c', 'ulimit -n 100; exec "$@"', 'sh', process.execPath, '--input-type=module', '-e', program], {
    encoding: 'utf8',
  });
  expect([answer.status, answer.stdout], answer.stderr).toEqual([0, '301\n']);
});

test('a name that no archive may hold is left out, and said', async () => {
  await mkdir(join(dir, 'build'));
  for (const name of ['a\\b', 'line\nend', 'plain']) await writeFile(join(dir, 'build', name), 'x');
  const said: string[] = [];
  const chosen = await selectFiles(join(dir, 'build'), { paths: ['*'], exclude: [] });
  const say = (text: string): void => void said.push(text);
  await writeZip(join(dir, 'out.zip'), { root: join(dir, 'build'), uid: undefined, chosen, watched: [], signal: patient, say });
  expect(said).toEqual([expect.stringContaining('a\\b has a name'), expect.stringContaining('line?end has a name')]);
  await mkdir(join(dir, 'out'));
  await unzip(join(dir, 'out.zip'), join(dir, 'out'), patient);
  expect(await readdir(join(dir, 'out'))).toEqual(['plain']);
});

test('A39 a file that is reached through a link of the job is not read', async () => {
  await mkdir(join(dir, 'outside'));
  await writeFile(join(dir, 'outside', 'secret'), 'secret');
  await mkdir(join(dir, 'build'));
  await symlink(join(dir, 'outside'), join(dir, 'build', 'way'));
  const said: string[] = [];
  const root = join(dir, 'build');
  const order = {
    root,
    uid: process.getuid?.(),
    watched: [],
    signal: new AbortController().signal,
    say: (text: string) => void said.push(text),
  };
  await writeZip(join(dir, 'out.zip'), { ...order, chosen: [{ path: 'way/secret', kind: 'file' }] });
  expect(said[0]).toContain('left out');
});

test('a file that cannot be read fails the upload, and not the runner', async () => {
  // Of all files the one that always opens, and never reads: memory at zero.
  const order = { root: `/proc/${process.pid}`, uid: process.getuid?.(), watched: [], signal: new AbortController().signal, say() {} };
  const chosen = [{ path: 'mem', kind: 'file' as const }];
  await expect(writeZip(join(dir, 'out.zip'), { ...order, chosen })).rejects.toMatchObject({ code: 'EIO' });
  await expect(writePlain(join(dir, 'out.gz'), { ...order, chosen }, 'gzip')).rejects.toMatchObject({ code: 'EIO' });
});

describe('a job with artifacts', () => {
  let scene: Scene;
  beforeEach(async () => {
    scene = await makeScene();
  });
  afterEach(() => scene.close());

  test('uploads what it names, and the next one gets it', async () => {
    const artifact = archiveOf(['out/'], { name: 'things', when: 'on_success', expire_in: '1 day' });
    const first = await scene.run(
      jobPayload(['mkdir out', 'echo made here > out/made.txt', 'ln -s made.txt out/link'], { artifacts: [artifact] }),
    );
    expect(first.final, first.text).toMatchObject({ state: 'success' });
    expect(first.artifactsQuery).toBe('?artifact_format=zip&artifact_type=archive&expire_in=1+day');
    const body = (first.artifacts ?? Buffer.alloc(0)).toString('latin1');
    expect(body).toContain('name="file"; filename="things.zip"');
    const start = body.indexOf('\r\n\r\n') + 4;
    scene.forge.downloads.set(1, Buffer.from(body.slice(start, body.lastIndexOf('\r\n--jobpass-')), 'latin1'));
    const dependencies = [{ id: 1, token: 'glcbt-x', name: 'first', artifacts_file: { filename: 'things.zip', size: 1 } }];
    const second = await scene.run(
      jobPayload(['cat out/link', 'test -O out/made.txt'], {
        dependencies,
        variables: [{ key: 'GIT_STRATEGY', value: 'empty', public: true, masked: false }],
      }),
    );
    expect(second.text).toContain('made here');
    expect(second.final, second.text).toMatchObject({ state: 'success' });
  });

  test('what is excluded stays out, also by its whole path or from here on', async () => {
    const artifact = archiveOf(['out'], {
      name: 'things',
      exclude: ['$CI_PROJECT_DIR/out/whole.key', './out/from-here.key', 'out/deep//**'],
      when: 'on_success',
    });
    const script = ['mkdir -p out/deep', 'touch out/kept out/whole.key out/from-here.key out/deep/file'];
    const report = await scene.run(jobPayload(script, { artifacts: [artifact] }));
    expect(report.final, report.text).toMatchObject({ state: 'success' });
    const zip = report.artifacts?.toString('latin1') ?? '';
    expect(['out/kept', 'whole.key', 'from-here.key', 'deep/file'].map((name) => zip.includes(name))).toEqual([true, false, false, false]);
  });

  test.each([
    ['in a file', 'printf %s "$CI_EXTENDED_JOB_TOKEN" > out', undefined],
    ['that a file is named', 'mkdir out; touch "out/$CI_EXTENDED_JOB_TOKEN"', undefined],
    ['that a folder is named in base64', 'mkdir -p "out/$(printf %s "$CI_EXTENDED_JOB_TOKEN" | base64 -w0)"', undefined],
    ['that a link leads to', 'mkdir out; ln -s "/x/$CI_EXTENDED_JOB_TOKEN" out/link', undefined],
    ['that the archive is named', 'touch out', 'of-$CI_EXTENDED_JOB_TOKEN'],
  ])('A27 R12 a pass %s in an artifact is found and revoked', async (_what, line, name) => {
    await scene.start({ unsafe: true });
    const { full, extended_job_token } = passesFor(scene.forge, 'variable');
    const artifact = { ...archiveOf(['out']), ...(name === undefined ? {} : { name }) };
    const report = await scene.run(jobPayload([line], { artifacts: [artifact], extended_job_token }));
    expect(report.artifacts, report.text).toBeDefined();
    expect(scene.forge.revoked).toContain(full);
  });
});
