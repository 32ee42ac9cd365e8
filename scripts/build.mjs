// Makes dist/ for the package: plain JavaScript by tsc, plus the files that it reads at run time.
import { spawnSync } from 'node:child_process';
import { cpSync, readdirSync, rmSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
rmSync(join(root, 'dist'), { recursive: true, force: true });
// Types are what `npm run typecheck` looks at: they change nothing in what is written here.
const tsc = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json', '--noCheck'], {
  cwd: root,
  stdio: 'inherit',
});
if (tsc.status !== 0) process.exit(tsc.status ?? 1);
for (const file of readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })) {
  if (!file.isFile() || extname(file.name) === '.ts') continue;
  const from = join(file.parentPath, file.name);
  cpSync(from, from.replace(join(root, 'src'), join(root, 'dist')));
}
