import type { Generated } from 'kysely';

/**
 * Tables as Kysely sees them, the same on both engines. Column names are those of the ports. Ids are never used again; times are
 * milliseconds; booleans 0 or 1; lists and maps JSON text; `…Key` columns are lower case, for comparison without case.
 */
export interface Schema {
  readonly users: UsersTable;
  readonly namespaces: NamespacesTable;
  readonly namespaceAncestors: { namespaceId: number; ancestorId: number };
  /** One path space for users' namespaces, groups and projects. */
  readonly routes: { pathKey: string; kind: string; targetId: number };
  /** Paths that projects had before they were renamed, and that nothing has now. */
  readonly formerPaths: { id: Generated<number>; pathKey: string; projectId: number };
  readonly projects: ProjectsTable;
  readonly members: {
    sourceKind: string;
    sourceId: number;
    userId: number;
    accessLevel: number;
    expiresAt: number | null;
    createdAt: number;
  };
  readonly tokens: TokensTable;
  readonly protectedRefs: {
    projectId: number;
    kind: string;
    pattern: string;
    pushLevel: number;
    mergeLevel: number;
    allowForcePush: number;
  };
  readonly pushes: PushesTable;
  readonly pushedCommits: { projectId: number; oid: string; pushId: number };
  readonly refPushes: { projectId: number; ref: string; pushId: number };
  readonly releases: ReleasesTable;
  readonly releaseLinks: {
    id: Generated<number>;
    projectId: number;
    tag: string;
    name: string;
    url: string;
    directAssetPath: string | null;
    linkType: string;
  };
  readonly pipelines: PipelinesTable;
  readonly commitStatuses: CommitStatusesTable;
  readonly mergeRequests: MergeRequestsTable;
  readonly mergeRequestCommits: { projectId: number; oid: string; mergeRequestId: number };
  readonly mergeRequestNotes: MergeRequestNotesTable;
  readonly packages: PackagesTable;
  readonly packageFiles: PackageFilesTable;
  readonly uploads: UploadsTable;
  readonly schedules: SchedulesTable;
  readonly triggers: TriggersTable;
  readonly scheduleVariables: { projectId: number; scheduleId: number; key: string; value: string; setBy: number };
  readonly jobs: JobsTable;
  readonly runners: RunnersTable;
  readonly runnerManagers: RunnerManagersTable;
  readonly registrationTokens: {
    id: Generated<number>;
    scope: string;
    scopeId: number;
    digest: string;
    userId: number;
    createdAt: number;
  };
  readonly jobReports: JobReportsTable;
  readonly resourceGroups: ResourceGroupsTable;
  readonly environments: EnvironmentsTable;
  readonly runnerNonces: { runnerId: number; nonce: string; at: number };
  readonly passes: PassesTable;
  readonly jobRights: { jobId: number; principals: string; provable: number; sources: string };
  readonly audit: AuditTable;
  readonly pipelineIncludes: { pipelineId: number; projectId: number; sha: string; ref: string; movers: string | null };
  readonly trustedProjects: { userId: number; projectId: number; at: number };
  readonly imageRepositories: { id: Generated<number>; projectId: number; name: string; createdAt: number };
  readonly imageBlobs: { repositoryId: number; digest: string; sizeBytes: number; createdAt: number };
  readonly imageManifests: ImageManifestsTable;
  /** What a manifest of a repository names: blobs and other manifests. */
  readonly imageReferences: { repositoryId: number; manifest: string; target: string };
  readonly imageTags: { repositoryId: number; name: string; digest: string; createdAt: number };
  readonly registryTokens: {
    digest: string;
    parentKind: string;
    parentDigest: string;
    scope: string;
    expiresAt: number;
  };
  readonly lfsObjects: { projectId: number; oid: string; sizeBytes: number; createdAt: number };
  readonly lfsLocks: { id: Generated<number>; projectId: number; path: string; ownerId: number; lockedAt: number; jobId: number | null };
  readonly exposureBounds: { ownerKind: string; ownerId: number; maximum: string };
  readonly settings: { key: string; value: string };
  readonly schemaVersion: { version: number };
  ceilings: CeilingsTable;
  gatewayJobs: GatewayJobsTable;
  actingTokens: ActingTokensTable;
  passWrites: PassWritesTable;
  ciVariables: CiVariablesTable;
  gatewayRunners: { runnerId: number; publicKey: string; pinnedAt: number };
}

export interface UsersTable {
  id: Generated<number>;
  username: string;
  usernameKey: string;
  name: string;
  email: string;
  emailKey: string;
  state: string;
  isAdmin: number;
  namespaceId: number;
  createdAt: number;
}
export interface NamespacesTable {
  id: Generated<number>;
  kind: string;
  name: string;
  slug: string;
  path: string;
  description: string;
  visibility: string;
  parentId: number | null;
  rootGroupId: number;
  ownerUserId: number | null;
  createdAt: number;
}
export interface ProjectsTable {
  id: Generated<number>;
  name: string;
  slug: string;
  path: string;
  description: string;
  visibility: string;
  archived: number;
  namespaceId: number;
  rootGroupId: number;
  defaultBranch: string;
  chainDepth: number;
  creatorId: number;
  createdAt: number;
  lastActivityAt: number;
  emptyRepo: number;
  forkedFromId: Generated<number | null>;
  lastPipelineIid: Generated<number>;
  mergeMethod: Generated<string>;
}
export interface TokensTable {
  id: Generated<number>;
  userId: number;
  name: string;
  scopes: string;
  digest: string;
  createdAt: number;
  lastUsedAt: number | null;
  expiresAt: number | null;
  revokedAt: number | null;
  /** Made by an administrator to act as the user, who does not see it. */
  impersonation: number;
}
export interface PushesTable {
  id: Generated<number>;
  projectId: number;
  changes: string;
  pushers: string;
  passId: number | null;
  jobId: number | null;
  skipCi: number;
  state: string;
  handled: number;
  at: number;
  /** 0 = from before there were numbers. */
  node: Generated<number>;
}
export interface ReleasesTable {
  projectId: number;
  tag: string;
  name: string;
  description: string;
  sha: string;
  authorId: number;
  createdAt: number;
  releasedAt: number;
}
export interface PipelinesTable {
  id: Generated<number>;
  iid: number;
  projectId: number;
  ref: string;
  tag: number;
  sha: string;
  beforeSha: string;
  source: string;
  status: string;
  userId: number;
  creators: string;
  parentJobId: number | null;
  passId: Generated<number | null>;
  chainDepth: number;
  variables: string;
  sourceVariables: Generated<string>;
  /** JSON: name → value. */
  inputs: Generated<string>;
  mergeRequestId: Generated<number | null>;
  yamlErrors: string | null;
  createdAt: number;
  updatedAt: number;
  startedAt: number | null;
  finishedAt: number | null;
  name: Generated<string | null>;
  autoCancelOnNewCommit: Generated<string>;
  autoCancelOnJobFailure: Generated<string>;
  upstreamJobId: Generated<number | null>;
  rootId: Generated<number | null>;
  hops: Generated<number>;
  childDepth: Generated<number>;
  unprovable: Generated<number>;
}
export interface CommitStatusesTable {
  id: Generated<number>;
  projectId: number;
  pipelineId: number;
  sha: string;
  ref: string;
  name: string;
  state: string;
  targetUrl: string | null;
  description: string | null;
  coverage: number | null;
  authorId: number;
  writers: string;
  /** A later one of its name in the pipeline took its place. */
  replaced: number;
  createdAt: number;
  startedAt: number | null;
  finishedAt: number | null;
}
export interface EnvironmentsTable {
  id: Generated<number>;
  projectId: number;
  name: string;
  slug: string;
  externalUrl: string | null;
  tier: string;
  state: string;
  autoStopAt: number | null;
  createdAt: number;
  updatedAt: number;
}
export interface ResourceGroupsTable {
  id: Generated<number>;
  projectId: number;
  key: string;
  processMode: string;
  holderId: number | null;
  createdAt: number;
}
export interface SchedulesTable {
  id: Generated<number>;
  projectId: number;
  description: string;
  ref: string;
  cron: string;
  timezone: string;
  active: number;
  nextRunAt: number | null;
  ownerId: number;
  describedBy: number;
  /** JSON: {name, value, setBy}[]. */
  inputs: Generated<string>;
  problem: string | null;
  lastPipelineId: number | null;
  createdAt: number;
  updatedAt: number;
}
export interface MergeRequestsTable {
  id: Generated<number>;
  projectId: number;
  iid: number;
  sourceProjectId: number;
  sourceBranch: string;
  targetBranch: string;
  title: string;
  description: string;
  state: string;
  authorId: number;
  writers: string;
  labels: string;
  assigneeIds: string;
  removeSourceBranch: number;
  squash: number;
  headSha: string;
  mergeCommitSha: string | null;
  mergedOnto: Generated<string | null>;
  mergedBy: string;
  mergedAt: number | null;
  closedById: number | null;
  closedAt: number | null;
  /** Its branches while it is open. */
  openKey: string | null;
  createdAt: number;
  updatedAt: number;
}
export interface MergeRequestNotesTable {
  id: Generated<number>;
  projectId: number;
  mergeRequestId: number;
  authorId: number;
  body: string;
  system: number;
  createdAt: number;
}
export interface PackagesTable {
  id: Generated<number>;
  projectId: number;
  name: string;
  version: string;
  status: string;
  creatorId: number;
  createdAt: number;
}
export interface PackageFilesTable {
  id: Generated<number>;
  projectId: number;
  packageId: number;
  fileName: string;
  sizeBytes: number;
  sha256: string;
  blobKey: string;
  createdAt: number;
}
export interface UploadsTable {
  id: Generated<number>;
  projectId: number;
  secret: string;
  fileName: string;
  sizeBytes: number;
  blobKey: string;
  creatorId: number;
  createdAt: number;
}
export interface TriggersTable {
  id: Generated<number>;
  projectId: number;
  description: string;
  digest: string;
  ownerId: number;
  createdAt: number;
  expiresAt: number | null;
  lastUsedAt: number | null;
}
export interface JobsTable {
  id: Generated<number>;
  pipelineId: number;
  projectId: number;
  name: string;
  stage: string;
  stageIndex: number;
  status: string;
  ref: string;
  tag: number;
  sha: string;
  userId: number;
  allowFailure: number;
  when: string;
  tags: string;
  timeoutSeconds: number;
  plan: string;
  needs: string | null;
  retriedById: number | null;
  createdAt: number;
  runnerId: number | null;
  tokenDigest: string | null;
  failureReason: string | null;
  exitCode: number | null;
  queuedAt: number | null;
  startedAt: number | null;
  finishedAt: number | null;
  cancelingSince: number | null;
  contactAt: number | null;
  artifactsFile: string | null;
  artifactsSizeBytes: number | null;
  artifactsExpireAt: number | null;
  managerId: Generated<number | null>;
  coverage: Generated<number | null>;
  dotenv: Generated<string | null>;
  kind: Generated<string>;
  resourceGroup: Generated<string | null>;
  variables: Generated<string>;
  variablesBy: Generated<number | null>;
  scheduledAt: Generated<number | null>;
  erasedAt: Generated<number | null>;
  downstreamId: Generated<number | null>;
  failureText: Generated<string | null>;
  environmentId: Generated<number | null>;
  environmentAction: Generated<string | null>;
  mirrors: Generated<number>;
  remoteNeeds: Generated<string | null>;
}
export interface JobReportsTable {
  jobId: number;
  type: string;
  format: string;
  filename: string;
  sizeBytes: number;
  expireAt: number | null;
}
export interface RunnerManagersTable {
  id: Generated<number>;
  runnerId: number;
  systemId: string;
  version: string | null;
  revision: string | null;
  platform: string | null;
  architecture: string | null;
  executor: string | null;
  features: string;
  createdAt: number;
  contactAt: number;
}
export interface RunnersTable {
  id: Generated<number>;
  scope: string;
  scopeId: number | null;
  description: string;
  tags: string;
  runUntagged: number;
  protectedOnly: number;
  paused: number;
  tokenDigest: string;
  creatorId: number;
  createdAt: number;
  trust: string;
  unsafeAccepted: number;
  publicKey: string | null;
  contactAt: number | null;
  version: string | null;
  responsibleId: Generated<number | null>;
  vouched: Generated<number>;
  pinnedVerdict: Generated<string | null>;
  pinnedReasons: Generated<string | null>;
  pinnedAt: Generated<number | null>;
  locked: Generated<number>;
  selfRegistered: Generated<number>;
  maximumTimeoutSeconds: Generated<number | null>;
  assist: Generated<string>;
  tokenExpiresAt: Generated<number | null>;
  maintenanceNote: Generated<string>;
}
export interface ImageManifestsTable {
  id: Generated<number>;
  repositoryId: number;
  digest: string;
  mediaType: string;
  content: string;
  sizeBytes: number;
  totalSizeBytes: number;
  subject: string | null;
  artifactType: string | null;
  annotations: string | null;
  createdAt: number;
}
export interface PassesTable {
  id: Generated<number>;
  kind: string;
  digest: string;
  jobId: number;
  pipelineId: number;
  projectId: number;
  sha: string;
  parentId: number | null;
  principals: string;
  ownProjectOnly: number;
  chainDepth: number;
  issuedAt: number;
  expiresAt: number;
  revokedAt: number | null;
  revokedReason: string | null;
  limits: Generated<string>;
}
export interface AuditTable {
  id: Generated<number>;
  at: number;
  decision: string;
  subject: string;
  passId: number | null;
  passKind: string | null;
  jobId: number | null;
  pipelineId: number | null;
  jobProjectId: number | null;
  /** `,3,5,`: so that one user is found by `,3,`. */
  principals: string;
  accesses: string;
  door: string;
  endpoint: string;
  rule: string;
  reason: string;
  requestId: string;
  count: number;
  outcome: string | null;
  outcomeAt: number | null;
  outcomeDetail: string | null;
}
export interface CeilingsTable {
  ownerKind: string;
  ownerId: number;
  document: string;
  setAt: number;
}
export interface GatewayJobsTable {
  id: number;
  projectId: number;
  pipelineId: number;
  userId: number;
  sha: string;
  ref: string;
  tag: number;
  tokenDigest: string;
  sealedToken: string;
  state: string;
  startedAt: number;
  contactAt: number;
  cancelingSince: number | null;
  runnerId: number;
}
export interface ActingTokensTable {
  id: Generated<number>;
  jobId: number;
  userId: number;
  channel: string;
  upstreamId: number | null;
  createdAt: number;
  revokedAt: number | null;
}
export interface CiVariablesTable {
  id: Generated<number>;
  ownerKind: string;
  /** 0 for the instance. */
  ownerId: number;
  key: string;
  sealed: string;
  sizeBytes: number;
  type: string;
  protected: number;
  masked: number;
  hidden: number;
  raw: number;
  environmentScope: string;
  description: string | null;
  createdAt: number;
  setBy: number | null;
}
export interface PassWritesTable {
  projectId: number;
  what: string;
  jobId: number;
  at: number;
}
