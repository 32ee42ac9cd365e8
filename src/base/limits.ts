/** Limits on what comes from outside, in one place so that an operator can read them. Units are in the names. */
export const limits = {
  headerBytes: 16 * 1024,
  urlBytes: 8 * 1024,
  jsonBodyBytes: 1024 * 1024,
  jsonDepth: 32,
  /** A commit or file write through the API carries its contents in JSON. */
  fileBodyBytes: 16 * 1024 * 1024,
  jobRequestBodyBytes: 32 * 1024,
  credentialBytes: 4 * 1024,
  tracePatchBytes: 1024 * 1024,
  traceBytes: 100 * 1024 * 1024,
  artifactBytes: 1024 * 1024 * 1024,
  reportBytes: 100 * 1024 * 1024,
  /** What is looked at for leaked passes (R12), unpacked: of an upload, and of a push. */
  searchedUploadBytes: 4 * 1024 * 1024 * 1024,
  searchedPushBytes: 512 * 1024 * 1024,
  /** Of the new blobs of an image: all of them together, each one, and each one unpacked. */
  searchedImageBytes: 256 * 1024 * 1024,
  searchedBlobBytes: 64 * 1024 * 1024,
  searchedLayerBytes: 256 * 1024 * 1024,
  dotenvBytes: 5 * 1024,
  dotenvVariables: 50,
  /** Of one cache at a runner, packed, and of all that a runner keeps. */
  cacheBytes: 2 * 1024 * 1024 * 1024,
  cacheStoreBytes: 20 * 1024 * 1024 * 1024,
  /** That a commit over the API leads into. */
  foldersPerCommit: 20_000,
  packBytes: 4 * 1024 * 1024 * 1024,
  refsPerPush: 2000,
  /** Beyond this many new commits a push's commits are not recorded one by one, so their pushers are "not provable" (R3). */
  recordedCommitsPerPush: 10_000,
  /** Of the container registry; docker-registry's own bound. */
  manifestBytes: 4 * 1024 * 1024,
  manifestReferences: 5000,
  uploadsPerProject: 1000,
  imageBlobBytes: 32 * 1024 * 1024 * 1024,
  /** An upload that nobody continued for so long is removed. */
  uploadIdleMs: 24 * 3600_000,
  /** Content that no repository links is removed when it is older. */
  unlinkedContentMs: 3600_000,
  registryPage: 1000,
  /** A registry client that neither sends nor takes a byte for so long is cut off. */
  registryIdleMs: 120_000,
  registryTokenMs: 5 * 60_000,
  lfsObjectBytes: 32 * 1024 * 1024 * 1024,
  lfsBatch: 1000,
  /** Of a repository's files, packed, in one download. */
  archiveBytes: 8 * 1024 * 1024 * 1024,
  blobReadBytes: 10 * 1024 * 1024,
  principals: 20,
  trustedProjects: 1000,
  /** Old paths that lead to a renamed project. */
  formerPaths: 100,
  accessesPerRequest: 64,
  pageSize: 100,
  ciFileBytes: 1024 * 1024,
  ciNodes: 50_000,
  /** Files of one pipeline's configuration, the first included. */
  ciFiles: 100,
  /** Of all of them together. */
  ciFilesBytes: 2 * 1024 * 1024,
  ciIncludeDepth: 20,
  /** Paths of a commit, or of a difference, that rules look at. */
  rulePaths: 200_000,
  jobsPerPipeline: 500,
  /** All jobs of a pipeline as they are stored. */
  planBytes: 32 * 1024 * 1024,
  variablesPerPipeline: 200,
  inputsPerPipeline: 20,
  schedulesPerProject: 50,
  triggersPerProject: 100,
  /** What other services say of one commit; GitLab's bound of a text of it. */
  statusesPerCommit: 1000,
  statusCharacters: 255,
  /** Downstream pipelines in a row; of these, child pipelines (GitLab: 2), and all below one pipeline (GitLab: 1,000). */
  downstreamHops: 10,
  childDepth: 2,
  downstreamPipelines: 1000,
  zipEntries: 100_000,
  zipDirectoryBytes: 32 * 1024 * 1024,
  packageFileBytes: 5 * 1024 * 1024 * 1024,
  packageFilesPerProject: 100_000,
  uploadBytes: 100 * 1024 * 1024,
  /** A body that is streamed may take its time; nothing for so long, and it is cut off. */
  streamedBodyIdleMs: 60_000,
  variableBytes: 64 * 1024,
  /** Of CI/CD variables that are kept for a project, a group or the instance; GitLab's bound of a value. */
  keptVariableCharacters: 10_000,
  variablesPerOwner: 1000,
  variableBytesPerOwner: 1024 * 1024,
  /** Of a runner: more than any job takes. */
  runnerTimeoutSeconds: 366 * 86_400,
  idTokensPerJob: 20,
  /** Ended no later than this, as nobody can take one back. */
  idTokenSeconds: 3600,
  payloadVariableCharacters: 8 * 1024 * 1024,
  auditRowsPerPass: 100_000,
  requestTimeoutMs: 60_000,
  longPollMs: 50_000,
} as const;
