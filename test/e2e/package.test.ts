import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { engine } from '../support/engine.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const clean = (home: string) => ({ PATH: '/usr/bin:/bin', HOME: home });
const hasNpx = existsSync('/usr/bin/npx');

/** The package as users have it: packed, installed into an empty folder, run with nothing of the developer's environment. */
describe.skipIf(!hasNpx)('the packed package, in a clean environment', () => {
  let folder: string;
  let home: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'jobpass-package-'));
    home = join(folder, 'home');
    await mkdir(home);
    // npm sets these for the scripts that it runs; here it must behave as for a user.
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_')));
    await run('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: root, env });
    const [tarball] = (await readdir(folder)).filter((file) => file.endsWith('.tgz'));
    const app = join(folder, 'app');
    await mkdir(app);
    await writeFile(join(app, 'package.json'), '{"private":true}');
    await run('npm', ['install', '--silent', '--no-audit', '--no-fund', join(folder, tarball ?? '')], { cwd: app, env });
  }, 300_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test('npx jobpass --help says what there is', () => {
    const help = execFileSync('npx', ['--no-install', 'jobpass', '--help'], {
      cwd: join(folder, 'app'),
      env: clean(home),
      encoding: 'utf8',
    });
    for (const command of ['serve', 'demo', 'runner', 'gate', 'admin', 'audit', 'token']) expect(help).toContain(command);
  }, 60_000);

  const found = engine();
  test.skipIf(found === undefined)(
    'R1 R2 R7 R8 the main job: submodule, build image, API, push, images and release with nothing but a pass, and 401 afterwards',
    async () => {
      const { stdout } = await run('npx', ['--no-install', 'jobpass', 'demo', '--json', '--engine', `unix://${found?.socketPath ?? ''}`], {
        cwd: join(folder, 'app'),
        env: clean(home),
        timeout: 240_000,
        maxBuffer: 10 * 1024 * 1024,
      });
      const report: {
        ok: boolean;
        reached: { what: string; permission: string; pass: string; as: string; decision: string }[];
        after: Record<string, number>;
        jobs: { name: string; status: string; exposure: string }[];
        release: string;
      } = JSON.parse(stdout);
      expect(report.ok).toBe(true);
      const reached = report.reached
        .filter((line) => line.decision === 'allow')
        .map((line) => `${line.permission} ${line.what} ${line.pass} ${line.as}`);
      expect(reached).toEqual(
        expect.arrayContaining([
          'code:download demo-app/app fetch alice',
          'code:download demo-libs/greeting fetch alice',
          'project:read demo-ops/settings full alice',
          'repository:read demo-ops/settings full alice',
          'code:push demo-docs/site full alice',
          'container:read demo-images/toolbox fetch alice',
          'container:read demo-images/toolbox full alice',
          'container:push demo-docs/site full alice',
          'release:write demo-app/app full alice',
        ]),
      );
      expect(report.jobs).toEqual([
        { name: 'build', status: 'success', exposure: 'withhold' },
        { name: 'variable', status: 'success', exposure: 'variable' },
        { name: 'replace', status: 'success', exposure: 'replace' },
      ]);
      expect(report.after).toMatchObject({ during: 200, after: 401, gitAfter: 401, registryAfter: 401 });
      expect(report.release).toContain('v1.0.0');
    },
    260_000,
  );
});
