import { open, readFile, rename, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { parse, stringify, TomlDate, TomlError, type TomlTable } from 'smol-toml';
import { hasCode, JobpassError } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';
import { type DockerConfig, parseDocker } from './executors/docker/config.ts';
import { parseSsh, type SshConfig } from './executors/ssh/config.ts';
import { flagIn, isTable, numberIn, type Table, tableIn, tablesIn, textIn, textsIn, timeIn, valueIn } from './parsed.ts';

/** One `[[runners]]` of gitlab-runner's config.toml, with our own `[runners.jobpass]`. */
export interface RunnerEntry {
  readonly name: string;
  readonly url: string;
  readonly token: Secret;
  /** Undefined = not known, and never. */
  readonly tokenObtainedAt: Date | undefined;
  readonly tokenExpiresAt: Date | undefined;
  readonly executor: string;
  /** Absolute. */
  readonly buildsDir: string;
  /** Jobs at once; 0 = as many as `concurrent` allows. */
  readonly limit: number;
  /** Bytes of trace; gitlab-runner counts `output_limit` in KiB. */
  readonly outputLimitBytes: number;
  /** Questions for jobs at once. */
  readonly requestConcurrency: number;
  /** Where caches are kept; absolute. */
  readonly cacheDir: string;
  /** `NAME=value` lines of `environment`: variables that a job's own may replace. */
  readonly environment: ReadonlyMap<string, string>;
  /** The operator's own lines around those of a job. */
  readonly scripts: Readonly<Record<OperatorScript, readonly string[]>>;
  /** CI_DEBUG_TRACE is not heeded. */
  readonly debugTraceDisabled: boolean;
  /** False where `[runners.custom_build_dir]` says so: then GIT_CLONE_PATH is refused. */
  readonly customBuildDir: boolean;
  /** Refusals in a row after which this entry is quiet, and for how long. */
  readonly unhealthy: { readonly requests: number; readonly quietMs: number };
  /** PEM bundle for the server's certificate. */
  readonly tlsCaFile: string | undefined;
  /** Shell of the shell executor: `bash` or `sh`; undefined = bash where there is one. */
  readonly shell: string | undefined;
  /** Ed25519 private key (PKCS#8 PEM) that signs our requests (R7); undefined in a stock gitlab-runner's file. */
  readonly keyFile: string | undefined;
  /** The operator overrides an unsafe verdict of the gate. */
  readonly unsafe: boolean;
  /** `[runners.docker]`; undefined where there is none. */
  readonly docker: DockerConfig | undefined;
  /** `[runners.ssh]` of the ssh executor. */
  readonly ssh: SshConfig | undefined;
  /** OS user of shell jobs; undefined = one of their own for each slot (when the runner is root). */
  readonly user: string | undefined;
}

export type OperatorScript = 'pre_get_sources_script' | 'post_get_sources_script' | 'pre_build_script' | 'post_build_script';

export interface RunnerConfig {
  readonly path: string;
  readonly concurrent: number;
  readonly checkIntervalSeconds: number;
  /** How long jobs may take to end once they are to be ended. */
  readonly shutdownTimeoutSeconds: number;
  readonly entries: readonly RunnerEntry[];
  /** As parsed, unknown keys and all: what the gate judges. */
  readonly raw: Table;
}

/** What `register` adds. */
export interface NewEntry {
  readonly name: string;
  readonly id: number;
  readonly url: string;
  readonly token: Secret;
  readonly tokenExpiresAt?: Date | undefined;
  readonly executor: string;
  readonly tlsCaFile?: string | undefined;
  readonly buildsDir?: string | undefined;
  readonly keyFile: string;
  readonly unsafe?: boolean | undefined;
  readonly user?: string | undefined;
  readonly docker?: Readonly<Record<string, string>> | undefined;
  readonly ssh?: Readonly<Record<string, string>> | undefined;
}

const maxConfigBytes = 1024 * 1024;

/**
 * The file as it is parsed, also one that this runner would not serve: the gate judges gitlab-runner's own.
 * @throws not_found, invalid_input, too_large
 */
export async function readRaw(path: string): Promise<Table> {
  return parseToml(await readText(path), path);
}

/** @throws not_found, invalid_input; never with a value of the file in the text */
export async function readConfig(path: string): Promise<RunnerConfig> {
  const absolute = resolve(path);
  const raw = await readRaw(absolute);
  const concurrent = Math.max(1, Math.trunc(numberIn(raw, 'concurrent') ?? 1));
  const interval = numberIn(raw, 'check_interval') ?? 0;
  return {
    path: absolute,
    concurrent,
    checkIntervalSeconds: interval > 0 ? interval : 3,
    shutdownTimeoutSeconds: positiveIn(raw, 'shutdown_timeout') ?? 30,
    entries: tablesIn(raw, 'runners').map((entry) => parseEntry(entry, dirname(absolute))),
    raw,
  };
}

function parseEntry(entry: Table, folder: string): RunnerEntry {
  const own = tableIn(entry, 'jobpass') ?? {};
  const within = (path: string): string => (isAbsolute(path) ? path : join(folder, path));
  const key = textIn(own, 'key');
  const docker = tableIn(entry, 'docker');
  const ssh = tableIn(entry, 'ssh');
  const kib = numberIn(entry, 'output_limit') ?? 0;
  return {
    name: textIn(entry, 'name') ?? '',
    url: normalUrl(textIn(entry, 'url') ?? ''),
    token: new Secret(textIn(entry, 'token') ?? ''),
    tokenObtainedAt: timeIn(entry, 'token_obtained_at'),
    tokenExpiresAt: timeIn(entry, 'token_expires_at'),
    executor: textIn(entry, 'executor') ?? '',
    buildsDir: within(textIn(entry, 'builds_dir') ?? 'builds'),
    limit: Math.max(0, Math.trunc(numberIn(entry, 'limit') ?? 0)),
    outputLimitBytes: (kib > 0 ? kib : 4096) * 1024,
    requestConcurrency: Math.min(100, Math.trunc(positiveIn(entry, 'request_concurrency') ?? 1)),
    cacheDir: within(textIn(entry, 'cache_dir') ?? textIn(entry, 'builds_dir') ?? 'builds'),
    environment: environmentIn(entry),
    scripts: {
      pre_get_sources_script: scriptIn(entry, 'pre_get_sources_script', 'pre_clone_script'),
      post_get_sources_script: scriptIn(entry, 'post_get_sources_script', 'post_clone_script'),
      pre_build_script: scriptIn(entry, 'pre_build_script'),
      post_build_script: scriptIn(entry, 'post_build_script'),
    },
    debugTraceDisabled: flagIn(entry, 'debug_trace_disabled') ?? false,
    customBuildDir: flagIn(tableIn(entry, 'custom_build_dir') ?? {}, 'enabled') ?? true,
    unhealthy: {
      requests: Math.trunc(positiveIn(entry, 'unhealthy_requests_limit') ?? 3),
      quietMs: durationMs(valueIn(entry, 'unhealthy_interval')) ?? 3_600_000,
    },
    tlsCaFile: textIn(entry, 'tls-ca-file'),
    shell: textIn(entry, 'shell'),
    keyFile: key === undefined ? undefined : within(key),
    unsafe: flagIn(own, 'unsafe') ?? false,
    docker: docker === undefined || textIn(entry, 'executor') !== 'docker' ? undefined : parseDocker(docker),
    ssh: ssh === undefined || textIn(entry, 'executor') !== 'ssh' ? undefined : parseSsh(ssh, folder),
    user: textIn(own, 'user'),
  };
}

function positiveIn(table: Table, key: string): number | undefined {
  const value = numberIn(table, key);
  return value !== undefined && value > 0 ? value : undefined;
}

/** A script of the operator's; the older name of the same key counts where the newer is not there. */
function scriptIn(entry: Table, ...keys: readonly string[]): readonly string[] {
  const text = keys.map((key) => textIn(entry, key)).find((one) => one !== undefined && one.trim() !== '');
  return text === undefined ? [] : [text];
}

function environmentIn(entry: Table): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const line of textsIn(entry, 'environment')) {
    const [, name, value] = /^([A-Za-z_]\w*)=([^]*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) throw new JobpassError('invalid_input', 'environment: each line is NAME=value.');
    found.set(name, value);
  }
  return found;
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Go's durations, such as `1h30m`; a bare number is nanoseconds there. */
function durationMs(value: unknown): number | undefined {
  if (typeof value !== 'string' || !/^(?:\d{1,9}(?:\.\d{1,9})?(?:ms|s|m|h))+$/.test(value)) return undefined;
  let total = 0;
  for (const [, amount, unit] of value.matchAll(/([\d.]+)(ms|s|m|h)/g)) total += Number(amount) * (unitMs[unit ?? ''] ?? 0);
  return total > 0 ? total : undefined;
}

/** gitlab-runner's base: without a trailing `/` or `/ci`; a path prefix stays. */
export function normalUrl(url: string): string {
  return url.replace(/\/+$/, '').replace(/\/ci$/, '');
}

/** Appends an entry, leaving the rest of the file as it stands. The file is 0600: it holds the runner's token. */
export async function appendEntry(path: string, entry: NewEntry): Promise<void> {
  const text = await readText(path).catch((error: unknown) => {
    if (error instanceof JobpassError && error.code === 'not_found') return 'concurrent = 1\ncheck_interval = 3\n';
    throw error;
  });
  parseToml(text, path);
  const table: TomlTable = {
    name: entry.name,
    id: entry.id,
    url: entry.url,
    token: entry.token.reveal(),
    ...(entry.tokenExpiresAt === undefined
      ? {}
      : { token_obtained_at: new TomlDate(new Date()), token_expires_at: new TomlDate(entry.tokenExpiresAt) }),
    executor: entry.executor,
    ...(entry.tlsCaFile === undefined ? {} : { 'tls-ca-file': entry.tlsCaFile }),
    ...(entry.buildsDir === undefined ? {} : { builds_dir: entry.buildsDir }),
    jobpass: {
      key: entry.keyFile,
      ...(entry.unsafe === true ? { unsafe: true } : {}),
      ...(entry.user === undefined ? {} : { user: entry.user }),
    },
    ...(entry.docker === undefined ? {} : { docker: { ...entry.docker } }),
    ...(entry.ssh === undefined ? {} : { ssh: { ...entry.ssh } }),
  };
  const block = stringify({ runners: [table] }).trim();
  await writeWhole(path, `${text.trimEnd()}\n\n${block}\n`);
}

/** Writes another token to the entry that has the old one, with its times. Rewrites the file, so comments go. @throws conflict where it is not there any more */
export async function replaceToken(
  path: string,
  old: Secret,
  renewed: { readonly token: Secret; readonly obtainedAt: Date; readonly expiresAt: Date | undefined },
): Promise<void> {
  const raw = parseToml(await readText(path), path);
  const entries = tablesIn(raw, 'runners');
  const at = entries.findIndex((entry) => textIn(entry, 'token') === old.reveal());
  if (at < 0) throw new JobpassError('conflict', 'The runner is not in the configuration any more; its new token is in memory only.');
  const runners = entries.map((entry, index) => {
    if (index !== at) return entry;
    const { token_expires_at: _, ...rest } = entry;
    const ends = renewed.expiresAt === undefined ? {} : { token_expires_at: new TomlDate(renewed.expiresAt) };
    return { ...rest, token: renewed.token.reveal(), token_obtained_at: new TomlDate(renewed.obtainedAt), ...ends };
  });
  await writeWhole(path, `${stringify({ ...raw, runners })}\n`);
}

/** Removes the entries with this token. Rewrites the file, so comments go. */
export async function removeEntry(path: string, token: Secret): Promise<void> {
  const raw = parseToml(await readText(path), path);
  const kept = tablesIn(raw, 'runners').filter((entry) => textIn(entry, 'token') !== token.reveal());
  await writeWhole(path, `${stringify({ ...raw, runners: kept })}\n`);
}

async function readText(path: string): Promise<string> {
  try {
    if ((await stat(path)).size > maxConfigBytes) throw new JobpassError('too_large', `${path} is larger than 1 MiB.`);
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof JobpassError) throw error;
    const missing = hasCode(error, 'ENOENT');
    throw new JobpassError(missing ? 'not_found' : 'invalid_input', `${path} ${missing ? 'does not exist' : 'cannot be read'}.`, error);
  }
}

function parseToml(text: string, path: string): Table {
  let where = '';
  try {
    const parsed: unknown = parse(text);
    if (isTable(parsed)) return parsed;
  } catch (error) {
    // The parser's message quotes the line, which may hold a token: no more than its number is passed on (R6).
    if (error instanceof TomlError) where = `: see line ${error.line}`;
  }
  throw new JobpassError('invalid_input', `${path} is not valid TOML${where}.`);
}

/** Replaces the file in one step, so that a crash leaves the old one. */
async function writeWhole(path: string, text: string): Promise<void> {
  const draft = `${path}.${process.pid}.new`;
  const file = await open(draft, 'w', 0o600);
  try {
    await file.chmod(0o600);
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
}
