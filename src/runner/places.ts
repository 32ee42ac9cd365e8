import { chmod, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hash } from 'node:crypto';
import type { Secret } from '../base/secret.ts';

/** The runner's own folders below builds_dir; no job's user can enter them. */
export type PrivateKind = 'mirrors' | 'traces' | 'jobs' | 'slots' | 'staging' | 'home' | 'cache' | 'ssh';

/** `<builds_dir>/.jobpass/<kind>`, made where it is missing, mode 0700. */
export async function privateDir(buildsDir: string, kind: PrivateKind): Promise<string> {
  const own = join(buildsDir, '.jobpass');
  // Jobs' own users pass through builds_dir; what is the runner's own below it stays closed.
  await mkdir(dirname(own), { recursive: true, mode: 0o711 });
  await mkdir(join(own, kind), { recursive: true, mode: 0o700 });
  await chmod(own, 0o700);
  return join(own, kind);
}

/** Names a runner's folder without giving its token away: gitlab-runner uses the token's own first characters, we use its hash. */
export function shortToken(token: Secret): string {
  return hash('sha256', `builds:${token.reveal()}`, 'base64url').slice(0, 9).replaceAll(/[_-]/g, 'x');
}
