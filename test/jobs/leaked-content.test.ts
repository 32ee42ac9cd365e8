import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ZipFile } from 'yazl';
import { passFor } from '../support/pass.ts';
import { basic, codeOf, digestOf, imageType, layerType, manifestOf, RegistryClient } from '../support/registry.ts';
import { type Claimed, oneJob, type Reply, startTestServer, type TestServer } from '../support/server.ts';

describe('R12 A27 a pass in what a job leaves behind', () => {
  let server: TestServer;
  let alice: { id: number; token: string };
  let app: number;
  let runner: { token: string };
  let job: Claimed;
  let pass: string;

  beforeAll(async () => {
    server = await startTestServer();
    alice = await server.user('alice');
    app = await server.project('team/app');
    await server.member(app, alice.id, 40);
    await server.commit(app, '.gitlab-ci.yml', oneJob, { token: alice.token });
    runner = await server.runner();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    await server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
    const claimed = await server.claim(runner.token);
    if (claimed === undefined) throw new Error('no job');
    job = claimed;
    pass = await passFor(server, job, [alice.id]);
    expect(await alive()).toBe(200);
  });

  const alive = async (): Promise<number> => (await server.call('GET', '/api/v4/user', { token: pass })).status;

  function upload(bytes: Buffer, query = 'artifact_type=archive&artifact_format=zip', name = 'a.zip'): Promise<Reply> {
    const head = `--x\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\nContent-Type: application/octet-stream\r\n\r\n`;
    return server.call('POST', `/api/v4/jobs/${job.id}/artifacts?${query}`, {
      headers: { 'job-token': job.token, 'content-type': 'multipart/form-data; boundary=x' },
      raw: Buffer.concat([Buffer.from(head), bytes, Buffer.from('\r\n--x--\r\n')]),
    });
  }
  function zip(content: string): Promise<Buffer> {
    const file = new ZipFile();
    file.addBuffer(Buffer.from(content), 'log.txt');
    file.end();
    return buffer(file.outputStream);
  }
  async function leak(): Promise<unknown> {
    const rows = await server.store.audit.query({ jobId: job.id as never, limit: 1000 });
    return rows
      .filter(({ rule }) => rule === 'R12')
      .map(({ decision, door, reason, principals }) => ({ decision, door, reason, principals }));
  }

  test('R12 A27 an archive is refused, the pass is dead, the job and its user are told', async () => {
    const refused = await upload(await zip(`${'text\n'.repeat(1000)}${Buffer.from(pass).toString('base64')}`));
    expect([refused.status, refused.text]).toEqual([400, expect.stringContaining('A pass (jpt_…) stands in what was uploaded')]);
    expect(await alive()).toBe(401);
    expect(await leak()).toEqual([
      { decision: 'deny', door: 'runner', reason: `it was found in an upload of job ${job.id}, and revoked`, principals: [alice.id] },
    ]);
    // The job goes on, and may leave something better; its dead pass harms nobody.
    expect((await upload(await zip('nothing'))).status).toBe(201);
    expect((await server.finish(job)).status).toBe(200);
  });

  test('R12 A27 a pass in the name of an archive, a report, an upload or a package is as bad as one in it', async () => {
    const dead = async (answer: Promise<Reply>, named: string): Promise<void> => {
      expect((await answer).status).toBe(400);
      expect((await server.call('GET', '/api/v4/user', { token: named })).status).toBe(401);
    };
    const [second, third, fourth] = [
      await passFor(server, job, [alice.id]),
      await passFor(server, job, [alice.id]),
      await passFor(server, job, [alice.id]),
    ];
    await dead(upload(await zip('nothing'), undefined, `of-${pass}.zip`), pass);
    await dead(upload(gzipSync('<testsuite/>'), 'artifact_type=junit&artifact_format=gzip', `${second}.gz`), second);
    const raw = `--b\r\ncontent-disposition: form-data; name="file"; filename="${third}"\r\n\r\nx\r\n--b--\r\n`;
    const headers = { 'private-token': alice.token, 'content-type': 'multipart/form-data; boundary=b' };
    await dead(server.call('POST', `/api/v4/projects/${app}/uploads`, { headers, raw }), third);
    const named = Buffer.from(fourth).toString('hex');
    const at = `/api/v4/projects/${app}/packages/generic/tool/1.0.1/${named}`;
    await dead(server.call('PUT', at, { headers: { 'private-token': alice.token }, raw: 'x' }), fourth);
    expect((await upload(await zip('nothing'))).status).toBe(201);
    await server.finish(job);
  });

  test('R12 A27 a report is refused like an archive; one that has a dead pass is not', async () => {
    const report = gzipSync(`<testsuite name="${pass}"/>`);
    const query = 'artifact_type=junit&artifact_format=gzip';
    expect((await upload(report, query)).status).toBe(400);
    expect(await alive()).toBe(401);
    expect((await upload(report, query)).status).toBe(201);
    expect(await leak()).toHaveLength(1);
    await server.finish(job);
  });

  test('R12 a commit over the API is refused, whoever makes it, and nothing of it is there', async () => {
    const actions = [{ action: 'create', file_path: 'config.txt', content: `token = ${pass}\n` }];
    const body = { branch: 'main', commit_message: 'configuration', actions };
    const refused = await server.call('POST', `/api/v4/projects/${app}/repository/commits`, { token: alice.token, body });
    expect([refused.status >= 400, refused.text]).toEqual([true, expect.stringContaining('a pass (jpt_…) stands in this push')]);
    expect(await alive()).toBe(401);
    expect(await leak()).toMatchObject([{ door: 'git', reason: `it was found in a push to project ${app}, and revoked` }]);
    expect((await server.call('GET', `/api/v4/projects/${app}/repository/files/config.txt?ref=main`, { token: alice.token })).status).toBe(
      404,
    );
    await server.finish(job);
  });

  test('R12 a branch or a tag that is made over the API is not called so', async () => {
    for (const [kind, name] of [
      ['branches', 'branch'],
      ['tags', 'tag_name'],
    ] as const) {
      const named = await passFor(server, job, [alice.id]);
      const body = { [name]: `of-${named}`, ref: 'main' };
      const refused = await server.call('POST', `/api/v4/projects/${app}/repository/${kind}`, { token: alice.token, body });
      expect([refused.status >= 400, (await server.call('GET', '/api/v4/user', { token: named })).status]).toEqual([true, 401]);
    }
    await server.finish(job);
  });

  test('R12 A13 an image whose configuration, small layer or annotation has a pass is not taken; blobs of elsewhere are not looked at', async () => {
    const alices = new RegistryClient(server, basic(alice.token));
    const put = (name: string, raw: string) =>
      alices.ask('PUT', `/v2/${name}/manifests/one`, { headers: { 'content-type': imageType }, raw });
    const passes = [pass, await passFor(server, job, [alice.id]), await passFor(server, job, [alice.id])] as const;
    const config = JSON.stringify({ config: { Env: [`TOKEN=${passes[0]}`] } });
    const layer = gzipSync(`${'x'.repeat(600)}password=${passes[1]}`);
    for (const blob of ['{}', 'layer', config, layer]) await alices.pushBlob('team/app/tool', blob);
    // Held by another repository only: nobody learns what is in it, and nothing happens to the pass.
    await alices.pushBlob('team/app/other', 'layer');
    const unheld = await put('team/app/other', manifestOf(config, 'layer'));
    expect([unheld.status, await alive()]).toEqual([404, 200]);
    const images = [
      manifestOf(config, 'layer'),
      manifestOf('{}', 'layer', { layers: [{ mediaType: layerType, digest: digestOf(layer), size: layer.length }] }),
      manifestOf('{}', 'layer', { annotations: { made: `by ${passes[2]}` } }),
    ];
    for (const [index, manifest] of images.entries()) {
      const reply = await put('team/app/tool', manifest);
      expect([reply.status, codeOf(reply), reply.text]).toEqual([400, 'MANIFEST_INVALID', expect.stringContaining('stands in this image')]);
      expect((await server.call('GET', '/api/v4/user', { token: passes[index] ?? '' })).status).toBe(401);
      expect((await alices.ask('GET', '/v2/team/app/tool/tags/list')).body['tags'] ?? []).toEqual([]);
    }
    const row = { door: 'registry', reason: `it was found in an image of project ${app}, and revoked` };
    expect(await leak()).toMatchObject([row, row, row]);
    await server.finish(job);
  });

  test('R12 a package, an upload or a large file with a pass in it is not taken, also from a person; an archive inside of it is opened', async () => {
    const packed = gzipSync(await zip(`${'text\n'.repeat(1000)}${pass}`));
    const at = `/api/v4/projects/${app}/packages/generic/tool/1.0.0/tool.tar.gz`;
    const refused = await server.call('PUT', at, { headers: { 'private-token': alice.token }, raw: packed });
    expect([refused.status, refused.text]).toEqual([400, expect.stringContaining('A pass (jpt_…) stands in what was sent')]);
    expect([await alive(), (await server.call('GET', at, { token: alice.token })).status]).toEqual([401, 404]);

    const second = await passFor(server, job, [alice.id]);
    const form = `--b\r\ncontent-disposition: form-data; name="file"; filename="a.log"\r\n\r\n${second}\r\n--b--\r\n`;
    const headers = { 'private-token': alice.token, 'content-type': 'multipart/form-data; boundary=b' };
    expect((await server.call('POST', `/api/v4/projects/${app}/uploads`, { headers, raw: form })).status).toBe(400);
    expect((await server.call('GET', '/api/v4/user', { token: second })).status).toBe(401);

    const third = await passFor(server, job, [alice.id]);
    const file = Buffer.from(`large ${third}`);
    const lfs = {
      authorization: `Basic ${Buffer.from(`x:${alice.token}`).toString('base64')}`,
      'content-type': 'application/vnd.git-lfs+json',
    };
    const object = { oid: digestOf(file).slice('sha256:'.length), size: file.length };
    const batch = async () => {
      const raw = JSON.stringify({ operation: 'upload', transfers: ['basic'], objects: [object] });
      const reply = await server.call('POST', '/team/app.git/info/lfs/objects/batch', {
        headers: { ...lfs, accept: lfs['content-type'] },
        raw,
      });
      return JSON.parse(reply.text) as { objects: { actions?: { upload: { href: string } } }[] };
    };
    const href = (await batch()).objects[0]?.actions?.upload.href ?? '';
    const { pathname } = new URL(href);
    const put = await server.call('PUT', pathname, { headers: { ...lfs, 'content-type': 'application/octet-stream' }, raw: file });
    expect([put.status, (await server.call('GET', '/api/v4/user', { token: third })).status]).toEqual([422, 401]);
    expect((await batch()).objects[0]?.actions).toBeDefined();
    const where = ['a file', 'a file', 'a large file'].map((what) => `it was found in ${what} of project ${app}, and revoked`);
    expect(((await leak()) as { reason: string }[]).map(({ reason }) => reason).toSorted()).toEqual(where.toSorted());
    await server.finish(job);
  });

  test('R10 R12 a pass in a log leaves a row as well', async () => {
    const patched = await server.call('PATCH', `/api/v4/jobs/${job.id}/trace`, {
      headers: { 'job-token': job.token, 'content-range': `0-${pass.length - 1}`, 'content-type': 'text/plain' },
      raw: pass,
    });
    expect(patched.status).toBe(202);
    expect(await alive()).toBe(401);
    expect(await leak()).toMatchObject([{ reason: `it was found in the log of job ${job.id}, and revoked` }]);
    await server.finish(job);
  });
});
