/** What a key of config.toml means for the question "may a job see its pass here?". */
export type KeyRule =
  | { readonly kind: 'harmless' }
  /** Unsafe whatever its value, unless that is empty, false or zero. */
  | { readonly kind: 'unsafe'; readonly reason: string }
  /** Unsafe for values that match. */
  | { readonly kind: 'unsafe_value'; readonly pattern: RegExp; readonly reason: string };

const harmless: KeyRule = { kind: 'harmless' };
const unsafe = (reason: string): KeyRule => ({ kind: 'unsafe', reason });
const unsafeValue = (pattern: RegExp, reason: string): KeyRule => ({ kind: 'unsafe_value', pattern, reason });

/** Executors that keep nobody out, with the reason; one that is not here and not `docker` is unknown, so unsafe. */
export const unsafeExecutors: Readonly<Record<string, string>> = {
  shell: 'no boundary between jobs: they share the machine, its processes and its files',
  ssh: 'the target machine is shared by its jobs',
  custom: 'its driver decides, and nobody can read what',
};

/** Keys of the file's top level. A key that is not listed makes the file unsafe: unknown means no (R13). */
export const topKeys: Readonly<Record<string, KeyRule>> = Object.fromEntries(
  [
    'concurrent',
    'check_interval',
    'shutdown_timeout',
    'log_level',
    'log_format',
    'sentry_dsn',
    'connection_max_age',
    'listen_address',
    'session_server',
    'runners',
  ].map((key) => [key, harmless]),
);

/** Keys of a `[[runners]]` entry. */
export const runnerKeys: Readonly<Record<string, KeyRule>> = {
  ...Object.fromEntries(
    [
      'name',
      'id',
      'url',
      'token',
      'token_obtained_at',
      'token_expires_at',
      'executor',
      'limit',
      'request_concurrency',
      'output_limit',
      'builds_dir',
      'clone_url',
      'tls-ca-file',
      'docker',
      'jobpass',
      'shell',
      'custom_build_dir',
      'feature_flags',
      'strict_check_interval',
      'unhealthy_requests_limit',
      'unhealthy_interval',
      'debug_trace_disabled',
    ].map((key) => [key, harmless]),
  ),
  environment: unsafe('environment: the same variables in every job of this runner'),
  pre_get_sources_script: unsafe("pre_get_sources_script: runs in every job, with the job's secrets in reach"),
  post_get_sources_script: unsafe("post_get_sources_script: runs in every job, with the job's secrets in reach"),
  pre_build_script: unsafe("pre_build_script: runs in every job, with the job's secrets in reach"),
  post_build_script: unsafe("post_build_script: runs in every job, with the job's secrets in reach"),
  cache_dir: unsafe('cache_dir: a folder that jobs share'),
  cache: unsafe('cache: what one job stores another restores'),
};

/** Keys of `[runners.docker]`. */
export const dockerKeys: Readonly<Record<string, KeyRule>> = {
  ...Object.fromEntries(
    [
      'image',
      'pull_policy',
      'allowed_pull_policies',
      'allowed_images',
      'allowed_services',
      'cpus',
      'cpu_shares',
      'memory',
      'memory_swap',
      'memory_reservation',
      'shm_size',
      'tls_verify',
      'disable_cache',
      'disable_entrypoint_overwrite',
      'oom_kill_disable',
      'oom_score_adjust',
      'wait_for_services_timeout',
      'dns',
      'dns_search',
      'extra_hosts',
      'hostname',
      'mac_address',
      'cap_drop',
      'user',
    ].map((key) => [key, harmless]),
  ),
  privileged: unsafe('privileged: root in the container is root on the host'),
  services_privileged: unsafe('services_privileged: a service can take the host'),
  cap_add: unsafe('cap_add: added capabilities lead out of the container'),
  devices: unsafe('devices: host devices in the container'),
  services_devices: unsafe('services_devices: host devices in a service'),
  device_cgroup_rules: unsafe('device_cgroup_rules: host devices in the container'),
  gpus: unsafe('gpus: host devices in the container'),
  service_gpus: unsafe('service_gpus: host devices in a service'),
  security_opt: unsafeValue(
    /unconfined|disable|no-new-privileges[:=]false|systempaths/i,
    'security_opt: a protection of the container is switched off',
  ),
  services_security_opt: unsafeValue(/unconfined|disable|systempaths/i, 'services_security_opt: a protection of a service is switched off'),
  volumes: unsafeValue(/^\/[^:]*:|^[a-z]:\\|docker\.sock|^\.\.?\//i, 'volumes: a folder or socket of the host in every container'),
  volumes_from: unsafe("volumes_from: another container's volumes"),
  volume_driver: unsafe('volume_driver: volumes of a driver that nobody can judge here'),
  volume_driver_ops: unsafe('volume_driver_ops: volumes of a driver that nobody can judge here'),
  cache_dir: unsafe('cache_dir: a folder that jobs share'),
  links: unsafe('links: another container of the host in reach'),
  network_mode: unsafeValue(/^(?:host|container:)/, "network_mode: the host's or another container's network"),
  pid_mode: unsafeValue(/^(?:host|container:)/, "pid_mode: the host's or another container's processes"),
  ipcmode: unsafeValue(/^(?:host|container:|shareable)/, "ipcmode: the host's or another container's memory"),
  userns_mode: unsafeValue(/^host/, "userns_mode: the host's user ids"),
  host: unsafe('host: a container daemon that this file does not describe'),
  runtime: unsafe('runtime: a container runtime that nobody can judge here'),
  sysctls: unsafe('sysctls: kernel settings'),
  group_add: unsafe('group_add: groups of the host, such as docker'),
  cgroup_parent: unsafe('cgroup_parent: a control group of the host'),
  helper_image: unsafe("helper_image: an image that sees every job's sources and credentials"),
  ulimit: harmless,
};
