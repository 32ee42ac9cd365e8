declare const brand: unique symbol;
/** A value that only its own parser or store makes; stops one kind of number from passing for another. */
export type Branded<Value, Name extends string> = Value & { readonly [brand]: Name };

export type UserId = Branded<number, 'UserId'>;
/** A group; users' own namespaces and groups share one id space, as in GitLab. */
export type GroupId = Branded<number, 'GroupId'>;
export type ProjectId = Branded<number, 'ProjectId'>;
export type PipelineId = Branded<number, 'PipelineId'>;
export type JobId = Branded<number, 'JobId'>;
/** A resource group of a project's pipelines. */
export type ResourceGroupId = Branded<number, 'ResourceGroupId'>;
export type EnvironmentId = Branded<number, 'EnvironmentId'>;
export type DeploymentId = Branded<number, 'DeploymentId'>;
export type RunnerId = Branded<number, 'RunnerId'>;
/** One machine (`system_id`) that uses a runner's token. */
export type ManagerId = Branded<number, 'ManagerId'>;
export type PassId = Branded<number, 'PassId'>;
export type TokenId = Branded<number, 'TokenId'>;
export type AuditId = Branded<number, 'AuditId'>;
export type PushId = Branded<number, 'PushId'>;
/** A CI/CD variable of the instance, a group or a project. */
export type VariableId = Branded<number, 'VariableId'>;
/** An image repository of the container registry. */
export type RepositoryId = Branded<number, 'RepositoryId'>;

/** Seconds since 1970-01-01 UTC. */
export type EpochSeconds = Branded<number, 'EpochSeconds'>;
/** Milliseconds since 1970-01-01 UTC; what the store keeps. */
export type EpochMillis = Branded<number, 'EpochMillis'>;

/** A git object id, 40 or 64 lower-case hex digits. */
export type Oid = Branded<string, 'Oid'>;
/** A full ref name, such as `refs/heads/main`. */
export type RefName = Branded<string, 'RefName'>;

/** SHA-256 of a secret as 64 lower-case hex digits: what is stored in its place. */
export type SecretDigest = Branded<string, 'SecretDigest'>;

/** Brands a positive integer that a store or a parser vouches for. */
export function id<Id extends Branded<number, string>>(value: number): Id {
  return value as Id;
}

/** @returns the id in `text`, or undefined where it is not a plain positive integer of at most 15 digits. */
export function parseId<Id extends Branded<number, string>>(text: string): Id | undefined {
  return /^[1-9][0-9]{0,14}$/.test(text) ? (Number(text) as Id) : undefined;
}

export function millis(value: number): EpochMillis {
  return value as EpochMillis;
}

const oidPattern = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;
/** @returns the object id, or undefined where `text` is not a full lower-case one. */
export function parseOid(text: string): Oid | undefined {
  return oidPattern.test(text) ? (text as Oid) : undefined;
}

/** The all-zero id that stands for "no object" in a ref update (SHA-1 width). */
export const zeroOid = '0'.repeat(40) as Oid;

// git check-ref-format(1), and nothing that a shell, a URL or an option parser could read otherwise.
const refForbidden = /[\u0000-\u0020~^:?*[\\\u007f]|\.\.|@\{|\/\/|\/\.|\.lock(?:\/|$)|\.$|\/$|^\/|^-/;
/** @returns the ref name, or undefined unless it is a legal full ref name (starts with `refs/`) of at most 1,024 bytes: no store has an index for longer ones. */
export function parseRefName(text: string): RefName | undefined {
  if (!text.startsWith('refs/') || Buffer.byteLength(text) > 1024 || refForbidden.test(text) || /\/-/.test(text)) return undefined;
  return text as RefName;
}
