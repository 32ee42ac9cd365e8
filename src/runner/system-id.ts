import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { randomBase62 } from '../base/secret.ts';

const shape = /^[sr]_[0-9a-zA-Z]{12}$/;

/** This runner manager's id, kept in `.runner_system_id` beside config.toml as gitlab-runner keeps it. */
export async function systemId(configPath: string): Promise<string> {
  const path = join(dirname(configPath), '.runner_system_id');
  const known = await readFile(path, 'utf8').catch(() => '');
  if (shape.test(known.trim())) return known.trim();
  const fresh = `r_${randomBase62(12)}`;
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeFile(path, `${fresh}\n`, { mode: 0o600 });
  return fresh;
}
