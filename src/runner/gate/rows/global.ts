import { harmless, risky, type Row, table, unset } from '../row.ts';

/** The file itself; its `runners` are judged one by one. */
export const globalRows: readonly Row[] = [
  ...harmless('number', 'concurrent check_interval shutdown_timeout'),
  ...harmless('text', 'log_level log_format listen_address user'),
  ...harmless('duration', 'connection_max_age'),
  ...harmless('map', 'labels'),
  ...harmless('tables', 'runners'),
  ...risky('text', 'sentry_dsn', { reason: 'errors of jobs are sent to another host' }),
  table('session_server', [
    ...risky('text', 'listen_address advertise_address', {
      reason: 'interactive sessions reach into running jobs',
      remedy: 'Remove the addresses; `session_timeout` may stay.',
    }),
    ...harmless('number', 'session_timeout'),
  ]),
  table('machine', [
    table('shutdown_drain', [
      ...harmless('flag', 'enabled'),
      ...harmless('number', 'concurrency max_retries'),
      ...harmless('duration', 'retry_backoff'),
    ]),
  ]),
  table('experimental', [
    table('usage_logger', [
      ...harmless('flag', 'enabled'),
      ...harmless('texts', 'writers'),
      ...harmless('text', 'log_dir'),
      ...harmless('number', 'max_backup_files'),
      ...harmless('duration', 'max_rotation_age'),
      ...harmless('map', 'labels'),
      table('logrotate', [
        ...harmless('text', 'log_dir'),
        ...harmless('number', 'max_backup_files'),
        ...harmless('duration', 'max_rotation_age'),
        ...harmless('map', 'labels'),
      ]),
      table('snowplow_billing', [
        ...harmless('text', 'app_id category realm deployment_type'),
        ...harmless('map', 'metadata'),
        ...harmless('flag', 'enable_oidc skip_oidc_if_unsupported_cloud skip_runner_system_failure'),
        ...harmless('numbers', 'batch_delivery_duration_buckets'),
        ...risky('text', 'collector_uri', { safe: unset, reason: 'facts about jobs are sent to another host' }),
      ]),
    ]),
  ]),
];
