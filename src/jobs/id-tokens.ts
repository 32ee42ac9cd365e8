import { randomUUID } from 'node:crypto';
import { limits } from '../base/limits.ts';
import type { EpochMillis } from '../base/ids.ts';
import type { Secret } from '../base/secret.ts';
import type { Principals } from '../pass/principals.ts';
import { expander } from '../pipeline/variables.ts';
import type { PlanJob } from '../pipeline/plan.ts';
import type { ProjectFacts, UserFacts } from '../ports/directory.ts';
import type { IdTokenSigner } from '../ports/id-tokens.ts';
import type { JobRecord, PipelineRecord } from '../ports/jobs.ts';
import type { RunnerRecord } from '../ports/runners.ts';
import type { JobVariable } from '../wire/runner.ts';
import type { InstanceSettings } from './deps.ts';
import { emailOf } from './predefined.ts';

/** What an ID token says of its job. */
export interface IdTokenFacts {
  readonly instance: InstanceSettings;
  readonly project: ProjectFacts;
  readonly pipeline: PipelineRecord;
  readonly job: JobRecord;
  readonly user: UserFacts;
  readonly runner: Pick<RunnerRecord, 'id'>;
  readonly principals: Principals;
  readonly protected: boolean;
  readonly environment: string | undefined;
  readonly plan: Pick<PlanJob, 'idTokens'>;
}

/**
 * The tokens of `id_tokens`, by the name of their variable. Whoever holds one is believed by others until it ends, as nobody can take it back: at the job's
 * timeout, and an hour at most (R5).
 * @param variables that an audience may name
 * @see GitLab CI/CD, "OpenID Connect (OIDC) authentication using ID tokens"
 */
export async function idTokensOf(
  signer: IdTokenSigner,
  facts: IdTokenFacts,
  variables: readonly JobVariable[],
  now: EpochMillis,
): Promise<ReadonlyMap<string, Secret>> {
  const { text } = expander(new Map(), new Map(variables.map(({ key, value }) => [key, value])));
  const tokens = new Map<string, Secret>();
  for (const [name, written] of Object.entries(facts.plan.idTokens ?? {})) {
    const aud = typeof written === 'string' ? text(written) : written.map(text);
    tokens.set(name, await signer.sign({ ...claimsOf(facts, Math.floor(now / 1000)), aud }));
  }
  return tokens;
}

/** GitLab's claims. */
export function claimsOf(facts: IdTokenFacts, nowSeconds: number): Readonly<Record<string, unknown>> {
  const { instance, project, pipeline, job, principals } = facts;
  const refType = job.tag ? 'tag' : 'branch';
  const refPath = `refs/${job.tag ? 'tags' : 'heads'}/${job.ref}`;
  return {
    iss: instance.addresses.url,
    sub: `project_path:${project.path}:ref_type:${refType}:ref:${job.ref}`,
    iat: nowSeconds,
    nbf: nowSeconds - 5,
    exp: nowSeconds + Math.min(job.timeoutSeconds, limits.idTokenSeconds),
    jti: randomUUID(),
    namespace_id: String(project.namespaceId),
    namespace_path: project.path.split('/').slice(0, -1).join('/'),
    project_id: String(project.id),
    project_path: project.path,
    project_visibility: project.visibility,
    ...userClaims(facts),
    // Ours: how many people's hands were in the job, 0 where it cannot be told (R3).
    jobpass_principals: principals.ownProjectOnly ? 0 : principals.list.length,
    pipeline_id: String(pipeline.id),
    pipeline_source: pipeline.source,
    job_id: String(job.id),
    ref: job.ref,
    ref_type: refType,
    ref_path: refPath,
    ref_protected: String(facts.protected),
    ...(facts.environment === undefined ? {} : { environment: facts.environment }),
    runner_id: facts.runner.id,
    runner_environment: 'self-hosted',
    sha: job.sha,
    ci_config_ref_uri: `${new URL(instance.addresses.url).host}/${project.path}//.gitlab-ci.yml@${refPath}`,
    ci_config_sha: pipeline.sha,
  };
}

/** Who started the job, where it is that person's alone: somebody else's code must not speak in their name (R3). */
function userClaims({ instance, user, principals }: IdTokenFacts) {
  if (principals.ownProjectOnly || principals.list.length !== 1) return {};
  return { user_id: String(user.id), user_login: user.username, user_email: emailOf(instance, user) };
}
