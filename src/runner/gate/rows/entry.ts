import { each, harmless, isFalse, isTrue, risky, type Row, table, tables } from '../row.ts';
import { dockerRows } from './docker.ts';
import { kubernetesRows } from './kubernetes.ts';
import { autoscalerRows, customRows, instanceRows, machineRows, parallelsRows, sshRows, virtualboxRows } from './machines.ts';

/** Variables that only tell about language, time and the docker client. */
const plainVariable = /^(?:TZ|LANG|LANGUAGE|LC_ALL|DOCKER_DRIVER|DOCKER_TLS_CERTDIR|DOCKER_BUILDKIT|GIT_DEPTH)=[^$]*$/;

/** `[runners.cache]`: without a type there is no shared cache, whatever the rest says. */
const cacheRows: readonly Row[] = [
  ...risky('text', 'Type', {
    reason: 'a cache is shared between jobs of different people (R15)',
    remedy: 'Remove it; artifacts carry files from job to job.',
  }),
  ...harmless('text', 'Path'),
  ...risky('flag', 'Shared', { safe: isFalse, reason: 'a cache is shared between runners', remedy: 'Set it to false.' }),
  ...harmless('number', 'MaxUploadedArchiveSize'),
  table('s3', [
    ...harmless('text', 'ServerAddress AccessKey SecretKey SessionToken BucketName BucketLocation AuthenticationType'),
    ...harmless('text', 'ServerSideEncryption ServerSideEncryptionKeyID RoleARN UploadRoleARN'),
    ...harmless('flag', 'Insecure DualStack PathStyle Accelerate DisableAssumeRoleCredentialsCaching'),
    ...harmless('number', 'AssumeRoleMaxConcurrency'),
  ]),
  table('gcs', harmless('text', 'AccessID PrivateKey CredentialsFile BucketName UniverseDomain')),
  table('azure', harmless('text', 'AccountName AccountKey ContainerName StorageDomain')),
];

/** `[runners.feature_flags]`, set here so that no job sets them. */
const featureFlags: readonly Row[] = [
  ...risky('flag', 'FF_NETWORK_PER_BUILD', {
    safe: isTrue,
    reason: 'jobs share a network, on which one can act as another (A29)',
    remedy: 'Set it to true.',
    machine: true,
  }),
  ...risky('flag', 'FF_MASK_ALL_DEFAULT_TOKENS', {
    safe: isTrue,
    reason: 'tokens in a trace are masked no more',
    remedy: 'Set it to true.',
  }),
  ...risky('flag', 'FF_USE_ADVANCED_POD_SPEC_CONFIGURATION', { safe: isFalse, reason: 'a patched pod may be anything' }),
  ...risky('flag', 'FF_SUSPENDABLE_ENVIRONMENTS', { safe: isFalse, reason: 'what a job leaves is kept for a later one' }),
  ...risky('flag', 'FF_SCRIPT_TO_STEP_MIGRATION FF_CONCRETE', {
    safe: isFalse,
    reason: 'another program runs the scripts, which is not judged yet',
  }),
  ...risky('flag', 'FF_USE_JOB_ROUTER', { safe: isFalse, reason: 'jobs, and their passes, come through another service' }),
  ...risky('flag', 'FF_USE_LEGACY_BASH_EVAL', { safe: isFalse, reason: 'a canceled job may print its script, with its variables' }),
  ...harmless('flag', 'FF_USE_LEGACY_KUBERNETES_EXECUTION_STRATEGY FF_USE_DIRECT_DOWNLOAD FF_USE_FASTZIP'),
  ...harmless('flag', 'FF_DISABLE_UMASK_FOR_DOCKER_EXECUTOR FF_ENABLE_BASH_EXIT_CODE_CHECK FF_USE_WINDOWS_LEGACY_PROCESS_STRATEGY'),
  ...harmless('flag', 'FF_USE_NEW_BASH_EVAL_STRATEGY FF_USE_POWERSHELL_PATH_RESOLVER FF_USE_DYNAMIC_TRACE_FORCE_SEND_INTERVAL'),
  ...harmless('flag', 'FF_SCRIPT_SECTIONS FF_ENABLE_JOB_CLEANUP FF_KUBERNETES_HONOR_ENTRYPOINT FF_POSIXLY_CORRECT_ESCAPES'),
  ...harmless('flag', 'FF_RESOLVE_FULL_TLS_CHAIN FF_DISABLE_POWERSHELL_STDIN FF_USE_POD_ACTIVE_DEADLINE_SECONDS'),
  ...harmless('flag', 'FF_SECRET_RESOLVING_FAILS_IF_MISSING FF_PRINT_POD_EVENTS FF_USE_GIT_BUNDLE_URIS FF_USE_GIT_NATIVE_CLONE'),
  ...harmless('flag', 'FF_USE_DUMB_INIT_WITH_KUBERNETES_EXECUTOR FF_USE_INIT_WITH_DOCKER_EXECUTOR FF_LOG_IMAGES_CONFIGURED_FOR_JOB'),
  ...harmless('flag', 'FF_USE_DOCKER_AUTOSCALER_DIAL_STDIO FF_CLEAN_UP_FAILED_CACHE_EXTRACT FF_USE_WINDOWS_JOB_OBJECT FF_TIMESTAMPS'),
  ...harmless('flag', 'FF_DISABLE_AUTOMATIC_TOKEN_ROTATION FF_USE_LEGACY_GCS_CACHE_ADAPTER FF_USE_LEGACY_S3_CACHE_ADAPTER'),
  ...harmless('flag', 'FF_DISABLE_UMASK_FOR_KUBERNETES_EXECUTOR FF_GIT_URLS_WITHOUT_TOKENS FF_WAIT_FOR_POD_TO_BE_REACHABLE'),
  ...harmless('flag', 'FF_EXPORT_HIGH_CARDINALITY_METRICS FF_USE_FLEETING_ACQUIRE_HEARTBEATS FF_USE_EXPONENTIAL_BACKOFF_STAGE_RETRY'),
  ...harmless('flag', 'FF_USE_ADAPTIVE_REQUEST_CONCURRENCY FF_USE_GITALY_CORRELATION_ID FF_USE_GIT_PROACTIVE_AUTH FF_HASH_CACHE_KEYS'),
  ...harmless('flag', 'FF_ENABLE_JOB_INPUTS_INTERPOLATION FF_USE_PARALLEL_CACHE_TRANSFER FF_USE_PARALLEL_ARTIFACT_TRANSFER'),
  ...harmless('flag', 'FF_USE_NATIVE_CONTAINER_STOP'),
];

/** `[runners.jobpass]`: ours. `unsafe` is the operator's override; it never makes a verdict better. */
const jobpassRows: readonly Row[] = [...harmless('text', 'key user'), ...harmless('flag', 'unsafe')];

/** One `[[runners]]`. Sections of other executors are judged as well: the executor may change. */
export const entryRows: readonly Row[] = [
  ...harmless('text', 'name url token executor shell builds_dir tls-ca-file tls-cert-file tls-key-file'),
  ...harmless('number', 'id limit output_limit request_concurrency unhealthy_requests_limit job_status_final_update_retry_limit'),
  ...harmless('time', 'token_obtained_at token_expires_at'),
  ...harmless('flag', 'strict_check_interval debug_trace_disabled safe_directory_checkout clean_git_config'),
  ...harmless('duration', 'unhealthy_interval prepare_timeout get_sources_timeout'),
  ...harmless('map', 'labels'),
  ...risky('text', 'pre_get_sources_script post_get_sources_script pre_clone_script post_clone_script pre_build_script post_build_script', {
    reason: 'a script of the operator runs inside every job',
  }),
  ...risky('texts', 'environment', {
    safe: each('`TZ`, `LANG`, `LANGUAGE`, `LC_ALL`, `DOCKER_DRIVER`, `DOCKER_TLS_CERTDIR`, `DOCKER_BUILDKIT`, `GIT_DEPTH` alone', (one) =>
      plainVariable.test(one),
    ),
    reason: 'a variable may change what every job runs, and where it sends its pass',
    remedy: 'Leave it to the variables of the projects that need it.',
  }),
  ...risky('text', 'cache_dir', { reason: 'a cache on the machine is shared between jobs (R15)' }),
  ...risky('text', 'clone_url', {
    safe: { words: 'not set, or `https://…`', holds: (value) => value === '' || (typeof value === 'string' && /^https:\/\//i.test(value)) },
    reason: 'credentials travel unencrypted (R16)',
    remedy: 'Use https.',
  }),
  ...risky('flag', 'proxy_exec', { safe: isFalse, reason: 'another program runs the scripts, which is not judged yet' }),
  ...risky('flag', 'use_slot_cgroups', { safe: isFalse, reason: 'the containers join a cgroup of the machine', machine: true }),
  ...risky('text', 'slot_cgroup_template', { reason: 'the containers join a cgroup of the machine', machine: true }),
  ...risky('text', 'step_runner_image', { reason: 'an image of the operator handles every job' }),
  table('custom_build_dir', harmless('flag', 'enabled')),
  table('cache', cacheRows),
  table('artifact', harmless('duration', 'upload_timeout response_header_timeout')),
  table('feature_flags', featureFlags, { exact: true }),
  table('referees', [
    table('metrics', [...harmless('text', 'prometheus_address'), ...harmless('number', 'query_interval'), ...harmless('texts', 'queries')]),
  ]),
  table('monitoring', [
    tables('job_queuing_durations', [
      ...harmless('texts', 'periods'),
      ...harmless('text', 'timezone jobs_running_for_project'),
      ...harmless('duration', 'threshold'),
    ]),
  ]),
  table('experimental', [
    table('boot_verify', [...harmless('flag', 'enabled'), ...harmless('duration', 'timeout acquire_min_backoff acquire_max_backoff')]),
  ]),
  table('docker', dockerRows),
  table('machine', machineRows),
  table('autoscaler', autoscalerRows),
  table('instance', instanceRows),
  table('kubernetes', kubernetesRows),
  table('virtualbox', virtualboxRows),
  table('parallels', parallelsRows),
  table('ssh', sshRows),
  table('custom', customRows),
  table('jobpass', jobpassRows),
];
