/**
 * The Runner API on the wire: what jobpass sends and reads. Shapes only.
 * Source: GitLab Runner API, `POST /api/v4/jobs/request` and friends.
 */

import type { ArtifactFormat } from './reports.ts';

/** How a job gets to see its pass (DESIGN §1). */
export type Exposure = 'withhold' | 'variable' | 'replace';

/** The field that the 201 answer of `jobs/request` gains; nothing of it is in `variables` (DESIGN §3). */
export interface ExtendedJobToken {
  /** The full pass; there only under R7. */
  readonly token?: string;
  readonly fetch_token: string;
  /** Always `gitlab-ci-token`: the user name for HTTP Basic. */
  readonly username: string;
  /** RFC 3339. */
  readonly expires_at: string;
  readonly exposure: Exposure;
  /** Lines for the trace: why this exposure, whose rights. Never a secret. */
  readonly notes: readonly string[];
  /** The only addresses to which the runner's helpers answer. */
  readonly hosts: { readonly api: readonly string[]; readonly git: readonly string[]; readonly registry: readonly string[] };
  /** Under which caches and reused checkouts are kept apart beside project and key: trust tier and principals (R15). */
  readonly inputs_key?: string;
}

/** `info.jobpass` of a jobpass runner's requests; its request is signed (R7). */
export interface RunnerGateReport {
  /** Raw Ed25519 public key, 32 bytes base64url; its pin is set when the runner registers. */
  readonly key: string;
  /** The gate's verdict for jobs of this entry: the worst entry on the host decides. */
  readonly verdict: 'withhold' | 'expose';
  /** True where the operator overrode an unsafe verdict with `--unsafe`. */
  readonly unsafe: boolean;
  /** At most 20 findings, such as `shell executor: nothing keeps jobs of this machine apart`. */
  readonly reasons: readonly string[];
}

export interface RunnerInfo {
  readonly name?: string;
  readonly version?: string;
  readonly revision?: string;
  readonly platform?: string;
  readonly architecture?: string;
  readonly executor?: string;
  readonly shell?: string;
  readonly features?: Readonly<Record<string, boolean>>;
  readonly jobpass?: RunnerGateReport;
}

export interface JobVariable {
  readonly key: string;
  readonly value: string;
  readonly public: boolean;
  readonly masked: boolean;
  readonly raw?: boolean;
  readonly file?: boolean;
}

export interface JobStep {
  readonly name: string;
  readonly script: readonly string[];
  readonly timeout: number;
  readonly when: 'on_success' | 'always' | 'on_failure';
  readonly allow_failure: boolean;
}

export interface JobImage {
  readonly name: string;
  readonly entrypoint?: readonly string[];
  readonly pull_policy?: readonly string[];
  /** Unknown keys here fail the job at a stock runner. */
  readonly executor_opts?: {
    readonly docker?: { readonly user?: string; readonly platform?: string };
    readonly kubernetes?: { readonly user: string };
  };
}

export interface JobService extends JobImage {
  /** Several names stand in one, with spaces or commas between. */
  readonly alias?: string;
  readonly command?: readonly string[];
  readonly variables?: readonly JobVariable[];
}

export interface JobArtifact {
  readonly name: string | null;
  readonly untracked: boolean;
  readonly paths: readonly string[];
  readonly exclude: readonly string[];
  readonly when: 'on_success' | 'on_failure' | 'always';
  /** `archive`, or a type of report. */
  readonly artifact_type: string;
  readonly artifact_format: ArtifactFormat;
  readonly expire_in: string | null;
}

/** The key ends with the job's `inputs_key` already, and so does each fallback (R15). */
export interface JobCache {
  readonly key: string;
  readonly untracked: boolean;
  readonly policy: 'pull-push' | 'pull' | 'push';
  readonly paths: readonly string[];
  readonly when: 'on_success' | 'on_failure' | 'always';
  readonly fallback_keys: readonly string[];
}

/** Run on the runner's side of the job, around the fetch of its sources. */
export interface JobHook {
  readonly name: 'pre_get_sources_script';
  readonly script: readonly string[];
}

export interface JobDependency {
  readonly id: number;
  readonly token: string;
  readonly name: string;
  readonly artifacts_file?: { readonly filename: string; readonly size: number };
}

/** The 201 answer of `POST /api/v4/jobs/request`. A wrong type loses the job at a stock runner, so it is checked before it is sent. */
export interface JobPayload {
  readonly id: number;
  readonly token: string;
  readonly allow_git_fetch: boolean;
  readonly job_info: {
    readonly id: number;
    readonly name: string;
    readonly stage: string;
    readonly pipeline_id: number;
    readonly project_id: number;
    readonly project_name: string;
    readonly project_full_path: string;
    readonly namespace_id: number;
    readonly root_namespace_id: number;
    readonly user_id: number;
  };
  readonly git_info: {
    /** With `gitlab-ci-token:<job token>@` as userinfo, as GitLab sends it. */
    readonly repo_url: string;
    readonly repo_object_format: 'sha1';
    readonly ref: string;
    readonly sha: string;
    readonly before_sha: string;
    readonly ref_type: 'branch' | 'tag';
    readonly refspecs: readonly string[];
    /** 0 = the whole history. */
    readonly depth: number;
    readonly protected: boolean;
  };
  /** `timeout` in seconds. */
  readonly runner_info: { readonly timeout: number };
  readonly variables: readonly JobVariable[];
  readonly steps: readonly JobStep[];
  readonly image: JobImage | null;
  readonly services: readonly JobService[];
  readonly artifacts: readonly JobArtifact[];
  readonly cache: readonly JobCache[];
  readonly hooks?: readonly JobHook[];
  readonly credentials: readonly {
    readonly type: 'registry';
    readonly url: string;
    readonly username: string;
    readonly password: string;
  }[];
  readonly dependencies: readonly JobDependency[];
  readonly features: {
    readonly trace_sections: boolean;
    readonly token_mask_prefixes: readonly string[];
    readonly failure_reasons: readonly string[];
  };
  readonly extended_job_token?: ExtendedJobToken;
}

/** `PUT /api/v4/jobs/:id`. */
export interface JobUpdate {
  readonly state: 'pending' | 'running' | 'success' | 'failed';
  readonly failure_reason?: string;
  /** `crc32:%08x` (IEEE) of the whole trace. */
  readonly checksum?: string;
  readonly output?: { readonly checksum?: string; readonly bytesize?: number };
  readonly exit_code?: number;
}

export const failureReasons = [
  'unknown_failure',
  'script_failure',
  'runner_system_failure',
  'job_execution_timeout',
  'image_pull_failure',
  'runner_configuration_error',
  'runner_external_dependency_failure',
  'runner_interrupted',
  'job_canceled',
  'stuck_or_timeout_failure',
  'runner_unsupported',
  'trace_size_exceeded',
] as const;
export type FailureReason = (typeof failureReasons)[number];
