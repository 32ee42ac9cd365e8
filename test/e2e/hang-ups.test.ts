import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const large = 'x'.repeat(400_000);
const oid = createHash('sha256').update(large).digest('hex');
const packet = (text: string): string => (text.length + 4).toString(16).padStart(4, '0') + text;
const form = `--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n${large}\r\n--b--\r\n`;
const ofForm = 'Content-Type: multipart/form-data; boundary=b\r\n';

/** When a client leaves: in the middle of its request, right behind it, or when it hears the first of the answer. */
const moments = ['asking', 'waiting', 'hearing'] as const;

async function leave(text: string, moment: (typeof moments)[number]): Promise<void> {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1').on('error', () => undefined);
  await once(socket, 'connect');
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(moment === 'asking' ? text.slice(0, text.length / 2) : text);
  if (moment === 'hearing') await Promise.race([once(socket, 'readable'), closed]);
  if (moment === 'waiting') socket.resetAndDestroy();
  else socket.destroy();
  await closed;
}

test('R10 wherever a client hangs up, the server goes on, and the outcome of everything that was allowed is known', async () => {
  const alice = await server.user('alice');
  const app = await server.project('team/app');
  await server.member(app, alice.id, 40);
  const runner = await server.runner();
  await server.commit(app, '.gitlab-ci.yml', 'job: {script: [make]}', { token: alice.token });
  const tip = await server.commit(app, 'large.txt', randomBytes(1_000_000).toString('hex'), { token: alice.token });
  const job = await server.claim(runner.token);
  if (job === undefined) throw new Error('no job');
  const user = `PRIVATE-TOKEN: ${alice.token}\r\n`;
  const basic = `Authorization: Basic ${Buffer.from(`x:${alice.token}`).toString('base64')}\r\n`;
  const ofJob = `JOB-TOKEN: ${job.token}\r\n`;
  const api = `/api/v4/projects/${app}`;
  const request = (line: string, headers: string, body?: string): string =>
    `${line} HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}${body === undefined ? '\r\n' : `Content-Length: ${body.length}\r\n\r\n${body}`}`;
  const commit = (branch: string): string =>
    JSON.stringify({
      branch,
      start_branch: 'main',
      commit_message: 'x',
      actions: [{ action: 'create', file_path: 'new.txt', content: large }],
    });
  const push = (branch: string): string => `${packet(`${'0'.repeat(40)} ${tip} refs/heads/${branch}\0report-status`)}0000${large}`;
  const all = (moment: string): readonly string[] => [
    request('GET /team/app.git/info/refs?service=git-upload-pack', basic),
    request(
      'POST /team/app.git/git-upload-pack',
      `${basic}Content-Type: application/x-git-upload-pack-request\r\n`,
      `${packet(`want ${tip}\n`)}0000${packet('done\n')}`,
    ),
    request('POST /team/app.git/git-receive-pack', `${basic}Content-Type: application/x-git-receive-pack-request\r\n`, push(moment)),
    request(`PUT /team/app.git/gitlab-lfs/objects/${oid}/${large.length}`, basic, large),
    request(`GET ${api}/repository/archive.tar.gz`, user),
    request(`GET ${api}/repository/files/large.txt/raw?ref=main`, user),
    request(`POST ${api}/repository/commits`, `${user}Content-Type: application/json\r\n`, commit(`by-${moment}`)),
    request(`PUT ${api}/packages/generic/tool/1.0/${moment}`, user, large),
    request(`POST ${api}/uploads`, user + ofForm, form),
    request(`PATCH /api/v4/jobs/${job.id}/trace`, `${ofJob}Content-Range: 0-399999\r\n`, large),
    request(`POST /api/v4/jobs/${job.id}/artifacts?artifact_type=junit&artifact_format=gzip`, ofJob + ofForm, form),
    request('POST /api/v4/jobs/request', 'Content-Type: application/json\r\n', JSON.stringify({ token: runner.token })),
  ];
  for (const moment of moments) for (const text of all(moment)) await leave(text, moment);
  const open = async (): Promise<readonly string[]> =>
    (await server.store.audit.query({ limit: 1000 }))
      .filter((row) => row.decision === 'allow' && row.outcome === null)
      .map((row) => row.endpoint);
  await expect.poll(open, { timeout: 30_000 }).toEqual([]);
  expect(await server.store.forge.pushLog.unfinished(null)).toEqual([]);
  expect((await server.call('GET', '/api/v4/version', { token: alice.token })).status).toBe(200);
});
