import { mkdir, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { isJobpassError, JobpassError } from '../base/errors.ts';
import { randomBase62, type Secret } from '../base/secret.ts';
import { RunnerClient } from './client.ts';
import { appendEntry, normalUrl, readConfig, readRaw, removeEntry, type RunnerConfig, type RunnerEntry } from './config.ts';
import { executorNames } from './executors/executor.ts';
import { parseSsh } from './executors/ssh/config.ts';
import { judge } from './gate/judge.ts';
import { createKey, loadKey, type Signer } from './identity.ts';
import { runnerInfo } from './info.ts';
import { systemId } from './system-id.ts';

export interface RegisterOptions {
  readonly url: string;
  /** The runner's own token (`glrt-…`), made on the server. */
  readonly token: Secret;
  readonly executor: string;
  readonly configPath: string;
  readonly name?: string | undefined;
  readonly buildsDir?: string | undefined;
  readonly unsafe?: boolean | undefined;
  readonly user?: string | undefined;
  /** Authority that signed the server's certificate (PEM), where the system does not know it. */
  readonly tlsCaFile?: string | undefined;
  /** Of the docker executor: the image of jobs that name none, and the engine's socket. */
  readonly docker?: { readonly image?: string | undefined; readonly host?: string | undefined } | undefined;
  /** Of the ssh executor; paths are taken from here on. */
  readonly ssh?: Readonly<Partial<Record<'host' | 'port' | 'user' | 'identity_file' | 'known_hosts_file', string | undefined>>> | undefined;
}

/**
 * Registers with a fresh key and adds the entry to config.toml.
 * @throws credential_invalid, invalid_input, upstream_failed; then nothing is left behind
 */
export async function registerRunner(options: RegisterOptions): Promise<{ readonly id: number; readonly name: string }> {
  if (!executorNames.includes(options.executor))
    throw new JobpassError('invalid_input', `there is no executor "${options.executor}"; there are: ${executorNames.join(', ')}`);
  const configPath = resolve(options.configPath);
  await mkdir(dirname(configPath), { recursive: true, mode: 0o700 });
  // Before the server pins the key: an entry that cannot be written then would leave a token that no other key may use.
  await readRaw(configPath).catch((error: unknown) => {
    if (!isJobpassError(error, 'not_found')) throw error;
  });
  const keyFile = join(dirname(configPath), `runner-${randomBase62(8)}.key`);
  const signer = await createKey(keyFile);
  const name = options.name ?? hostname();
  try {
    const { id, expiresAt } = await introduce({ ...options, configPath }, signer);
    await appendEntry(configPath, {
      name,
      id,
      url: normalUrl(options.url),
      token: options.token,
      tokenExpiresAt: expiresAt,
      executor: options.executor,
      tlsCaFile: options.tlsCaFile === undefined ? undefined : resolve(options.tlsCaFile),
      buildsDir: options.buildsDir === undefined ? undefined : resolve(options.buildsDir),
      keyFile,
      unsafe: options.unsafe,
      user: options.user,
      docker: dockerSection(options),
      ssh: sshSection(options, dirname(configPath)),
    });
    return { id, name };
  } catch (error) {
    await unlink(keyFile);
    throw error;
  }
}

/** What `register` writes for the docker executor: images are asked for anew for each job (A34). */
function dockerSection({ executor, docker }: RegisterOptions): Readonly<Record<string, string>> | undefined {
  if (executor !== 'docker') return undefined;
  const { image, host } = docker ?? {};
  return { ...(image === undefined ? {} : { image }), ...(host === undefined ? {} : { host }), pull_policy: 'always' };
}

/** What `register` writes for the ssh executor, once it is known to be whole. @throws invalid_input */
function sshSection({ executor, ssh }: RegisterOptions, folder: string): Readonly<Record<string, string>> | undefined {
  if (executor !== 'ssh') return undefined;
  const section: Record<string, string> = {};
  for (const [key, value] of Object.entries(ssh ?? {}))
    if (value !== undefined) section[key] = key.endsWith('_file') ? resolve(value) : value;
  parseSsh(section, folder);
  return section;
}

async function introduce(options: RegisterOptions, signer: Signer): ReturnType<RunnerClient['verify']> {
  const system = await systemId(options.configPath);
  const docker = dockerSection(options);
  const verdict = judge({ raw: { runners: [{ executor: options.executor, ...(docker === undefined ? {} : { docker }) }] } });
  const client = new RunnerClient({ url: options.url, token: options.token, systemId: system, signer, tlsCaFile: options.tlsCaFile });
  try {
    return await client.verify(runnerInfo(options.executor, verdict, signer.publicKey, options.unsafe === true));
  } finally {
    await client.close();
  }
}

export interface VerifyResult {
  readonly name: string;
  readonly id: number | undefined;
  /** Why not; undefined when the server knows the runner. */
  readonly problem: string | undefined;
}

/** Asks each entry's server whether it knows the runner. */
export async function verifyRunner(options: { readonly configPath: string }): Promise<readonly VerifyResult[]> {
  const config = await readConfig(options.configPath);
  const results: VerifyResult[] = [];
  for (const entry of config.entries) {
    results.push(
      await withClient(config, entry, async (client, signer) => {
        const { id } = await client.verify(runnerInfo(entry.executor, judge(config), signer?.publicKey, entry.unsafe));
        return { name: entry.name, id, problem: undefined };
      }).catch((error: unknown) => ({ name: entry.name, id: undefined, problem: error instanceof Error ? error.message : String(error) })),
    );
  }
  return results;
}

/**
 * Takes runners off their servers and out of config.toml; one that the server does not know any more is just removed.
 * @param options.name only that entry; undefined = all
 * @returns the names removed
 */
export async function unregisterRunner(options: {
  readonly configPath: string;
  readonly name?: string | undefined;
}): Promise<readonly string[]> {
  const config = await readConfig(options.configPath);
  const chosen = config.entries.filter((entry) => options.name === undefined || entry.name === options.name);
  if (chosen.length === 0) throw new JobpassError('not_found', 'There is no such runner in the configuration.');
  for (const entry of chosen) {
    await withClient(config, entry, (client) => client.unregister()).catch((error: unknown) => {
      if (!(error instanceof JobpassError && error.code === 'credential_invalid')) throw error;
    });
    await removeEntry(config.path, entry.token);
    if (entry.keyFile !== undefined) await unlink(entry.keyFile).catch(() => undefined);
  }
  return chosen.map(({ name }) => name);
}

async function withClient<Result>(
  config: RunnerConfig,
  entry: RunnerEntry,
  work: (client: RunnerClient, signer: Signer | undefined) => Promise<Result>,
): Promise<Result> {
  const signer = entry.keyFile === undefined ? undefined : await loadKey(entry.keyFile);
  const client = new RunnerClient({
    url: entry.url,
    token: entry.token,
    systemId: await systemId(config.path),
    signer,
    tlsCaFile: entry.tlsCaFile,
  });
  try {
    return await work(client, signer);
  } finally {
    await client.close();
  }
}
