import { generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { contentDigest, signatureBase, signatureHeader, signatureInput } from '../../src/wire/request-signature.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

describe('R7 signed requests of a jobpass runner', () => {
  let server: TestServer;
  let alice: { id: number; token: string };
  let app: number;
  const key = generateKeyPairSync('ed25519').privateKey;

  beforeAll(async () => {
    server = await startTestServer();
    alice = await server.user('alice');
    app = await server.project('team/app');
    await server.member(app, alice.id, 40);
    await server.commit(app, '.gitlab-ci.yml', 'stages: [test]\njob:\n  variables: {JOBPASS_EXPOSE: variable}\n  script: ["true"]\n', {
      token: alice.token,
    });
  });
  afterAll(() => server.stop());

  const publicKey = (of: KeyObject): string => String(of.export({ format: 'jwk' }).x);
  const seconds = (): number => Math.floor(Date.now() / 1000);
  function headersFor(
    path: string,
    body: string,
    by: KeyObject,
    created = seconds(),
    authority = new URL(server.url).host,
  ): Record<string, string> {
    const parameters = { created, nonce: randomBytes(16).toString('base64url'), keyid: publicKey(by) };
    const digest = contentDigest(Buffer.from(body));
    const base = signatureBase({ method: 'POST', path, authority, contentDigest: digest }, parameters);
    return {
      'content-type': 'application/json',
      'content-digest': digest,
      'signature-input': signatureInput(parameters),
      signature: signatureHeader(sign(null, Buffer.from(base), by)),
    };
  }
  const bodyOf = (token: string, by: KeyObject): string =>
    JSON.stringify({ token, info: { jobpass: { key: publicKey(by), verdict: 'expose', unsafe: false, reasons: [] } } });
  const post = (path: string, body: string, headers: Record<string, string>) => server.call('POST', path, { headers, raw: body });
  const request = '/api/v4/jobs/request';
  const verify = '/api/v4/runners/verify';

  async function trustedRunner() {
    const runner = await server.runner();
    await server.must('PUT', `/api/v4/runners/${runner.id}`, { trust: 'full' });
    const body = bodyOf(runner.token, key);
    expect((await post(verify, body, headersFor(verify, body, key))).status).toBe(200);
    return runner;
  }
  const newJob = () => server.must('POST', `/api/v4/projects/${app}/pipeline`, { ref: 'main' }, alice.token);
  const drain = async () => {
    const runner = await server.runner();
    for (let job = await server.claim(runner.token); job !== undefined; job = await server.claim(runner.token)) await server.finish(job);
  };

  test('R7 a signed request of a runner with trust full gets the pass that the job asked for', async () => {
    const runner = await trustedRunner();
    const body = bodyOf(runner.token, key);
    const reply = await post(request, body, headersFor(request, body, key));
    expect(reply.status).toBe(201);
    expect(reply.body['extended_job_token']).toMatchObject({ exposure: 'variable', token: expect.stringMatching(/^jpt_x/) });
    await server.call('PUT', `/api/v4/jobs/${String(reply.body['id'])}`, {
      headers: { 'job-token': String(reply.body['token']) },
      body: { state: 'success' },
    });
  });

  test('A60 a signature that is sent again is refused', async () => {
    const runner = await trustedRunner();
    const body = bodyOf(runner.token, key);
    const headers = headersFor(request, body, key);
    expect((await post(request, body, headers)).status).toBe(204);
    expect((await post(request, body, headers)).status).toBe(401);
  });

  test('A60 another body, host, path or time than was signed is refused', async () => {
    const runner = await trustedRunner();
    const body = bodyOf(runner.token, key);
    expect((await post(request, `${body} `, headersFor(request, body, key))).status).toBe(401);
    expect((await post(request, body, headersFor(verify, body, key))).status).toBe(401);
    // A proxy left the port away.
    const moved = await post(request, body, headersFor(request, body, key, seconds(), `${new URL(server.url).host}0`));
    expect([moved.status, moved.text]).toEqual([401, expect.stringContaining('must leave path and Host, with its port, as they came')]);
    expect((await post(request, body, headersFor(request, body, key, Math.floor(Date.now() / 1000) - 61))).status).toBe(401);
  });

  test('A60 a stolen token brings its own key in vain', async () => {
    const runner = await trustedRunner();
    const thief = generateKeyPairSync('ed25519').privateKey;
    const body = bodyOf(runner.token, thief);
    expect((await post(verify, body, headersFor(verify, body, thief))).status).toBe(403);
    await newJob();
    const reply = await post(request, body, headersFor(request, body, thief));
    expect(reply.body['extended_job_token']).not.toHaveProperty('token');
    await server.call('PUT', `/api/v4/jobs/${String(reply.body['id'])}`, {
      headers: { 'job-token': String(reply.body['token']) },
      body: { state: 'success' },
    });
    await drain();
  });
});
