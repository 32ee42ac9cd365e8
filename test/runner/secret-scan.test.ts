import { execFileSync } from 'node:child_process';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { formsOf } from '../../src/runner/trace/forms.ts';
import { passesIn } from '../support/pass-forms.ts';
import { jobPayload, makeScene, passesFor, sourcesOf, textOf } from './support/jobs.ts';

/**
 * A job of the shell executor, looked at while the runner's git fetches, while its script runs and afterwards; test/e2e/containers.test.ts does the same for
 * docker, with the engine's own view of the containers.
 */
test('R6 R8 A26 A30 no pass in an argv while git fetches; in no environment, .git, build tree nor trace afterwards; raw, base64, URL or hex', async () => {
  const scene = await makeScene();
  // Also where it fails: its job would wait for ever.
  onTestFinished(() => scene.close());
  const { forge } = scene;
  const lib = forge.repository('libs/one', { one: '1' });
  const sha = forge.repository('group/app', { a: 'text\n' }, { lib: ['../../libs/one.git', lib] });
  const { full, fetch, extended_job_token } = passesFor(forge, 'variable');
  // Other tests have passes of their own: only the forms of these two count where all processes are looked at.
  const forms = [...formsOf(full), ...formsOf(fetch)];
  const argvs: Promise<string>[] = [];
  forge.intercept = (request) => {
    if (/\.git\//.test(request.url ?? '')) argvs.push(everyProcess('cmdline'));
    return false;
  };
  const job = jobPayload(['env', 'cat .git/config lib/.git', 'echo "now re""ady"', 'until test -e go; do sleep 0.05; done'], {
    ...sourcesOf(forge, sha),
    extended_job_token,
    variables: [{ key: 'GIT_SUBMODULE_STRATEGY', value: 'recursive', public: true, masked: false }],
  });
  await scene.start();
  forge.give(job);
  await forge.when(() => forge.report(job.id).trace.includes('now ready') || forge.report(job.id).final !== undefined);
  expect(forge.report(job.id).final, textOf(forge.report(job.id).trace)).toBeUndefined();
  for (const argv of await Promise.all(argvs)) expect(forms.filter((form) => argv.includes(form))).toEqual([]);
  expect(argvs.length).toBeGreaterThan(2);
  for (const kind of ['cmdline', 'environ'] as const) {
    const all = await everyProcess(kind);
    expect(all.length).toBeGreaterThan(0);
    expect(
      forms.filter((form) => all.includes(form)),
      kind,
    ).toEqual([]);
  }
  const looked = await everyFile(scene.dir);
  expect(looked.map(({ path }) => path).some((path) => path.endsWith('/.git/config'))).toBe(true);
  for (const { path, text } of looked) expect([path, ...passesIn(text), ...forms.filter((form) => text.includes(form))]).toEqual([path]);
  const [tree = ''] = looked
    .filter(({ path }) => path.startsWith(scene.buildsDir) && path.endsWith('/group/app/a'))
    .map(({ path }) => path.slice(0, -2));
  // Objects are packed: git itself says what is in them.
  const objects = execFileSync('git', ['-c', 'safe.directory=*', '-C', tree, 'cat-file', '--batch-all-objects', '--batch'], {
    encoding: 'latin1',
  });
  expect(passesIn(objects)).toEqual([]);
  execFileSync('touch', [join(tree, 'go')]);
  const report = await forge.ended(job.id);
  expect(report.final).toMatchObject({ state: 'success' });
  expect(passesIn(textOf(report.trace))).toEqual([]);
  for (const { path, text } of await everyFile(scene.buildsDir)) expect([path, ...passesIn(text)]).toEqual([path]);
});

async function everyProcess(kind: 'cmdline' | 'environ'): Promise<string> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry));
  return (await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/${kind}`, 'latin1').catch(() => '')))).join('\n');
}

async function everyFile(dir: string): Promise<readonly { readonly path: string; readonly text: string }[]> {
  const found: { path: string; text: string }[] = [];
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && (await stat(path)).size < 10_000_000) found.push({ path, text: await readFile(path, 'latin1') });
  }
  return found;
}
