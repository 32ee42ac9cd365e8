import { each, harmless, isFalse, oneOf, risky, type Row, table, tables } from '../row.ts';
import { operatorServices, pullAlways, serviceRows } from './docker.ts';
import { policyRows } from './machines.ts';

const amounts = ['cpu', 'memory', 'ephemeral_storage'].flatMap((what) => [`${what}_limit`, `${what}_request`]);
const bounded = (prefix: string, of: readonly string[]): string =>
  of.flatMap((amount) => [`${prefix}${amount}`, `${prefix}${amount}_overwrite_max_allowed`]).join(' ');

const profileRows: readonly Row[] = [
  ...risky('text', 'type', {
    safe: oneOf('RuntimeDefault'),
    reason: 'no profile, or one that cannot be judged, confines the container',
    remedy: 'Set it to "RuntimeDefault".',
  }),
  ...risky('text', 'localhost_profile', { reason: 'a profile on the node cannot be judged' }),
];

const userRows: readonly Row[] = [
  ...harmless('number', 'run_as_group'),
  ...harmless('flag', 'run_as_non_root'),
  ...risky('number', 'run_as_user', {
    safe: { words: 'not 0', holds: (value) => value !== 0 && value !== 0n },
    reason: 'jobs are made to run as root',
    remedy: 'Remove it, or name another user.',
  }),
  ...risky('text', 'selinux_type', { reason: 'the SELinux type may unconfine the container' }),
  table('seccomp_profile', profileRows),
  table('app_armor_profile', profileRows),
];

const podContext: readonly Row[] = [...userRows, ...harmless('number', 'fs_group'), ...harmless('numbers', 'supplemental_groups')];

const containerContext: readonly Row[] = [
  ...userRows,
  ...harmless('flag', 'read_only_root_filesystem'),
  ...risky('flag', 'privileged', { reason: 'a privileged container is the node', remedy: 'Set it to false.' }),
  ...risky('flag', 'allow_privilege_escalation', {
    safe: isFalse,
    reason: 'a process may gain more rights than its parent',
    remedy: 'Set it to false.',
  }),
  ...risky('text', 'proc_mount', { safe: oneOf('default', 'Default'), reason: 'an unmasked /proc shows the node' }),
  table('capabilities', [
    ...risky('texts', 'add', { reason: 'an added capability reaches beyond the container' }),
    // A list here takes the place of gitlab-runner's own, which drops NET_RAW.
    ...risky('texts', 'drop', {
      safe: {
        words: 'with `ALL` or `NET_RAW`',
        holds: (value) => Array.isArray(value) && value.some((one) => one === 'ALL' || one === 'NET_RAW'),
      },
      reason: 'jobs can speak in the name of other pods (NET_RAW)',
      remedy: 'Add "NET_RAW" or "ALL".',
    }),
  ]),
];

const mounts = (key: string, what: string, own: readonly Row[]): Row =>
  tables(key, [...harmless('text', 'name mount_path sub_path'), ...harmless('flag', 'read_only'), ...own], {
    unsafe: { reason: `${what} is shared between jobs`, remedy: 'Take it out; an empty_dir is safe.' },
  });

const volumeRows: readonly Row[] = [
  mounts('host_path', 'a path of the node', harmless('text', 'host_path mount_propagation')),
  mounts('pvc', 'a volume claim', harmless('text', 'mount_propagation')),
  mounts('config_map', 'a config map', harmless('map', 'items')),
  mounts('secret', 'a secret', harmless('map', 'items')),
  mounts('csi', 'a CSI volume', [...harmless('text', 'driver fs_type'), ...harmless('map', 'volume_attributes')]),
  mounts('nfs', 'a network share', harmless('text', 'server path')),
  tables('empty_dir', [
    ...harmless('text', 'name mount_path sub_path medium size_limit'),
    ...risky('text', 'mount_propagation', { safe: oneOf('None'), reason: 'mounts of a job reach the node' }),
  ]),
];

const requirementRows: readonly Row[] = [...harmless('text', 'key operator'), ...harmless('texts', 'values')];
const nodeTerm: readonly Row[] = [tables('match_expressions', requirementRows), tables('match_fields', requirementRows)];
const labelRows: readonly Row[] = [...harmless('map', 'match_labels'), tables('match_expressions', requirementRows)];
const podTerm: readonly Row[] = [
  ...harmless('text', 'topology_key'),
  ...harmless('texts', 'namespaces match_label_keys mismatch_label_keys'),
  table('label_selector', labelRows),
  table('namespace_selector', labelRows),
];
const podAffinity: readonly Row[] = [
  tables('required_during_scheduling_ignored_during_execution', podTerm),
  tables('preferred_during_scheduling_ignored_during_execution', [...harmless('number', 'weight'), table('pod_affinity_term', podTerm)]),
];
const affinityRows: readonly Row[] = [
  table('node_affinity', [
    table('required_during_scheduling_ignored_during_execution', [tables('node_selector_terms', nodeTerm)]),
    tables('preferred_during_scheduling_ignored_during_execution', [...harmless('number', 'weight'), table('preference', nodeTerm)]),
  ]),
  table('pod_affinity', podAffinity),
  table('pod_anti_affinity', podAffinity),
];

const hook = { unsafe: { reason: 'a command of the operator runs in every job', remedy: 'Remove it.' } };
const lifecycleRows: readonly Row[] = [
  table('exec', harmless('texts', 'command')),
  table('http_get', [
    ...harmless('text', 'host path scheme'),
    ...harmless('number', 'port'),
    tables('http_headers', harmless('text', 'name value')),
  ]),
  table('tcp_socket', [...harmless('text', 'host'), ...harmless('number', 'port')]),
];

const patched = { reason: 'a patched pod may be anything', remedy: 'Remove it; use the keys made for the purpose.' };
/** They steer the autoscaler of nodes, and nothing inside the pod. */
const knownAnnotations = ['cluster-autoscaler.kubernetes.io/safe-to-evict', 'karpenter.sh/do-not-disrupt', 'karpenter.sh/do-not-evict'];

/** `[runners.kubernetes]`. */
export const kubernetesRows: readonly Row[] = [
  ...harmless('text', 'host context cert_file key_file ca_file bearer_token image'),
  ...harmless('text', bounded('', amounts)),
  ...harmless('text', bounded('service_', amounts)),
  ...harmless('text', bounded('helper_', amounts)),
  ...harmless('text', bounded('pod_', ['cpu_limit', 'cpu_request', 'memory_limit', 'memory_request'])),
  ...harmless('text', 'runtime_class_name scheduler_name dns_policy priority_class_name logs_base_dir scripts_base_dir'),
  ...harmless('texts', 'allowed_images allowed_services allowed_users allowed_groups cap_drop'),
  ...harmless('flag', 'namespace_per_job helper_image_autoset_arch_and_os print_pod_warning_events pod_disruption_budget'),
  ...harmless('number', 'pod_termination_grace_period_seconds cleanup_grace_period_seconds poll_interval poll_timeout'),
  ...harmless('number', 'resource_availability_check_max_attempts retry_limit retry_backoff_max'),
  ...harmless('duration', 'cleanup_resources_timeout'),
  ...harmless('map', 'retry_limits node_selector node_tolerations'),
  table('affinity', affinityRows),
  table('dns_config', [...harmless('texts', 'nameservers searches'), tables('options', harmless('text', 'name value'))]),
  table('autoscaler', [
    ...harmless('number', 'max_pause_pods'),
    ...harmless('text', 'pause_pod_image pause_pod_priority_class_name'),
    ...harmless('texts', 'pause_pod_image_pull_secrets'),
    tables('policy', policyRows),
  ]),
  ...risky('text', 'namespace', {
    safe: { words: 'not `kube-…`', holds: (value) => typeof value === 'string' && !/^\s*kube-/i.test(value) },
    reason: 'jobs run among the parts of the cluster itself',
    remedy: 'Give the jobs a namespace of their own.',
  }),
  ...risky('flag', 'privileged', { reason: 'a privileged container is the node', remedy: 'Set it to false.' }),
  ...risky('flag', 'allow_privilege_escalation', {
    safe: isFalse,
    reason: 'a process may gain more rights than its parent',
    remedy: 'Set it to false.',
  }),
  ...risky('texts', 'cap_add', { reason: 'an added capability reaches beyond the container' }),
  ...risky('flag', 'automount_service_account_token', {
    safe: isFalse,
    reason: 'a job gets a token of the cluster, which may show it other pods',
    remedy: 'Set it to false.',
  }),
  ...risky('text', 'service_account', { reason: 'jobs act as an account of the cluster' }),
  ...risky('flag', 'bearer_token_overwrite_allowed', { reason: 'a job may choose the credential for the cluster' }),
  ...risky('text', 'namespace_overwrite_allowed service_account_overwrite_allowed node_selector_overwrite_allowed', {
    reason: 'a job may choose where and as whom it runs',
  }),
  ...risky('text', 'node_tolerations_overwrite_allowed pod_labels_overwrite_allowed pod_annotations_overwrite_allowed', {
    reason: 'a job may choose where it runs, and what watches over it',
  }),
  ...risky('words', 'pull_policy', {
    safe: pullAlways,
    reason: 'a local image is used without asking the registry who may (A34)',
    remedy: 'Set it to "always".',
  }),
  ...risky('texts', 'allowed_pull_policies', {
    safe: pullAlways,
    reason: 'a job may use a local image without asking the registry (A34)',
    remedy: 'Leave only "always".',
  }),
  ...risky('texts', 'image_pull_secrets', { reason: 'a credential of the operator pulls images for every job (R8)' }),
  ...risky('flag', 'use_service_account_image_pull_secrets', { reason: 'a credential of the operator pulls images for every job (R8)' }),
  ...risky('text', 'helper_image helper_image_flavor', { reason: 'an image of the operator handles every job' }),
  ...risky('text', 'suspend_pvc_size suspend_pvc_storage_class', { reason: 'what a job leaves is kept for a later one' }),
  ...risky('map', 'pod_labels', {
    safe: each('without `$`, and no `/` in a name', (text, key) => !text.includes('$') && !key.includes('/')),
    reason: 'a label may add a container to the pod, or show a variable of the job',
  }),
  ...risky('map', 'pod_annotations', {
    safe: each('those of node autoscalers, without `$`', (text, key) => !text.includes('$') && knownAnnotations.includes(key)),
    reason: 'an annotation may unconfine a container, add one, or show a variable of the job',
  }),
  table('pod_security_context', podContext),
  table('init_permissions_container_security_context', containerContext),
  table('build_container_security_context', containerContext),
  table('helper_container_security_context', containerContext),
  table('service_container_security_context', containerContext),
  table('volumes', volumeRows),
  tables('host_aliases', [...harmless('text', 'ip'), ...harmless('texts', 'hostnames')], {
    unsafe: { reason: 'a name leads jobs to another host', remedy: 'Remove it.' },
  }),
  tables('services', serviceRows, { unsafe: operatorServices }),
  table('container_lifecycle', [table('post_start', lifecycleRows, hook), table('pre_stop', lifecycleRows, hook)]),
  tables('pod_spec', harmless('text', 'name patch_path patch patch_type'), { unsafe: patched }),
];
