import { each, harmless, isFalse, isTrue, risky, type Row, table, tables } from '../row.ts';

const once = (words: string) => ({ words, holds: (value: unknown) => value === 1 });

/** `[[runners.autoscaler.policy]]`, also of the kubernetes executor. */
export const policyRows: readonly Row[] = [
  ...harmless('texts', 'periods'),
  ...harmless('text', 'timezone'),
  ...harmless('number', 'idle_count scale_factor scale_factor_limit'),
  ...harmless('duration', 'idle_time'),
  ...harmless('flag', 'preemptive_mode'),
];

const connectorRows: readonly Row[] = [
  ...harmless('text', 'os arch protocol username password key_path'),
  ...harmless('number', 'protocol_port'),
  ...harmless('flag', 'use_static_credentials use_external_addr'),
  ...harmless('duration', 'keepalive timeout'),
];

/** They make and delete instances; the static plugin, for one, hands out the same hosts again. */
const knownPlugin = /^(?:fleeting-plugin-|registry\.gitlab\.com\/gitlab-org\/fleeting\/plugins\/)?(?:aws|googlecloud|azure)(?::[\w.-]+)?$/;

/** `[runners.autoscaler]`, for docker-autoscaler and instance. */
export const autoscalerRows: readonly Row[] = [
  ...harmless('number', 'max_instances failure_threshold shutdown_deletion_retries'),
  ...harmless('duration', 'instance_acquire_timeout update_interval update_interval_when_expecting'),
  ...harmless('duration', 'deletion_retry_interval shutdown_deletion_interval'),
  ...harmless('flag', 'reservation_throttling log_internal_ip log_external_ip delete_instances_on_shutdown'),
  ...harmless('numbers', 'instance_operation_time_buckets instance_creation_time_buckets instance_is_running_time_buckets'),
  ...harmless('numbers', 'instance_deletion_time_buckets instance_readiness_time_buckets instance_life_duration_buckets'),
  ...harmless('text', 'instance_ready_command'),
  ...risky('number', 'capacity_per_instance', {
    safe: once('not set, or `1`'),
    reason: 'several jobs share an instance',
    remedy: 'Set it to 1.',
  }),
  ...risky('number', 'max_use_count', {
    safe: once('`1`'),
    reason: 'an instance is used again for another job',
    remedy: 'Set it to 1.',
  }),
  ...risky('text', 'plugin', {
    safe: each('`aws`, `googlecloud` or `azure`, in any version', (text) => knownPlugin.test(text)),
    reason: 'whether this plugin gives fresh instances cannot be judged',
    remedy: 'Use a plugin of a cloud that makes and deletes instances.',
  }),
  table(
    'plugin_config',
    harmless('text', 'name project zone region profile config_file credentials_file subscription_id resource_group_name'),
    { exact: true },
  ),
  table('connector_config', connectorRows),
  tables('policy', policyRows),
  table('scale_throttle', harmless('number', 'limit burst')),
  table('state_storage', [
    ...risky('flag', 'enabled keep_instance_with_acquisitions', { reason: 'an instance may be used again after a restart' }),
    ...harmless('text', 'dir'),
  ]),
  table('vm_isolation', [
    ...harmless('flag', 'enabled'),
    ...harmless('text', 'nesting_host image'),
    ...harmless('map', 'nesting_config'),
    table('connector_config', connectorRows),
  ]),
];

/** `[runners.instance]`. */
export const instanceRows: readonly Row[] = [
  ...harmless('texts', 'allowed_images'),
  ...risky('flag', 'use_common_build_dir', { reason: 'all jobs share a build directory' }),
];

const knownDrivers = ['amazonec2', 'azure', 'digitalocean', 'exoscale', 'google', 'hetzner', 'linode', 'openstack', 'vmwarevsphere'];
const knownOption =
  /^(?:[a-z0-9]+-)(?:access-key|ami|boot2docker-url|cpu-count|disk-size|disk-type|flavor-name|image|image-name|instance-type|machine-image|machine-type|memory-size|monitoring|network|net-name|private-address-only|private-networking|project|region|request-spot-instance|root-size|secret-key|security-group|size|spot-price|ssh-user|subnet-id|subnetwork|tags|use-internal-ip|use-internal-ip-only|use-private-address|volume-type|vpc-id|zone)(?:=|$)/;

/** `[runners.machine]`. Keys without a name in its TOML are those of gitlab-runner's own fields. */
export const machineRows: readonly Row[] = [
  ...harmless(
    'number',
    'MaxGrowthRate IdleCount IdleScaleFactor IdleCountMin IdleTime MaxRemovalAttempts OffPeakIdleCount OffPeakIdleTime',
  ),
  ...harmless('texts', 'OffPeakPeriods'),
  ...harmless('text', 'OffPeakTimezone'),
  ...risky('number', 'MaxBuilds', { safe: once('`1`'), reason: 'a machine is used again for another job', remedy: 'Set it to 1.' }),
  ...risky('text', 'MachineDriver', {
    safe: each('a cloud: '.concat(knownDrivers.map((driver) => `\`${driver}\``).join(', ')), (text) => knownDrivers.includes(text)),
    reason: 'whether this driver gives fresh machines cannot be judged',
    remedy: 'Use the driver of a cloud.',
  }),
  ...risky('text', 'MachineName', {
    safe: each('with `%s`', (text) => text.includes('%s')),
    reason: 'machines have one name, so one may be another',
    remedy: 'Put %s into the name.',
  }),
  ...risky('texts', 'MachineOptions MachineOptionsWithName', {
    safe: each('size, image, network and place of the machine', (text) => knownOption.test(text)),
    reason: 'an option may take an existing machine or open its daemon',
    remedy: 'Leave out `use-existing`, `engine-…` and what else is not about size, image, network and place.',
  }),
  tables('autoscaling', [
    ...harmless('texts', 'Periods'),
    ...harmless('text', 'Timezone'),
    ...harmless('number', 'IdleCount IdleScaleFactor IdleCountMin IdleTime'),
  ]),
];

const exactImage = each('names in full, as `^name$`', (text) => /^\^[\w -]+\$$/.test(text));
const images = risky('texts', 'allowed_images', {
  safe: exactImage,
  reason: 'a job may start any machine that the pattern happens to match',
  remedy: 'Write each name in full, as "^name$".',
});
const snapshots = risky('flag', 'disable_snapshots', {
  safe: isTrue,
  reason: 'a machine is used again for another job',
  remedy: 'Set it to true.',
});

/** `[runners.virtualbox]`. */
export const virtualboxRows: readonly Row[] = [
  ...harmless('text', 'base_name base_snapshot base_folder start_type'),
  ...snapshots,
  ...images,
];

/** `[runners.parallels]`. */
export const parallelsRows: readonly Row[] = [...harmless('text', 'base_name template_name time_server'), ...snapshots, ...images];

/** `[runners.ssh]`, for ssh and for the machines of virtualbox and parallels. */
export const sshRows: readonly Row[] = [
  ...harmless('text', 'user password host port identity_file known_hosts_file'),
  ...risky('flag', 'disable_strict_host_key_checking', {
    safe: isFalse,
    reason: 'another host may answer in place of the right one',
    remedy: 'Set it to false.',
  }),
];

/** `[runners.custom]`. */
export const customRows: readonly Row[] = [
  ...harmless('texts', 'config_args prepare_args run_args cleanup_args'),
  ...harmless('number', 'config_exec_timeout prepare_exec_timeout cleanup_exec_timeout graceful_kill_timeout force_kill_timeout'),
  ...risky('text', 'config_exec prepare_exec run_exec cleanup_exec', {
    reason: 'a program of the operator decides what a job can reach',
    remedy: 'Use an executor that the gate can judge.',
  }),
];
