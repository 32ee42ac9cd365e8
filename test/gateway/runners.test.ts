import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createKey, type Signer } from '../../src/runner/identity.ts';
import { type Scene, scene } from '../support/scripted.ts';

let dir: string;
let mine: Signer;
let stolen: Signer;
let gate: Scene | undefined;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'jobpass-signed-'));
  [mine, stolen] = [await createKey(join(dir, 'mine.key')), await createKey(join(dir, 'stolen.key'))];
});
afterEach(async () => {
  await gate?.stop();
  gate = undefined;
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const report = (verdict: string, unsafe = false) => ({ key: mine.publicKey, verdict, unsafe, reasons: [] });

/** Asks for the next job, signed by `signer` where there is one. */
async function ask(at: Scene, signer?: Signer, jobpass: object = report('expose'), path = '/api/v4/jobs/request') {
  const body = Buffer.from(JSON.stringify({ token: 'glrt-five', info: { jobpass } }));
  const signed = signer?.headers('POST', path, new URL(at.gateway.url).host, body) ?? {};
  const headers = { 'content-type': 'application/json', ...signed };
  const send = async () => {
    const answer = await at.call('POST', path, undefined, { raw: body.toString(), headers });
    const payload = answer.text === '' ? {} : (JSON.parse(answer.text) as { extended_job_token?: Record<string, unknown> });
    const { token, notes } = payload.extended_job_token ?? {};
    return { status: answer.status, pass: typeof token === 'string', notes: String(notes), text: answer.text };
  };
  return { ...(await send()), again: send };
}
const waiting = (at: Scene, id: number): void => {
  const job = { id, token: `glcbt-${id}`, projectId: 7, pipelineId: id, userId: 2, sha: at.sha, ref: 'main' };
  at.gitlab.jobs.push(job);
  at.gitlab.waiting.push(job);
};

describe('a jobpass runner that an admin named', () => {
  test('R7 A60 its key is pinned at its first signed verify, and only what is signed with it gets the full pass', async () => {
    gate = await scene({ trustedRunners: [], signedRunners: [{ id: 5 as never, key: undefined }] });
    waiting(gate, 1);
    expect(await ask(gate, mine), 'before it was introduced').toMatchObject({ status: 201, pass: false });
    expect((await ask(gate, mine, report('expose'), '/api/v4/runners/verify')).status).toBe(200);
    waiting(gate, 2);
    expect(await ask(gate, mine)).toMatchObject({ pass: true, notes: expect.stringContaining('the gate finds the runner safe') });
    waiting(gate, 3);
    expect(await ask(gate), 'a stolen token without a signature').toMatchObject({ pass: false });
    waiting(gate, 4);
    expect(await ask(gate, stolen), 'with a key of its own').toMatchObject({ pass: false });
    expect((await ask(gate, stolen, report('expose'), '/api/v4/runners/verify')).status, 'another key').toBe(403);
    waiting(gate, 5);
    expect(await ask(gate, mine), 'the first one stays').toMatchObject({ pass: true });
  });

  test("R7 its own verdict counts: withhold withholds, and an override is nobody's word", async () => {
    gate = await scene({ trustedRunners: [], signedRunners: [{ id: 5 as never, key: mine.publicKey }] });
    waiting(gate, 1);
    expect(await ask(gate, mine, report('withhold'))).toMatchObject({
      pass: false,
      notes: expect.stringContaining("the runner's gate says withhold"),
    });
    waiting(gate, 2);
    expect(await ask(gate, mine, report('expose', true))).toMatchObject({
      pass: false,
      notes: expect.stringContaining('no admin accepted'),
    });
    waiting(gate, 3);
    expect(await ask(gate, mine, {}), 'no verdict at all').toMatchObject({ pass: false });
  });

  test('R7 A60 a request that was seen, or whose body was changed, goes nowhere', async () => {
    gate = await scene({ trustedRunners: [], signedRunners: [{ id: 5 as never, key: mine.publicKey }] });
    waiting(gate, 1);
    const first = await ask(gate, mine);
    expect(first.pass).toBe(true);
    waiting(gate, 2);
    const before = gate.gitlab.carried().length;
    expect(await first.again()).toMatchObject({ status: 403, text: expect.stringContaining('used before') });
    const body = JSON.stringify({ token: 'glrt-five', info: { jobpass: report('withhold') } });
    const signed = mine.headers('POST', '/api/v4/jobs/request', new URL(gate.gateway.url).host, Buffer.from(body));
    const changed = body.replace('withhold', 'expose');
    const answer = await gate.call('POST', '/api/v4/jobs/request', undefined, {
      raw: changed,
      headers: { 'content-type': 'application/json', ...signed },
    });
    expect([answer.status, gate.gitlab.carried().length]).toEqual([403, before]);
  });
});

test('R7 A60 a job is of the runner of which the forge says so, whatever tokens stand in the request', async () => {
  gate = await scene();
  expect((await gate.job({ runner: 6 })).payload).not.toHaveProperty('extended_job_token');
  expect((await gate.job({ runner: 5 })).payload).toHaveProperty('extended_job_token');
});

test('R7 a runner that nobody named may sign what it likes', async () => {
  gate = await scene({ trustedRunners: [] });
  waiting(gate, 1);
  expect(await ask(gate, mine)).toMatchObject({ status: 201, pass: false });
});

test('R8 R12 without a fetch pass to lend, the job token of an assisted runner goes to the forge as it came', async () => {
  const place = await scene({ assistedRunners: [5 as never] });
  gate = place;
  place.gitlab.project(20, 'open/all');
  Object.assign(place.gitlab.projects.get(20) ?? {}, { visibility: 'public', repository_access_level: 'enabled' });
  place.gitlab.answers.set('GET /open/all.git/info/refs', [200, 'refs']);
  const job = await place.job();
  const authorization = `Basic ${Buffer.from(`gitlab-ci-token:${job.token}`).toString('base64')}`;
  const fetched = async () => {
    const { status, text } = await place.call('GET', '/open/all.git/info/refs?service=git-upload-pack', undefined, {
      headers: { authorization },
    });
    return [status, text, place.gitlab.carried().at(-1)?.headers.authorization === authorization];
  };
  expect(await fetched()).toEqual([200, 'refs', false]);
  const headers = { 'job-token': job.token, 'content-type': 'text/plain', 'content-range': `0-${job.fetch.length - 1}` };
  await place.call('PATCH', `/api/v4/jobs/${job.id}/trace`, undefined, { raw: job.fetch, headers });
  expect(await fetched()).toEqual([200, 'refs', true]);
});

describe('assist: expose', () => {
  test('the jobs of an older runner find their pass in a masked variable, which is the last one', async () => {
    gate = await scene({ trustedRunners: [], exposedRunners: [5 as never] });
    const job = await gate.job();
    const variables = job.payload['variables'] as { key: string; value: string }[];
    expect(variables.at(-1)).toEqual({ key: 'CI_EXTENDED_JOB_TOKEN', value: job.pass, public: false, masked: true, raw: true });
    expect(variables.slice(0, -1)).toEqual([{ key: 'JOBPASS_EXPOSE', value: 'variable', public: true, masked: false }]);
    gate.gitlab.answers.set('GET /projects/8', [200, { ...gate.gitlab.projects.get(8) }]);
    expect((await gate.call('GET', '/api/v4/projects/8', job.pass)).status).toBe(200);
    await gate.end(job);
    expect((await gate.call('GET', '/api/v4/projects/8', job.pass)).status).toBe(401);
  });

  test('R7 a job that does not ask finds none, and neither does one whose project withholds', async () => {
    gate = await scene({ trustedRunners: [], exposedRunners: [5 as never], maxExposure: 'withhold' });
    const job = await gate.job();
    expect(JSON.stringify(job.payload['variables'])).not.toContain('jpt_');
    expect(job.pass).toBe('undefined');
  });

  test('R7 distrust counts before it', async () => {
    gate = await scene({ trustedRunners: [], exposedRunners: [5 as never], distrustedRunners: [5 as never] });
    expect(JSON.stringify((await gate.job()).payload)).not.toContain('jpt_');
  });
});

test('A50 what the pipeline was given narrows what the file says, and widens nothing', async () => {
  gate = await scene();
  const given = (value: string): void =>
    void gate?.gitlab.answers.set('GET /projects/7/pipelines/201/variables', [200, [{ key: 'JOBPASS_EXPOSE', value }]]);
  const file = { key: 'JOBPASS_EXPOSE', value: 'withhold', public: true, masked: false };
  given('replace');
  const wide = await gate.job({ variables: [file, { ...file, value: 'replace' }] });
  expect([wide.pass, wide.notes]).toEqual(['undefined', expect.stringContaining('did not ask')]);
  gate.gitlab.answers.set('GET /projects/7/pipelines/202/variables', [200, [{ key: 'JOBPASS_EXPOSE', value: 'withhold' }]]);
  const narrow = await gate.job({ variables: [{ ...file, value: 'variable' }, file] });
  expect(narrow.pass).toBe('undefined');
});

test('R16 over plain HTTP from another machine no pass is issued', async () => {
  gate = await scene({ listen: [{ host: '0.0.0.0', port: 0 }] });
  const { networkInterfaces } = await import('node:os');
  const address = Object.values(networkInterfaces())
    .flat()
    .find((one) => one?.family === 'IPv4' && !one.internal)?.address;
  const url = address === undefined ? undefined : gate.gateway.url.replace('127.0.0.1', address);
  waiting(gate, 1);
  const body = JSON.stringify({ token: 'glrt-five' });
  const headers = { 'content-type': 'application/json' };
  if (url !== undefined) {
    const far = await fetch(`${url}/api/v4/jobs/request`, { method: 'POST', headers, body });
    expect([far.status, await far.text()]).toEqual([201, expect.not.stringContaining('jpt_')]);
  }
  waiting(gate, 2);
  const near = await fetch(`${gate.gateway.url}/api/v4/jobs/request`, { method: 'POST', headers, body });
  expect([near.status, await near.text()]).toEqual([201, expect.stringContaining('jpt_')]);
});
