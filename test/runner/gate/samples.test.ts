import { parse } from 'smol-toml';
import { expect, test } from 'vitest';
import { judge } from '../../../src/runner/gate/judge.ts';

/** Configurations as people have them: the defaults of `gitlab-runner register`, and the recipes of its documentation. */
const unsafeKeys = (toml: string): string[] =>
  judge({ raw: parse(toml) }, 'gitlab-runner')
    .findings.filter(({ safe }) => !safe)
    .map(({ key }) => key);

const header = `
concurrent = 1
check_interval = 0
connection_max_age = "15m0s"
shutdown_timeout = 0

[session_server]
  session_timeout = 1800
`;
const entry = (executor: string): string => `
[[runners]]
  name = "ci-1"
  url = "https://gitlab.example.com"
  id = 12
  token = "glrt-aaaaaaaaaaaaaaaaaaaa"
  token_obtained_at = 2026-11-20T10:11:12Z
  token_expires_at = 0001-01-01T00:00:00Z
  executor = "${executor}"
  [runners.cache]
    MaxUploadedArchiveSize = 0
    [runners.cache.s3]
    [runners.cache.gcs]
    [runners.cache.azure]
`;
const registeredDocker = `
  [runners.docker]
    tls_verify = false
    image = "ruby:3.3"
    privileged = false
    disable_entrypoint_overwrite = false
    oom_kill_disable = false
    disable_cache = false
    volumes = ["/cache"]
    shm_size = 0
    network_mtu = 0
`;

test('R7 the shell runner that register makes', () => {
  expect(unsafeKeys(header + entry('shell'))).toEqual(['runners[0].executor']);
});

test('R7 the docker runner that register makes lacks two lines, and is named with them', () => {
  expect(unsafeKeys(header + entry('docker') + registeredDocker)).toEqual([
    'runners[0].feature_flags.FF_NETWORK_PER_BUILD',
    'runners[0].docker.disable_cache',
  ]);
  const mended = registeredDocker.replace('disable_cache = false', 'disable_cache = true');
  expect(unsafeKeys(`${header}${entry('docker')}${mended}\n  [runners.feature_flags]\n    FF_NETWORK_PER_BUILD = true\n`)).toEqual([]);
});

test('R7 docker in docker, privileged, with its certificates in a volume', () => {
  const dind = registeredDocker
    .replace('privileged = false', 'privileged = true')
    .replace('["/cache"]', '["/certs/client", "/cache"]')
    .concat('    pull_policy = ["if-not-present"]\n');
  expect(unsafeKeys(header + entry('docker') + dind)).toEqual([
    'runners[0].docker.privileged',
    'runners[0].docker.pull_policy',
    'runners[0].feature_flags.FF_NETWORK_PER_BUILD',
    'runners[0].docker.disable_cache',
  ]);
});

test('R7 the socket of the daemon, mounted', () => {
  const socket = registeredDocker
    .replace('["/cache"]', '["/var/run/docker.sock:/var/run/docker.sock", "/cache"]')
    .replace('disable_cache = false', 'disable_cache = true');
  const flags = '\n  [runners.feature_flags]\n    FF_NETWORK_PER_BUILD = true\n';
  expect(unsafeKeys(header + entry('docker') + socket + flags)).toEqual(['runners[0].docker.volumes']);
});

test('R7 autoscaled machines, one job each, privileged for docker in docker; with an S3 cache', () => {
  const machine = `
  [runners.docker]
    image = "ruby:3.3"
    privileged = true
    disable_cache = true
  [runners.machine]
    IdleCount = 5
    IdleTime = 600
    MaxBuilds = 1
    MachineName = "auto-scale-%s"
    MachineDriver = "google"
    MachineOptions = ["google-project=p", "google-zone=europe-west1-b", "google-machine-type=n2d-standard-2", "google-use-internal-ip"]
    [[runners.machine.autoscaling]]
      Periods = ["* * 9-17 * * mon-fri *"]
      IdleCount = 50
      IdleTime = 3600
      Timezone = "UTC"
`;
  expect(unsafeKeys(header + entry('docker+machine') + machine)).toEqual([]);
  const reused = machine.replace('MaxBuilds = 1', 'MaxBuilds = 100').replace('"google-use-internal-ip"', '"google-use-existing"');
  expect(unsafeKeys(header + entry('docker+machine') + reused)).toEqual([
    'runners[0].machine.MaxBuilds',
    'runners[0].machine.MachineOptions',
  ]);
  const cached = entry('docker+machine').replace('[runners.cache]', '[runners.cache]\n    Type = "s3"\n    Shared = true');
  expect(unsafeKeys(header + cached + machine)).toEqual(['runners[0].cache.Type', 'runners[0].cache.Shared']);
});

test('R7 the autoscaler of today, on AWS', () => {
  const scaled = `
  [runners.docker]
    image = "busybox:latest"
  [runners.autoscaler]
    plugin = "aws:latest"
    capacity_per_instance = 1
    max_use_count = 1
    max_instances = 10
    [runners.autoscaler.plugin_config]
      name = "my-docker-asg"
      profile = "default"
      config_file = "/home/user/.aws/config"
      credentials_file = "/home/user/.aws/credentials"
    [runners.autoscaler.connector_config]
      username = "ec2-user"
      use_external_addr = true
    [[runners.autoscaler.policy]]
      idle_count = 5
      idle_time = "20m0s"
`;
  expect(unsafeKeys(header + entry('docker-autoscaler') + scaled)).toEqual([]);
  expect(unsafeKeys(header + entry('docker-autoscaler') + scaled.replace('max_use_count = 1\n', ''))).toEqual([
    'runners[0].autoscaler.max_use_count',
  ]);
  expect(unsafeKeys(header + entry('docker-autoscaler') + scaled.replace('aws:latest', 'static:latest'))).toEqual([
    'runners[0].autoscaler.plugin',
  ]);
});

test('R7 the chart for Kubernetes, as it comes and hardened', () => {
  const chart = `
  [runners.kubernetes]
    namespace = "gitlab"
    image = "alpine"
    privileged = true
    service_account = "gitlab-runner"
    cpu_request = "1"
    memory_limit = "2Gi"
    [runners.kubernetes.node_selector]
      "kubernetes.io/os" = "linux"
    [runners.kubernetes.pod_annotations]
      "cluster-autoscaler.kubernetes.io/safe-to-evict" = "false"
    [[runners.kubernetes.volumes.empty_dir]]
      name = "docker-certs"
      mount_path = "/certs/client"
      medium = "Memory"
`;
  expect(unsafeKeys(header + entry('kubernetes') + chart)).toEqual([
    'runners[0].kubernetes.privileged',
    'runners[0].kubernetes.service_account',
    'runners[0].kubernetes.pull_policy',
    'runners[0].kubernetes.automount_service_account_token',
    'runners[0].kubernetes.allow_privilege_escalation',
  ]);
  const hardened = chart
    .replace('privileged = true', 'pull_policy = "always"\n    allow_privilege_escalation = false')
    .replace('service_account = "gitlab-runner"', 'automount_service_account_token = false');
  expect(unsafeKeys(header + entry('kubernetes') + hardened)).toEqual([]);
});
