import { JobpassError } from '../../../base/errors.ts';
import { flagIn, numberIn, type Table, textIn, textsIn, valueIn } from '../../parsed.ts';

export type PullPolicy = 'always' | 'if-not-present' | 'never';

/** `[runners.docker]` of gitlab-runner's config.toml, as far as this runner goes. */
export interface DockerConfig {
  /** Path of the engine's unix socket. */
  readonly socketPath: string;
  readonly image: string | undefined;
  readonly allowedImages: readonly string[];
  readonly allowedServices: readonly string[];
  readonly allowedUsers: readonly string[];
  readonly pullPolicy: readonly PullPolicy[];
  readonly allowedPullPolicies: readonly PullPolicy[];
  /** Of every job; undefined = who the job names, else the image's own. */
  readonly user: string | undefined;
  /** What root of a container has not. */
  readonly capDrop: readonly string[];
  readonly entrypointFixed: boolean;
  readonly networkMode: string | undefined;
  readonly volumes: readonly string[];
  readonly serviceWaitMs: number;
  /** Parts of the engine's HostConfig for the build container, and for services. */
  readonly build: Readonly<Record<string, unknown>>;
  readonly services: Readonly<Record<string, unknown>>;
}

const known = new Set(
  `image host allowed_images allowed_services allowed_users pull_policy allowed_pull_policies user disable_entrypoint_overwrite network_mode volumes
  wait_for_services_timeout privileged services_privileged cap_add cap_drop security_opt services_security_opt memory memory_swap memory_reservation
  cpus cpuset_cpus cpu_shares shm_size service_memory service_memory_swap service_memory_reservation service_cpus service_cpuset_cpus service_cpu_shares
  extra_hosts dns dns_search runtime disable_cache tls_verify`.split(/\s+/),
);

function isUnset(value: unknown): boolean {
  return value === false || value === 0 || value === '' || (Array.isArray(value) && value.length === 0);
}

const defaultSocket = '/var/run/docker.sock';

/** @throws invalid_input for a key that this runner would not heed: what an operator wrote is never silently left out */
export function parseDocker(table: Table): DockerConfig {
  // What `gitlab-runner register` writes for keys that are not set says nothing.
  for (const [key, value] of Object.entries(table))
    if (!known.has(key) && !isUnset(value))
      throw new JobpassError('invalid_input', `[runners.docker] ${key}: this runner does not have that; take it out.`);
  const policies = (key: string): readonly PullPolicy[] => {
    const value = valueIn(table, key);
    const texts = typeof value === 'string' ? [value] : textsIn(table, key);
    return texts.map((text) => policyOf(text) ?? wrong(key, 'is of always, if-not-present and never'));
  };
  const pullPolicy = policies('pull_policy');
  const own = pullPolicy.length === 0 ? (['always'] as const) : pullPolicy;
  const allowed = policies('allowed_pull_policies');
  return {
    socketPath: socketOf(textIn(table, 'host')),
    image: textIn(table, 'image'),
    allowedImages: textsIn(table, 'allowed_images'),
    allowedServices: textsIn(table, 'allowed_services'),
    allowedUsers: textsIn(table, 'allowed_users'),
    pullPolicy: own,
    allowedPullPolicies: allowed.length === 0 ? own : allowed,
    user: textIn(table, 'user'),
    capDrop: textsIn(table, 'cap_drop'),
    entrypointFixed: flagIn(table, 'disable_entrypoint_overwrite') ?? false,
    networkMode: textIn(table, 'network_mode') === '' ? undefined : textIn(table, 'network_mode'),
    volumes: textsIn(table, 'volumes'),
    serviceWaitMs: (numberIn(table, 'wait_for_services_timeout') ?? 30) * 1000,
    build: {
      ...shared(table),
      ...limits(table, ''),
      Privileged: flagIn(table, 'privileged') ?? false,
      SecurityOpt: textsIn(table, 'security_opt'),
    },
    services: {
      ...shared(table),
      ...limits(table, 'service_'),
      Privileged: flagIn(table, 'services_privileged') ?? flagIn(table, 'privileged') ?? false,
      SecurityOpt: textsIn(table, 'services_security_opt'),
    },
  };
}

export function policyOf(text: string): PullPolicy | undefined {
  return text === 'always' || text === 'if-not-present' || text === 'never' ? text : undefined;
}

function socketOf(host: string | undefined): string {
  const text = host ?? process.env['DOCKER_HOST'] ?? '';
  if (text === '') return defaultSocket;
  if (text.startsWith('unix://')) return text.slice('unix://'.length);
  return wrong('host', 'must be unix:///path/of/the.sock: engines of other machines are not served');
}

function shared(table: Table): Record<string, unknown> {
  return {
    CapAdd: textsIn(table, 'cap_add'),
    CapDrop: textsIn(table, 'cap_drop'),
    ExtraHosts: textsIn(table, 'extra_hosts'),
    Dns: textsIn(table, 'dns'),
    DnsSearch: textsIn(table, 'dns_search'),
    ...(textIn(table, 'runtime') === undefined ? {} : { Runtime: textIn(table, 'runtime') }),
    ...(numberIn(table, 'shm_size') === undefined ? {} : { ShmSize: numberIn(table, 'shm_size') }),
  };
}

function limits(table: Table, prefix: '' | 'service_'): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const [key, name] of [
    ['memory', 'Memory'],
    ['memory_swap', 'MemorySwap'],
    ['memory_reservation', 'MemoryReservation'],
  ] as const) {
    const text = textIn(table, `${prefix}${key}`);
    if (text !== undefined && text !== '') found[name] = bytesOf(text) ?? wrong(`${prefix}${key}`, 'is a size such as 512m');
  }
  const cpus = textIn(table, `${prefix}cpus`);
  if (cpus !== undefined && cpus !== '') {
    if (!/^\d{1,4}(?:\.\d{1,9})?$/.test(cpus)) wrong(`${prefix}cpus`, 'is a number such as "1.5"');
    found['NanoCpus'] = Math.round(Number(cpus) * 1e9);
  }
  const set = textIn(table, `${prefix}cpuset_cpus`);
  if (set !== undefined && set !== '') found['CpusetCpus'] = set;
  const shares = numberIn(table, `${prefix}cpu_shares`);
  if (shares !== undefined && shares > 0) found['CpuShares'] = shares;
  return found;
}

/** docker's sizes: a number with `b`, `k`, `m` or `g`. */
export function bytesOf(text: string): number | undefined {
  const match = /^(\d{1,12})([bkmg]?)b?$/i.exec(text.trim());
  if (match === null) return text === '-1' ? -1 : undefined;
  const factor = { '': 1, b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 }[(match[2] ?? '').toLowerCase()] ?? 1;
  return Number(match[1]) * factor;
}

function wrong(key: string, what: string): never {
  throw new JobpassError('invalid_input', `[runners.docker] ${key} ${what}.`);
}
