import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ProjectId } from '../../src/base/ids.ts';
import type { GatewayConfig } from '../../src/gateway.ts';
import { type Handed, type Scene, scene } from '../support/scripted.ts';

const depths = (...pairs: readonly (readonly [number, number])[]): GatewayConfig['chainDepths'] =>
  new Map(pairs.map(([project, depth]) => [project as ProjectId, depth]));
const expose = { key: 'JOBPASS_EXPOSE', value: 'variable', public: true, masked: false };
const bounded = (permissions: string) => [expose, { key: 'JOBPASS_PERMISSIONS', value: permissions, public: true, masked: false }];

let gate: Scene;
let made = 300;
async function open(chainDepths: GatewayConfig['chainDepths']): Promise<void> {
  gate = await scene({ chainDepths });
}
afterEach(() => gate.stop());

/** A pipeline that the pass starts. @returns its number */
async function start(pass: string, project = 7): Promise<number> {
  made += 1;
  gate.gitlab.answers.set(`POST /projects/${project}/pipeline`, [201, { id: made, source: 'api', sha: gate.sha, ref: 'main' }]);
  const answer = await gate.call('POST', `/api/v4/projects/${project}/pipeline`, pass, { body: { ref: 'main' } });
  expect(answer.status, answer.text).toBe(201);
  return made;
}
const hasPass = (job: Handed): boolean => job.payload['extended_job_token'] !== undefined;
const status = async (path: string, pass: string): Promise<number> => (await gate.call('GET', `/api/v4${path}`, pass)).status;
const kept = (job: Handed) => gate.gateway.store.passes.forJob(null, job.id as never);

describe('where two projects allow one deep', () => {
  beforeEach(() => open(depths([7, 1], [8, 1])));

  test('R5 a job that a pass started has a pass: the rights of everybody behind both, bounded as the other was, with its own end', async () => {
    const parent = await gate.job({ variables: bounded('pipeline:create project:read') });
    const child = await gate.job({ pipelineId: await start(parent.pass), userId: 3 });
    expect(child.notes).toContain('bob (starter) ∩ alice (write by pass)');
    expect(child.notes).toContain(`started by the pass of job ${parent.id}: no wider than that, 1 deep`);
    expect([await status('/projects/7', child.pass), await status('/projects/7/repository/branches/main', child.pass)]).toEqual([200, 403]);
    // Alice may, bob may not.
    expect(await status('/projects/8', child.pass)).toBe(404);
    const passes = await kept(child);
    expect(passes.map(({ kind, chainDepth, limits }) => [kind, chainDepth, limits?.length])).toEqual([
      ['fetch', 1, 1],
      ['full', 1, 1],
    ]);
    // It dies with its own job, not with the one above.
    await gate.end(parent);
    expect(await status('/projects/7', child.pass)).toBe(200);
    await gate.end(child);
    expect(await status('/projects/7', child.pass)).toBe(401);
  });

  test('R5 R9 nobody knows which pass of a job wrote: what a narrowed one was bounded to bounds the child', async () => {
    const parent = await gate.job();
    const form = new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: parent.pass,
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      scope: 'pipeline:create project:read',
    });
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const narrowed = await gate.call('POST', '/-/jobpass/oauth/token', undefined, { raw: form.toString(), headers });
    const { access_token: token } = JSON.parse(narrowed.text) as { access_token: string };
    const child = await gate.job({ pipelineId: await start(token) });
    expect([await status('/projects/7', child.pass), await status('/projects/7/repository/branches/main', child.pass)]).toEqual([200, 403]);
  });

  test('R5 R4 the ceiling of the project above comes along to another one', async () => {
    const ceiling = { permissions: ['pipeline:create', 'project:read'] };
    expect((await gate.call('PUT', '/api/v4/projects/7/jobpass/ceiling', 'glpat-alice', { body: ceiling })).status).toBe(200);
    const parent = await gate.job();
    const child = await gate.job({ projectId: 8, pipelineId: await start(parent.pass, 8) });
    expect([await status('/projects/8', child.pass), await status('/projects/8/repository/branches/main', child.pass)]).toEqual([200, 403]);
  });

  test('R5 a ceiling that names values of variables names them for no job that a pass started', async () => {
    gate.gitlab.levels.set('projects/8/2', 40);
    gate.gitlab.answers.set('GET /projects/8/variables', [200, []]);
    const ceiling = { permissions: ['*', 'variable:read'] };
    expect((await gate.call('PUT', '/api/v4/projects/7/jobpass/ceiling', 'glpat-alice', { body: ceiling })).status).toBe(200);
    const parent = await gate.job();
    expect(await status('/projects/8/variables', parent.pass)).toBe(200);
    const child = await gate.job({ pipelineId: await start(parent.pass) });
    expect([await status('/projects/8', child.pass), await status('/projects/8/variables', child.pass)]).toEqual([200, 403]);
  });

  test('R5 one deeper than that there is no pass', async () => {
    const parent = await gate.job();
    const child = await gate.job({ pipelineId: await start(parent.pass) });
    expect(hasPass(child)).toBe(true);
    expect(hasPass(await gate.job({ pipelineId: await start(child.pass) }))).toBe(false);
  });

  test('R5 R12 a job that a leaked pass may have started gets no pass', async () => {
    const parent = await gate.job();
    const pipelineId = await start(parent.pass);
    const headers = { 'job-token': parent.token, 'content-type': 'text/plain', 'content-range': `0-${parent.pass.length - 1}` };
    await gate.call('PATCH', `/api/v4/jobs/${parent.id}/trace`, undefined, { raw: parent.pass, headers });
    expect((await kept(parent)).some(({ revokedAt }) => revokedAt !== null)).toBe(true);
    expect(hasPass(await gate.job({ pipelineId }))).toBe(false);
  });

  test('R5 R13 where a pass may have started it, and nobody can tell, there is none', async () => {
    const parent = await gate.job();
    gate.gitlab.answers.set('POST /projects/7/pipeline', (_heard, response) => {
      response.destroy();
      return undefined;
    });
    await gate.call('POST', '/api/v4/projects/7/pipeline', parent.pass, { body: { ref: 'main' } });
    expect(hasPass(await gate.job())).toBe(false);
  });

  test('R5 a push goes without ci.skip where its jobs may have a pass, and with it elsewhere', async () => {
    gate.gitlab.project(9, 'libs/other', { 2: 40 });
    const parent = await gate.job();
    const child = await gate.job({ pipelineId: await start(parent.pass) });
    expect(await pushedBy(parent, 'team/app')).not.toContain('ci.skip');
    expect(await pushedBy(parent, 'libs/other')).toContain('ci.skip');
    expect(await pushedBy(child, 'team/app')).toContain('ci.skip');
    // What it pushed is known all the same.
    expect((await gate.job({ sha: pushedOid, ref: 'topic' })).notes).toContain(`started by the pass of job`);
  });
});

test.each<[string, GatewayConfig['chainDepths'], number]>([
  ['nothing is said', depths(), 7],
  ['the project of the job that started it allows none', depths([8, 3]), 8],
  ['its own project allows none', depths([7, 3]), 8],
])('R5 where %s there is no pass', async (_what, chainDepths, project) => {
  await open(chainDepths);
  const parent = await gate.job();
  expect(hasPass(await gate.job({ projectId: project, pipelineId: await start(parent.pass, project) }))).toBe(false);
});

describe('merge requests', () => {
  const merge = 'fe'.repeat(20);
  beforeEach(() => open(depths()));

  test('R5 a merge that the forge made of what a pass pushed runs without a pass', async () => {
    const parent = await gate.job();
    await pushedBy(parent, 'team/app');
    gate.gitlab.answers.set('GET /projects/7/merge_requests/5', [200, { source_project_id: 7, source_branch: 'topic' }]);
    gate.gitlab.answers.set(`GET /projects/7/repository/commits/${merge}`, [200, { id: merge, parent_ids: [gate.sha, pushedOid] }]);
    expect(hasPass(await gate.job({ sha: merge, ref: 'refs/merge-requests/5/merge' }))).toBe(false);
    gate.gitlab.answers.set(`GET /projects/7/repository/commits/${merge}`, [200, { id: merge, parent_ids: [gate.sha] }]);
    expect(hasPass(await gate.job({ sha: merge, ref: 'refs/merge-requests/5/merge' }))).toBe(true);
  });

  test('R5 R13 where the forge does not tell what it is made of, neither', async () => {
    expect(hasPass(await gate.job({ ref: 'refs/merge-requests/5/head' }))).toBe(false);
  });
});

const pushedOid = 'cd'.repeat(20);

/** @returns what the forge heard of a push to `topic` */
async function pushedBy({ pass }: Handed, project: string): Promise<string> {
  const command = `${'0'.repeat(40)} ${pushedOid} refs/heads/topic\0 report-status`;
  const raw = `${(command.length + 4).toString(16).padStart(4, '0')}${command}0000PACK`;
  gate.gitlab.answers.set(`POST /${project}.git/git-receive-pack`, [200, '']);
  const authorization = `Basic ${Buffer.from(`x:${pass}`).toString('base64')}`;
  const headers = { authorization, 'content-type': 'application/x-git-receive-pack-request' };
  expect((await gate.call('POST', `/${project}.git/git-receive-pack`, undefined, { raw, headers })).status).toBe(200);
  return gate.gitlab.heard.at(-1)?.body ?? '';
}
