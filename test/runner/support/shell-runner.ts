import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog } from '../../../src/base/log.ts';
import { Secret } from '../../../src/base/secret.ts';
import { type RunnerHandle, startRunner } from '../../../src/runner/loop.ts';
import { registerRunner } from '../../../src/runner/register.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

/** A server, a runner of ours beside it, and a project that a maintainer works in. */
export interface ShellRunner {
  readonly server: TestServer;
  /** For whatever a test leaves lying; users that jobs run as may look through it. */
  readonly dir: string;
  readonly alice: { readonly id: number; readonly token: string };
  readonly app: number;
  readonly handle: RunnerHandle;
  close(): Promise<void>;
}

/** Starts them in this process: jobs run in a shell of this machine. */
export async function startShellRunner(): Promise<ShellRunner> {
  const dir = await mkdtemp(join(tmpdir(), 'jobpass-runner-'));
  await chmod(dir, 0o711);
  const server = await startTestServer();
  const alice = await server.user('alice');
  const app = await server.project('team/app');
  await server.member(app, alice.id, 40);
  const { token } = await server.runner();
  const configPath = join(dir, 'config.toml');
  const buildsDir = join(dir, 'builds');
  await registerRunner({ url: server.url, token: new Secret(token), executor: 'shell', configPath, name: 'shell', buildsDir });
  const handle = await startRunner({ configPath, log: silentLog, traceIntervalMs: 20 });
  return {
    server,
    dir,
    alice,
    app,
    handle,
    async close() {
      await handle.stop();
      await server.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
