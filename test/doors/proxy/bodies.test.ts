import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { newPassToken } from '../../../src/base/pass-token.ts';
import { fileForm, fileFormOf } from '../../../src/doors/proxy/file-form.ts';
import { carriesPass } from '../../../src/doors/proxy/front.ts';
import { checkBody } from '../../../src/doors/proxy/json-body.ts';
import { lfsAnswer } from '../../../src/doors/proxy/lfs-answer.ts';
import { madeBy, runsOn } from '../../../src/doors/proxy/made-by.ts';

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const code = (wanted: string) => expect.objectContaining({ code: wanted });

describe('bodies that go on to the forge', () => {
  test('A62 text with a line that is a quick action is refused, wherever it stands', () => {
    for (const text of ['/assign @root', 'hello\n/close', 'hello\r\n  /label ~x', '/MERGE', 'a\n\t/unlock']) {
      expect(() => checkBody(json({ description: text }), 'application/json')).toThrow(code('access_denied'));
      expect(() => checkBody(json({ assets: { links: [{ title: text }] } }), 'application/json; charset=utf-8')).toThrow(
        code('access_denied'),
      );
      const form = Buffer.from(new URLSearchParams({ note: text }).toString());
      expect(() => checkBody(form, 'application/x-www-form-urlencoded')).toThrow(code('access_denied'));
    }
    for (const text of ['see a/b', '`/close`', 'and/or', '/ alone', '1/2', 'https://example.com/close'])
      expect(() => checkBody(json({ description: text }), 'application/json')).not.toThrow();
  });

  test('R13 A22 a form of a package arrives byte for byte, in whatever pieces it comes', async () => {
    const form = fileFormOf('POST /packages/pypi');
    if (form === undefined) throw new Error('no form');
    const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
    const fields = fc.array(fc.tuple(fc.constantFrom(...form.fields), bytes), { maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(fields, bytes, fc.integer({ min: 1, max: 80 }), async (given, file, pieceBytes) => {
        const head = (name: string, more = ''): Buffer =>
          Buffer.from(`--boundary-of-a-form\r\nContent-Disposition: form-data; name="${name}"${more}\r\n\r\n`);
        const parts = given.flatMap(([name, value]) => [head(name), value, Buffer.from('\r\n')]);
        const closing = Buffer.from('\r\n--boundary-of-a-form--\r\n');
        const whole = Buffer.concat([...parts, head('content', '; filename="a.whl"'), file, closing]);
        const pieces = async function* (): AsyncGenerator<Buffer> {
          for (let at = 0; at < whole.length; at += pieceBytes) yield whole.subarray(at, at + pieceBytes);
        };
        const arrived: Buffer[] = [];
        for await (const piece of fileForm(pieces(), 'multipart/form-data; boundary=boundary-of-a-form', form)) arrived.push(piece);
        expect(Buffer.concat(arrived).equals(whole)).toBe(true);
      }),
    );
  });

  test('R17 a pass in a body is refused and goes nowhere', () => {
    const pass = newPassToken('full').reveal();
    expect(() => checkBody(json({ a: [{ b: pass }] }), 'application/json')).toThrow(code('credential_misplaced'));
    expect(() => checkBody(Buffer.from(`private_token=${pass}`), 'application/x-www-form-urlencoded')).toThrow(
      code('credential_misplaced'),
    );
  });

  test('R13 what cannot be read is refused', () => {
    expect(() => checkBody(Buffer.from('{'), 'application/json')).toThrow(code('invalid_input'));
    expect(() => checkBody(Buffer.from([0x22, 0xff, 0x22]), 'application/json')).toThrow(code('invalid_input'));
    expect(() => checkBody(Buffer.from('x'), 'multipart/form-data; boundary=x')).toThrow(code('unsupported'));
    expect(() => checkBody(Buffer.from('x'), undefined)).toThrow(code('unsupported'));
    expect(checkBody(Buffer.alloc(0), undefined)).toBeUndefined();
  });
});

describe('answers of the forge', () => {
  test("R5 a batch answer loses the forge's own LFS credential, and points to our address", async () => {
    const answer = {
      transfer: 'basic',
      objects: [
        {
          oid: 'a',
          size: 1,
          authenticated: true,
          actions: { download: { href: 'http://up/x.git/gitlab-lfs/objects/a', header: { Authorization: 'Basic c2VjcmV0', 'x-a': '1' } } },
        },
        { oid: 'b', size: 2, error: { code: 404, message: 'gone' } },
        { oid: 'c', size: 3, actions: { download: { href: 'https://s3.example/b/c?X-Amz-Signature=c2VjcmV0' } } },
        { oid: 'd', size: 4, actions: { upload: { href: 'http://up/x.git/gitlab-lfs/objects/d/4', header: { 'Content-Type': 'x' } } } },
      ],
    };
    const change = lfsAnswer((url) => url.replace('http://up', 'https://out'), 'https://out/x.git/gitlab-lfs/objects');
    if (change.kind !== 'body') throw new Error('a body');
    const text = (await change.rewrite(json(answer))).body.toString();
    expect(text).not.toContain('c2VjcmV0');
    expect(JSON.parse(text)).toEqual({
      transfer: 'basic',
      objects: [
        { oid: 'a', size: 1, actions: { download: { href: 'https://out/x.git/gitlab-lfs/objects/a', header: { 'x-a': '1' } } } },
        { oid: 'b', size: 2, error: { code: 404, message: 'gone' } },
        { oid: 'c', size: 3, actions: { download: { href: 'https://out/x.git/gitlab-lfs/objects/c', header: {} } } },
        { oid: 'd', size: 4, actions: { upload: { href: 'https://out/x.git/gitlab-lfs/objects/d/4', header: { 'Content-Type': 'x' } } } },
      ],
    });
    await expect(change.rewrite(Buffer.from('<html>'))).rejects.toEqual(code('upstream_failed'));
  });

  test('R5 what was made is found by what it is', () => {
    const sha = 'ab'.repeat(20);
    const P = '/api/v4/projects/:id';
    const made = (row: string, value: unknown) => madeBy(row.replace('P/', `${P}/`), json(value));
    expect(made('POST P/repository/commits', { id: sha, parent_ids: ['cd'.repeat(20)] })).toEqual([sha]);
    expect(made('POST P/repository/branches', { name: 'x', commit: { id: sha } })).toEqual([`refs/heads/x@${sha}`]);
    expect(made('POST P/repository/tags', { name: 'v1', target: sha, commit: { id: sha } })).toEqual(['refs/tags/v1']);
    expect(made('POST P/releases', { tag_name: 'v1', commit: { id: sha } })).toEqual(['refs/tags/v1']);
    expect(made('POST P/pipeline', { id: 7, sha, source: 'api', ref: 'main' })).toEqual(['pipeline:7']);
    expect(made('POST P/jobs/:job_id/retry', { id: 9, stage: 'test', pipeline: { id: 7, sha, source: 'web' } })).toEqual([
      'job:9',
      'pipeline:7',
    ]);
    expect(made('POST P/merge_requests', { iid: 3, sha })).toEqual([`refs/merge-requests/3@${sha}`]);
    expect(
      made('PUT P/merge_requests/:iid/merge', {
        iid: 3,
        source_branch: 'topic',
        target_branch: 'main',
        sha,
        merge_commit_sha: 'cd'.repeat(20),
      }),
    ).toEqual(['cd'.repeat(20), `refs/heads/main@${sha}`, 'ends:refs/merge-requests/3', 'ends:refs/heads/topic']);
    expect(made('POST P/statuses/:sha', { id: 1, sha })).toEqual([]);
    expect(madeBy('POST x', Buffer.from('no'))).toEqual([]);
  });

  test('R5 a job runs on its commit, its branch there, its pipeline and itself', () => {
    const job = { id: 9, pipelineId: 7, sha: 'ab'.repeat(20), ref: 'main', tag: false };
    expect(runsOn(job)).toEqual([job.sha, 'pipeline:7', 'job:9', `refs/heads/main@${job.sha}`, 'ends:refs/heads/main']);
    expect(runsOn({ ...job, ref: 'v1', tag: true })).toContain('refs/tags/v1');
    expect(runsOn({ ...job, ref: 'refs/merge-requests/3/head' })).toContain(`refs/merge-requests/3@${job.sha}`);
  });
});

test('R17 a pass is seen in any header, also inside of Basic', () => {
  const pass = newPassToken('full').reveal();
  const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
  for (const [name, value] of [
    ['PRIVATE-TOKEN', pass],
    ['authorization', `Bearer ${pass}`],
    ['Authorization', basic(`gitlab-ci-token:${pass}`)],
    ['authorization', basic(`${pass}:`)],
    ['cookie', `a=${pass}`],
    ['x-anything', pass],
  ] as const)
    expect(carriesPass(['host', 'x', name, value]), name).toBe(true);
  fc.assert(
    fc.property(fc.array(fc.string().filter((text) => !text.includes('jpt_'))), (texts) => {
      expect(carriesPass(texts.flatMap((text) => ['x-some', text]))).toBe(false);
    }),
  );
  expect(carriesPass(['authorization', basic('oauth2:glpat-abc')])).toBe(false);
});
