import { spawnSync } from 'node:child_process';

/** The container engine that tests use: `DOCKER_HOST`, or docker's own socket. @returns undefined where none answers */
export function engine(): { readonly socketPath: string } | undefined {
  const host = process.env['DOCKER_HOST'] ?? 'unix:///var/run/docker.sock';
  if (!host.startsWith('unix://')) return undefined;
  return spawnSync('docker', ['version'], { stdio: 'ignore' }).status === 0 ? { socketPath: host.slice('unix://'.length) } : undefined;
}
