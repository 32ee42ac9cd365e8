import { RE2JS } from 're2js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { coverageIn } from '../../src/jobs/coverage.ts';
import { type Claimed, startTestServer, type TestServer } from '../support/server.ts';
import { archiveForm, zipOf } from '../support/zip.ts';

async function* pieces(text: string, size: number): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
}
const found = (text: string, pattern: string, size = 7) => coverageIn(pieces(text, size), RE2JS.compile(pattern));

describe('the coverage in a log', () => {
  test('is the number of the last match, in its last group, over the borders of what is read at once', async () => {
    const log = 'Lines: 10.5%\nLines: 82.25% of 400\nnothing\n';
    for (const size of [1, 3, 1000]) expect(await found(log, String.raw`Lines: (\d+\.\d+)%`, size)).toBe(82.25);
    expect(await found(log, String.raw`Lines: \d+\.\d+%`)).toBe(82.25);
    expect(await found('a 1 b 2 a 3 b 4', String.raw`a (\d) b (\d)`)).toBe(4);
    expect(await found('none', String.raw`Lines: (\d+)`)).toBeUndefined();
    expect(await found('Lines: none', 'Lines: (none)')).toBeUndefined();
  });
  test('is read without colours and time stamps; a carriage return ends a line', async () => {
    const pattern = String.raw`^Total (\d+)%$`;
    expect(await found('2026-11-26T10:00:00.123456Z 00O \u001b[32mTotal \u001b[0;1m77%\u001b[0m\r\n', pattern)).toBe(77);
    expect(await found('1%\rTotal 5%\rdone', pattern)).toBe(5);
  });
  test('costs no memory: of a long line the beginning counts', async () => {
    expect(await found(`x 5 ${'y'.repeat(200_000)} x 6\n`, String.raw`x (\d)`, 65_536)).toBe(5);
  });
});

/** A pattern that tells each of its searches. */
function told(pattern: RE2JS, onFind: () => void): RE2JS {
  const matcher = pattern.matcher.bind(pattern);
  pattern.matcher = (text) => {
    const made = matcher(text);
    const find = made.find.bind(made);
    made.find = (...start) => {
      onFind();
      return find(...start);
    };
    return made;
  };
  return pattern;
}

describe('a pattern that finds something at each letter', () => {
  test('R13 costs no more than any other, and others get their turns meanwhile', async () => {
    let finds = 0;
    let turns = 0;
    let over = false;
    const turn = (): void => {
      turns += 1;
      if (!over) setImmediate(turn);
    };
    setImmediate(turn);
    const log = `${'a'.repeat(16_384)}\n`.repeat(250);
    const pattern = RE2JS.compile('a(?:.*b)?');
    // Each search goes to the end of its line.
    expect(
      await coverageIn(
        pieces(log, 65_536),
        told(pattern, () => (finds += 1)),
      ),
    ).toBeUndefined();
    over = true;
    expect(finds).toBeLessThan((2 * 200_000_000) / (pattern.programSize() * 8192));
    expect(turns).toBeGreaterThan(30);
  });
  test('R13 is looked for in the last lines first, so that these still count', async () => {
    const log = `${'a'.repeat(16_384)}\n`.repeat(250);
    expect(await found(`${log}Lines: 7%\n`, String.raw`a(?:.*b)?|Lines: (\d+)%`, 65_536)).toBe(7);
  });
});

describe('coverage and artifacts:access through the server', () => {
  let server: TestServer;
  let id: number;
  let runner: { token: string };
  let reader: { id: number; token: string };
  let writer: { id: number; token: string };
  beforeAll(async () => {
    server = await startTestServer();
    id = await server.project('team/app');
    [reader, writer] = [await server.user('reader'), await server.user('writer')];
    await server.member(id, reader.id, 20);
    await server.member(id, writer.id, 30);
    runner = await server.runner();
    const archive = (name: string, access: string) => `${name}: {script: x, artifacts: {paths: [x], ${access}}}\n`;
    await server.commit(
      id,
      '.gitlab-ci.yml',
      `cover: {script: x, coverage: '/Lines: (\\d+)%/'}\nmore: {script: x, coverage: '/Lines: (\\d+)%/'}\nplain: {script: x}\n${archive('open', 'access: all')}${archive('guarded', 'public: false')}${archive('shut', 'access: none')}`,
    );
  });
  afterAll(() => server.stop());

  async function claim(): Promise<Claimed & { readonly name: string }> {
    const job = await server.claim(runner.token);
    if (job === undefined) throw new Error('no job');
    return { ...job, name: (job.payload['job_info'] as { name: string }).name };
  }

  test('R1 who may fetch an archive is what the file says; a job has its coverage, its pipeline the mean', async () => {
    const jobs = new Map<string, Claimed>();
    for (let count = 0; count < 6; count += 1) {
      const job = await claim();
      jobs.set(job.name, job);
      const percent = { cover: 80, more: 91, plain: 5 }[job.name];
      if (percent !== undefined)
        await server.call('PATCH', `/api/v4/jobs/${job.id}/trace`, {
          headers: { 'job-token': job.token, 'content-range': '0-10' },
          raw: `Lines: ${percent}%\n`.padEnd(11).slice(0, 11),
        });
      else {
        const form = archiveForm(zipOf({ 'out/report.txt': `of ${job.name}` }));
        const headers = { 'job-token': job.token, 'content-type': 'multipart/form-data; boundary=b' };
        expect((await server.call('POST', `/api/v4/jobs/${job.id}/artifacts`, { headers, raw: form })).status).toBe(201);
      }
      expect((await server.finish(job)).status).toBe(200);
    }
    const idOf = (name: string): string => String(jobs.get(name)?.id);
    const coverage = async (name: string) => (await server.must('GET', `/api/v4/projects/${id}/jobs/${idOf(name)}`))['coverage'];
    expect(await Promise.all(['cover', 'more', 'plain'].map(coverage))).toEqual([80, 91, null]);
    const latest = await server.must('GET', `/api/v4/projects/${id}/pipelines/latest`);
    expect(latest['coverage']).toBe('85.50');

    const fetched = async (name: string, token: string) =>
      (await server.call('GET', `/api/v4/projects/${id}/jobs/${idOf(name)}/artifacts`, { token })).status;
    const names = ['open', 'guarded', 'shut'];
    expect(await Promise.all(names.map((name) => fetched(name, reader.token)))).toEqual([200, 403, 403]);
    expect(await Promise.all(names.map((name) => fetched(name, writer.token)))).toEqual([200, 200, 403]);
    expect(await Promise.all(names.map((name) => fetched(name, server.root)))).toEqual([200, 200, 403]);

    // A file of it is as guarded as the whole, by number and by the ref's newest.
    const file = async (path: string, token: string) => (await server.call('GET', `/api/v4/projects/${id}/jobs/${path}`, { token })).status;
    for (const at of [
      (name: string) => `${idOf(name)}/artifacts/out/report.txt`,
      (name: string) => `artifacts/main/raw/out/report.txt?job=${name}`,
    ]) {
      expect(await Promise.all(names.map((name) => file(at(name), reader.token)))).toEqual([200, 403, 403]);
      expect(await Promise.all(names.map((name) => file(at(name), writer.token)))).toEqual([200, 200, 403]);
      expect(await Promise.all(names.map((name) => file(at(name), server.root)))).toEqual([200, 200, 403]);
    }
  });
});
