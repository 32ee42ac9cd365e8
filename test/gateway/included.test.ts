import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { mainHead } from '../support/gitlab.ts';
import { type Handed, type Scene, scene } from '../support/scripted.ts';

/** Jobs that alice starts on main, whose configuration takes in files of libs/ci (9), to which bob pushes. */
let gate: Scene;
beforeEach(async () => {
  gate = await scene();
  gate.gitlab.project(9, 'libs/ci');
});
afterEach(() => gate.stop());

const dev = 'de'.repeat(20);
const [before, after] = ['2026-01-01T00:00:00Z', '2026-01-03T00:00:00Z'];
const set = (path: string, body: unknown): void => void gate.gitlab.answers.set(`GET ${path}`, [200, body]);
const file = (project: number, path: string, text: string): void =>
  set(`/projects/${project}/repository/files/${encodeURIComponent(path)}`, { content: Buffer.from(text).toString('base64') });
const config = (text: string): void => file(7, '.gitlab-ci.yml', text);
const library = async (job: Handed): Promise<number> => (await gate.call('GET', '/api/v4/projects/8', job.pass)).status;
const push = (id: number, ref: string, at = before, type = 'branch', author = 3) => ({
  id,
  author_id: author,
  created_at: at,
  push_data: { action: 'pushed', ref_type: type, ref, commit_from: null, commit_to: ref === 'main' ? mainHead : dev },
});

/** What stands in libs/ci: main, and a commit beside it. */
function ci(events: readonly unknown[], names: Readonly<Record<string, readonly [string, string]>>): void {
  set('/projects/9/events', events);
  for (const [ref, [kind, sha]] of Object.entries(names)) {
    set(`/projects/9/repository/commits/${ref}`, { id: sha });
    set(`/projects/9/repository/${kind}/${ref}`, { name: ref, commit: { id: sha } });
  }
  set('/projects/9/repository/merge_base', { id: mainHead });
  set('/projects/9/repository/commits', [{ id: dev, parent_ids: [mainHead] }]);
}

describe('R3 A57 what a configuration takes in', () => {
  test.each([
    ['of another project', '{include: [{project: libs/ci, ref: dev, file: [a.yml, b.yml]}]}'],
    ['into a child pipeline', '{job: {trigger: {include: [{project: Libs/CI, ref: dev, file: a.yml}]}}}'],
    ['as inputs', 'spec: {include: [{project: libs/ci, ref: dev, file: a.yml}]}\n---\n{job: {script: [x]}}'],
    ['as a component', '{include: [{component: $CI_SERVER_FQDN/libs/ci/lint@dev}]}'],
  ])('at an unprotected ref, %s: whoever pushed there is a principal', async (_what, text) => {
    config(text);
    ci([push(2, 'dev'), push(1, 'main', before, 'branch', 2)], { dev: ['branches', dev] });
    const job = await gate.job();
    expect(job.notes).toContain('bob (include)');
    expect(await library(job)).toBe(404);
  });

  test('through a file of its own, or by the path of its configuration', async () => {
    ci([push(2, 'dev'), push(1, 'main', before, 'branch', 2)], { dev: ['branches', dev] });
    config('include: /ci/*.yml');
    set('/projects/7/repository/tree', [{ path: 'ci/inner.yml' }, { path: 'other.yml' }]);
    file(7, 'ci/inner.yml', 'include: {project: libs/ci, ref: dev, file: a.yml}');
    expect((await gate.job()).notes).toContain('bob (include)');
    Object.assign(gate.gitlab.projects.get(7) ?? {}, { ci_config_path: 'a.yml@libs/ci:dev' });
    expect((await gate.job({ sha: 'cc'.repeat(20) })).notes).toContain('bob (include)');
  });

  test('of a protected branch: who last moved it, and whoever has since', async () => {
    config('include: {project: libs/ci, file: a.yml}');
    gate.gitlab.user(4, 'carol');
    ci([push(3, 'main', after, 'branch', 4), push(2, 'main'), push(1, 'main', '2025-01-01T00:00:00Z', 'branch', 2)], {
      main: ['branches', mainHead],
    });
    const job = await gate.job();
    expect(job.notes).toContain('bob (include)');
    expect(job.notes).toContain('carol (include)');
    expect(await library(job)).toBe(404);
  });

  test('of a protected branch of the own group: outside of it only', async () => {
    gate.gitlab.project(11, 'team/ci');
    gate.gitlab.groups.forEach((group) => Object.assign(group, { visibility: 'private' }));
    config('include: {project: team/ci, file: a.yml}');
    set('/projects/11/events', [push(1, 'main')]);
    set('/projects/11/repository/commits/main', { id: mainHead });
    const job = await gate.job();
    expect(job.notes).toContain('bob (last merger)');
    expect(await library(job)).toBe(404);
  });

  test('of a tag that is called like a protected branch: whoever pushed what it stands at', async () => {
    config('include: {project: libs/ci, ref: main, file: a.yml}');
    ci([push(2, 'main', before, 'tag'), push(1, 'main', before, 'branch', 2)], { main: ['tags', dev] });
    gate.gitlab.answers.set('GET /projects/9/events', [200, [{ ...push(2, 'x', before, 'tag') }, push(1, 'main', before, 'branch', 2)]]);
    expect((await gate.job()).notes).toContain('bob (include)');
  });

  test.each([
    ['a file of another server', 'include: https://example.com/a.yml', 'a file of example.com'],
    ['what a variable names', 'include: {project: $OTHER/ci, file: a.yml}', 'what a variable or input names'],
    ['a component at its newest version', 'include: {component: $CI_SERVER_FQDN/libs/ci/lint@~latest}', 'at no version of its own'],
    ['a project that there is not', 'include: {project: libs/none, file: a.yml}', 'something of libs/none'],
    ['a ref that has moved since', 'include: {project: libs/ci, ref: dev, file: a.yml}', 'has moved since'],
    ['what cannot be read', 'include: [', 'a file that cannot be read here'],
  ])('R13 with %s the pass fetches its own project only', async (_what, text, why) => {
    config(text);
    ci([push(3, 'dev', after), push(2, 'dev')], { dev: ['branches', dev] });
    const { notes } = await gate.job();
    expect(notes).toContain(why);
    expect(notes).toContain('fetches its own project only');
  });

  test('of the forge itself, or what a job makes, is none of anybody', async () => {
    config('{include: [{template: Jobs/SAST.gitlab-ci.yml}, local.yml], job: {trigger: {include: [{artifact: a.yml, job: x}]}}}');
    const job = await gate.job();
    expect(job.notes).not.toContain('own project only');
    expect(await library(job)).toBe(200);
  });
});
