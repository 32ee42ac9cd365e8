/** What the gate knows, as data. A key that stands in no table is unsafe (R13). Source: gitlab-runner's configuration reference; DESIGN R7. */
export interface KeyRule {
  /** True where the value keeps other people out. */
  readonly safe: (value: unknown) => boolean;
  /** Why not, for people. */
  readonly reason: string;
}
export type KeyRules = Readonly<Record<string, KeyRule>>;

const any: KeyRule = { safe: () => true, reason: '' };
const harmless = (...keys: readonly string[]): KeyRules => Object.fromEntries(keys.map((key) => [key, any]));
const unset = (value: unknown): boolean =>
  value === undefined || value === '' || value === false || value === 0 || (Array.isArray(value) && value.length === 0);
const onlyUnset = (reason: string, ...keys: readonly string[]): KeyRules =>
  Object.fromEntries(keys.map((key) => [key, { safe: unset, reason }]));

export const globalRules: KeyRules = {
  ...harmless('concurrent', 'check_interval', 'log_level', 'log_format', 'listen_address', 'shutdown_timeout', 'connection_max_age'),
  ...onlyUnset('interactive sessions reach into running jobs', 'session_server'),
  // Judged one by one.
  ...harmless('runners'),
};

export const entryRules: KeyRules = {
  ...harmless(
    'name',
    'id',
    'url',
    'token',
    'token_obtained_at',
    'token_expires_at',
    'limit',
    'request_concurrency',
    'strict_check_interval',
    'unhealthy_requests_limit',
    'unhealthy_interval',
    'output_limit',
    'tls-ca-file',
    'builds_dir',
    'clean_git_config',
    'debug_trace_disabled',
  ),
  ...onlyUnset('runs a script of the operator inside the job', 'pre_get_sources_script', 'pre_clone_script', 'post_get_sources_script'),
  ...onlyUnset('runs a script of the operator inside the job', 'post_clone_script', 'pre_build_script', 'post_build_script'),
  ...onlyUnset('changes the environment of every job', 'environment'),
  ...onlyUnset('a cache is shared between jobs', 'cache_dir', 'cache'),
  // Judged by their own tables below.
  ...harmless('executor', 'docker', 'jobpass'),
};

export const jobpassRules: KeyRules = {
  // `unsafe` is the operator's override; it is reported as such and never makes a verdict better.
  ...harmless('key', 'unsafe', 'user'),
};

const texts = (value: unknown): readonly string[] | undefined =>
  Array.isArray(value) && value.every((one) => typeof one === 'string') ? value : undefined;

export const dockerRules: KeyRules = {
  ...harmless(
    'image',
    'hostname',
    'memory',
    'memory_swap',
    'memory_reservation',
    'cpus',
    'cpuset_cpus',
    'cpuset_mems',
    'cpu_shares',
    'cap_drop',
    'dns',
    'dns_search',
    'shm_size',
    'service_memory',
    'service_memory_swap',
    'service_memory_reservation',
    'service_cpus',
    'service_cpuset_cpus',
    'service_cpu_shares',
    'wait_for_services_timeout',
    'allowed_images',
    'allowed_services',
    'allowed_users',
    'oom_score_adjust',
    'ulimit',
    'user',
    'tls_verify',
    'disable_cache',
    'disable_entrypoint_overwrite',
    'network_mtu',
  ),
  ...onlyUnset('a privileged container is the host', 'privileged', 'services_privileged'),
  ...onlyUnset('added capabilities reach beyond the container', 'cap_add'),
  ...onlyUnset('security options loosen the container', 'security_opt', 'services_security_opt'),
  ...onlyUnset('devices of the host are shared', 'devices', 'services_devices', 'device_cgroup_rules', 'gpus', 'service_gpus'),
  ...onlyUnset('the namespace is shared with the host or another container', 'pid_mode', 'ipcmode', 'userns_mode', 'links', 'extra_hosts'),
  ...onlyUnset('another container or driver is mounted', 'volumes_from', 'volume_driver', 'volume_driver_ops', 'volume_keep'),
  ...onlyUnset('changes how the container is kept apart', 'runtime', 'sysctls', 'group_add', 'cgroup_parent', 'isolation'),
  ...onlyUnset('a daemon on another host is not judged', 'host', 'tls_cert_path', 'credentials'),
  ...onlyUnset('an operator image handles every job', 'helper_image', 'helper_image_flavor'),
  ...onlyUnset('a cache on the host is shared between jobs', 'cache_dir'),
  ...onlyUnset('services run beside every job', 'services'),
  network_mode: {
    safe: (value) => value === undefined || value === '' || value === 'none',
    reason: 'the network is shared with the host or other containers',
  },
  volumes: {
    // A path alone is an anonymous volume; anything with a colon mounts a host path, a socket or a named volume.
    safe: (value) => texts(value)?.every((one) => /^\/[^:]*$/.test(one) && !one.includes('docker.sock')) ?? false,
    reason: 'a volume comes from the host or is shared by name',
  },
  pull_policy: {
    safe: (value) => value === 'always' || (texts(value)?.every((one) => one === 'always') ?? false),
    reason: 'a local image is used without asking the registry (A34)',
  },
  allowed_pull_policies: {
    safe: (value) => texts(value)?.every((one) => one === 'always') ?? false,
    reason: 'a job may use a local image without asking the registry (A34)',
  },
  allowed_privileged_images: { safe: () => false, reason: 'some images run privileged' },
  allowed_privileged_services: { safe: () => false, reason: 'some services run privileged' },
};

/** Executors: undefined reason = judged by its table; else why no job of it is kept apart. */
export const executorRules: Readonly<Record<string, { readonly unsafe?: string; readonly section?: string; readonly keys?: KeyRules }>> = {
  shell: { unsafe: 'no boundary between jobs of this machine' },
  ssh: { unsafe: 'the target host is shared by all jobs' },
  custom: { unsafe: 'what the driver does cannot be judged' },
  virtualbox: { unsafe: 'the reuse of machines is not judged yet' },
  parallels: { unsafe: 'the reuse of machines is not judged yet' },
  kubernetes: { unsafe: 'pods are not judged yet' },
  instance: { unsafe: 'the reuse of machines is not judged yet' },
  'docker-autoscaler': { unsafe: 'the reuse of machines is not judged yet' },
  'docker+machine': { unsafe: 'the reuse of machines is not judged yet' },
  'docker-windows': { unsafe: 'process isolation is not judged yet' },
  docker: { section: 'docker', keys: dockerRules },
};
