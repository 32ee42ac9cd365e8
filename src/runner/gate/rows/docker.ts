import { each, harmless, oneOf, risky, type Row, tables } from '../row.ts';

/** `[[runners.docker.services]]` and `[[runners.kubernetes.services]]`. */
export const serviceRows: readonly Row[] = [
  ...harmless('text', 'name alias suspend_data_path'),
  ...harmless('texts', 'command entrypoint environment'),
];

export const operatorServices = {
  reason: 'a container of the operator runs beside every job and gets its variables',
  remedy: 'Let the jobs that need a service ask for it with `services:`.',
};

export const pullAlways = each('`always`', (text) => text === 'always');

/** No `$`: gitlab-runner puts the variables of a job there, the pass too. */
export const noVariable = each('without `$`', (text) => !text.includes('$'));

/** `[runners.docker]`. A path alone is a volume of the job's own; with a colon it is a host path, a socket, or a volume shared by name. */
const ownVolume = /^(?:\/|[A-Za-z]:\\)[^:$]*$/;

export const dockerRows: readonly Row[] = [
  ...harmless('text', 'image hostname memory memory_swap memory_reservation cpuset_cpus cpuset_mems cpus user mac_address tls_cert_path'),
  ...harmless('text', 'service_memory service_memory_swap service_memory_reservation service_cpuset_cpus service_cpus'),
  ...harmless('number', 'cpu_shares oom_score_adjust service_cpu_shares services_limit wait_for_services_timeout shm_size network_mtu'),
  ...harmless('texts', 'dns dns_search cap_drop allowed_images allowed_services allowed_users'),
  ...harmless('flag', 'disable_entrypoint_overwrite oom_kill_disable disable_cache enable_ipv6 tls_verify'),
  ...harmless('map', 'tmpfs services_tmpfs ulimit'),
  ...risky('flag', 'privileged services_privileged', {
    reason: 'a privileged container is the machine',
    remedy: 'Set it to false, and build images with buildah or kaniko.',
    machine: true,
  }),
  ...risky('texts', 'allowed_privileged_images allowed_privileged_services', {
    safe: { words: 'never', holds: () => false },
    reason: 'a job may have its image run privileged',
    machine: true,
  }),
  ...risky('texts', 'cap_add', { reason: 'an added capability reaches beyond the container', machine: true }),
  ...risky('texts', 'security_opt services_security_opt', { reason: 'a security option may loosen the container', machine: true }),
  ...risky('texts', 'devices device_cgroup_rules', { reason: 'devices of the machine are shared with jobs', machine: true }),
  ...risky('text', 'gpus service_gpus', { reason: 'a device of the machine keeps memory from job to job', machine: true }),
  ...risky('map', 'services_devices', { reason: 'devices of the machine are shared with jobs', machine: true }),
  ...risky('text', 'pid_mode ipcmode userns_mode', {
    reason: 'a namespace of the machine or of another container is shared',
    machine: true,
  }),
  ...risky('text', 'network_mode', {
    safe: oneOf('none'),
    reason: 'the network is shared with the machine or with other jobs',
    remedy: 'Remove it; with gitlab-runner set the feature flag FF_NETWORK_PER_BUILD.',
    machine: true,
  }),
  ...risky('texts', 'links', { reason: 'another container is connected to every job', machine: true }),
  ...risky('texts', 'extra_hosts', { reason: 'a name leads jobs to the machine, or to a host in place of another' }),
  ...risky('texts', 'volumes', {
    safe: each('paths of the container alone, without `:` and `$`', (one) => ownVolume.test(one)),
    reason: 'a volume is a path of the machine, a socket, or shared by name with other jobs',
    remedy: 'Keep plain paths such as "/cache"; take out host paths, docker.sock and named volumes.',
    machine: true,
  }),
  ...risky('texts', 'volumes_from', { reason: 'volumes of another container are mounted', machine: true }),
  ...risky('text', 'volume_driver', { reason: 'what a volume driver shares cannot be judged' }),
  ...risky('map', 'volume_driver_ops', { reason: 'what a volume driver shares cannot be judged' }),
  ...risky('flag', 'volume_keep', { reason: 'files of a job stay behind', machine: true }),
  ...risky('text', 'cache_dir', { reason: 'a cache is shared between jobs (R15)' }),
  ...risky('text', 'runtime', { reason: 'how another runtime keeps jobs apart cannot be judged', machine: true }),
  ...risky('text', 'isolation', {
    safe: oneOf('default', 'hyperv'),
    reason: 'process isolation shares the kernel',
    remedy: 'Set it to "hyperv".',
    machine: true,
  }),
  ...risky('map', 'sysctls', { reason: 'kernel settings are changed', machine: true }),
  ...risky('texts', 'group_add', { reason: 'a group may own files or sockets of the machine', machine: true }),
  ...risky('text', 'cgroup_parent service_cgroup_parent service_slot_cgroup_template', {
    reason: 'the containers join a cgroup of the machine',
    machine: true,
  }),
  ...risky('text', 'host', {
    safe: {
      words: 'not set, `unix://…` or `npipe://…`',
      holds: (value) => value === '' || (typeof value === 'string' && /^(?:unix|npipe):\/\//.test(value)),
    },
    reason: 'a daemon that is reached over the network may serve others, who are not in this file',
    remedy: 'Run the runner beside its daemon, and name its socket.',
  }),
  ...risky('text', 'helper_image helper_image_flavor', { reason: 'an image of the operator handles every job' }),
  ...risky('words', 'pull_policy', {
    safe: pullAlways,
    reason: 'a local image is used without asking the registry who may (A34)',
    remedy: 'Set it to "always".',
    machine: true,
  }),
  ...risky('texts', 'allowed_pull_policies', {
    safe: pullAlways,
    reason: 'a job may use a local image without asking the registry (A34)',
    remedy: 'Leave only "always".',
    machine: true,
  }),
  ...risky('map', 'container_labels', {
    safe: noVariable,
    reason: 'a variable of the job, and so its pass, may end in a label',
    remedy: 'Take out the variables.',
  }),
  ...risky('map', 'log_options', { reason: 'variables of a job may be copied into the log of the daemon' }),
  tables('services', serviceRows, { unsafe: operatorServices }),
];
