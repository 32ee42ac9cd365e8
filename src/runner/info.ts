import type { RunnerInfo } from '../wire/runner.ts';
import type { Judgement } from './gate/judge.ts';

// All 31 are always sent; a server drops a job whose needed flag is missing (runner-protocol §2).
const features: Readonly<Record<string, boolean>> = {
  variables: true,
  image: false,
  services: false,
  artifacts: true,
  cache: true,
  fallback_cache_keys: true,
  shared: true,
  upload_multiple_artifacts: true,
  upload_raw_artifacts: true,
  session: false,
  terminal: false,
  refspecs: true,
  masking: true,
  proxy: false,
  raw_variables: true,
  artifacts_exclude: true,
  multi_build_steps: true,
  trace_reset: true,
  trace_checksum: true,
  trace_size: true,
  vault_secrets: true,
  cancelable: true,
  return_exit_code: true,
  service_variables: false,
  service_multiple_aliases: false,
  image_executor_opts: false,
  service_executor_opts: false,
  cancel_gracefully: true,
  native_steps_integration: false,
  two_phase_job_commit: true,
  job_inputs: true,
};

/** What only executors with containers have. */
const containerFeatures: Readonly<Record<string, boolean>> = {
  image: true,
  services: true,
  shared: false,
  service_variables: true,
  service_multiple_aliases: true,
  image_executor_opts: true,
  service_executor_opts: true,
};

export const runnerVersion = '0.1.0';

/**
 * What the runner says of itself with every request.
 * @param key its public key; without one there is nothing to report for R7
 * @param unsafe the operator overrides the gate
 */
export function runnerInfo(executor: string, verdict: Judgement, key: string | undefined, unsafe: boolean): RunnerInfo {
  const overridden = verdict.verdict === 'withhold' && unsafe;
  return {
    name: 'jobpass-runner',
    version: runnerVersion,
    platform: process.platform,
    architecture: process.arch,
    executor,
    shell: 'bash',
    features: executor === 'docker' ? { ...features, ...containerFeatures } : features,
    ...(key === undefined
      ? {}
      : {
          jobpass: {
            key,
            verdict: overridden ? 'expose' : verdict.verdict,
            unsafe: overridden,
            reasons: verdict.findings
              .filter(({ safe }) => !safe)
              .slice(0, 20)
              .map(({ reason }) => reason.slice(0, 200)),
          },
        }),
  };
}
