import { once } from 'node:events';
import { afterEach, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';
import { Wire } from './proxy/stage.ts';

let server: TestServer;
afterEach(() => server.stop());

/** Sends a request whose body is refused in the middle, and another behind it on the same connection. @returns everything that was heard */
async function twoOn(head: string, begin: string, bytes: number): Promise<string> {
  const wire = new Wire(Number(new URL(server.url).port));
  const body = begin + 'x'.repeat(bytes - begin.length);
  wire.send(`${head}Host: 127.0.0.1\r\nContent-Length: ${bytes}\r\n\r\n`).send(body.slice(0, bytes / 2));
  await once(wire.socket, 'data');
  wire.send(body.slice(bytes / 2)).send('GET /api/v4/version HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n');
  return wire.end();
}

test('R13 a body that is refused before its end is thrown away: the answer is heard, and so is the next request on the connection', async () => {
  server = await startTestServer();
  const alice = await server.user('alice');
  const app = await server.project('team/app');
  await server.member(app, alice.id, 40);
  const runner = await server.runner();
  await server.commit(app, '.gitlab-ci.yml', 'job: {script: [make]}', { token: alice.token });
  const job = await server.claim(runner.token);
  if (job === undefined) throw new Error('no job');
  const token = `JOB-TOKEN: ${job.token}\r\n`;
  // Half of it is more than any of them takes.
  const bytes = 3 * 1024 * 1024;
  const part = '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n';
  const form = 'Content-Type: multipart/form-data; boundary=b\r\n';
  const basic = `Authorization: Basic ${Buffer.from(`x:${alice.token}`).toString('base64')}\r\n`;
  const cases = [
    ['a trace', `PATCH /api/v4/jobs/${job.id}/trace HTTP/1.1\r\n${token}Content-Range: 0-9\r\n`, '', 413],
    ['an upload without a form', `POST /api/v4/jobs/${job.id}/artifacts HTTP/1.1\r\n${token}`, '', 400],
    [
      'a report that is too large',
      `POST /api/v4/jobs/${job.id}/artifacts?artifact_type=dotenv&artifact_format=gzip HTTP/1.1\r\n${token}${form}`,
      part,
      413,
    ],
    ['a job request', 'POST /api/v4/jobs/request HTTP/1.1\r\n', '', 413],
    ['a batch of large files', `POST /team/app.git/info/lfs/objects/batch HTTP/1.1\r\n${basic}`, '', 413],
    ['a push of no type', `POST /team/app.git/git-receive-pack HTTP/1.1\r\n${basic}`, '', 400],
  ] as const;
  for (const [what, head, begin, status] of cases) {
    const text = await twoOn(head, begin, bytes);
    expect([what, ...(text.match(/HTTP\/1\.1 \d+/g) ?? [])]).toEqual([what, `HTTP/1.1 ${status}`, expect.stringMatching(/401|200/)]);
  }
});
