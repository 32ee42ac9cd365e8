import { parse } from 'smol-toml';

/** The smallest configuration of each executor that may expose, as gitlab-runner runs it. */
export const safeConfigs = {
  docker: `
    [[runners]]
      name = "box"
      url = "https://forge.example"
      token = "glrt-secret"
      executor = "docker"
      [runners.feature_flags]
        FF_NETWORK_PER_BUILD = true
      [runners.docker]
        image = "alpine"
        disable_cache = true`,
  'docker-windows': `
    [[runners]]
      executor = "docker-windows"
      [runners.feature_flags]
        FF_NETWORK_PER_BUILD = true
      [runners.docker]
        disable_cache = true
        isolation = "hyperv"
        volumes = ["c:\\\\cache"]`,
  'docker+machine': `
    [[runners]]
      executor = "docker+machine"
      [runners.docker]
        image = "alpine"
      [runners.machine]
        MaxBuilds = 1
        MachineDriver = "google"
        MachineName = "auto-%s"`,
  'docker-autoscaler': `
    [[runners]]
      executor = "docker-autoscaler"
      [runners.docker]
        image = "alpine"
      [runners.autoscaler]
        plugin = "aws:latest"
        max_use_count = 1`,
  instance: `
    [[runners]]
      executor = "instance"
      [runners.autoscaler]
        plugin = "googlecloud"
        capacity_per_instance = 1
        max_use_count = 1`,
  kubernetes: `
    [[runners]]
      executor = "kubernetes"
      [runners.kubernetes]
        namespace = "jobs"
        pull_policy = "always"
        automount_service_account_token = false
        allow_privilege_escalation = false`,
  virtualbox: `
    [[runners]]
      executor = "virtualbox"
      [runners.ssh]
        user = "builder"
      [runners.virtualbox]
        base_name = "base"
        disable_snapshots = true`,
  parallels: `
    [[runners]]
      executor = "parallels"
      [runners.parallels]
        base_name = "base"
        disable_snapshots = true`,
} as const;

export type SafeExecutor = keyof typeof safeConfigs;

/** A fresh copy to change. */
export function safeConfig(executor: SafeExecutor): Record<string, unknown> {
  return parse(safeConfigs[executor]);
}

/** Puts a value where the path says; `runners` is the first entry, a list of tables is entered at its first. */
export function put(config: Record<string, unknown>, path: readonly string[], value: unknown): Record<string, unknown> {
  let at = config;
  for (const part of path.slice(0, -1)) {
    const next = part in at ? at[part] : (at[part] = {});
    const inner: unknown = Array.isArray(next) ? next[0] : next;
    if (typeof inner !== 'object' || inner === null) throw new Error(`${part} is no table`);
    at = inner as Record<string, unknown>;
  }
  at[path.at(-1) ?? ''] = value;
  return config;
}
