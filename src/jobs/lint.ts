import { isJobpassError, JobpassError } from '../base/errors.ts';
import { type Oid, type PassId, type ProjectId, type UserId, zeroOid } from '../base/ids.ts';
import { limits } from '../base/limits.ts';
import { type Grant, verifyGrant } from '../pass/grant.ts';
import { inheritedDefaults } from '../pipeline/defaults.ts';
import type { Fields } from '../pipeline/fields.ts';
import { warningsOf } from '../pipeline/warnings.ts';
import type { Included } from '../pipeline/include-files.ts';
import type { ProjectFacts } from '../ports/directory.ts';
import { type Configuration, configure } from './configuration.ts';
import type { JobsDeps } from './deps.ts';
import type { Place } from './include-source.ts';
import { passWarnings } from './pass-warnings.ts';
import { mayRunOn } from './ref-rights.ts';
import { asSystem } from './system.ts';

const ciFile = '.gitlab-ci.yml';

/** What is looked at, and where a pipeline of it would run. */
export interface LintRequest {
  /** Undefined = the file that stands in the repository, at `contentRef` or where the pipeline would run. */
  readonly content?: string;
  readonly contentRef?: string;
  /** Branch or tag; undefined = the default branch. */
  readonly ref?: string;
  /** Rules are evaluated as well, as for a push to the ref. */
  readonly dryRun: boolean;
}

/** One job as it would run; of a file whose rules were not evaluated, as it stands there. */
export interface LintedJob {
  readonly name: string;
  readonly stage: string;
  readonly script: readonly string[];
  readonly beforeScript?: readonly string[];
  readonly afterScript?: readonly string[];
  readonly tags?: readonly string[];
  readonly when?: string | undefined;
  readonly allowFailure?: boolean;
  readonly needs?: readonly { readonly job: string; readonly artifacts: boolean }[];
}
export interface LintResult {
  readonly errors: readonly string[];
  /** What may be meant otherwise. */
  readonly warnings: readonly string[];
  /** The configuration in one piece; undefined where it cannot be read. */
  readonly merged?: Fields;
  readonly included: readonly Included<Place>[];
  readonly jobs: readonly LintedJob[];
}

/** Says of a configuration what the creation of a pipeline would say, by the same way, and makes nothing. */
export interface Lint {
  /** ci_config:read for what stands in the repository, ci_config:lint for what the caller sends. @throws not_found where there is no such file or ref */
  check(grant: Grant, project: ProjectId, request: LintRequest): Promise<LintResult>;
}

export function makeLint(deps: JobsDeps): Lint {
  return {
    async check(grant, projectId, request) {
      verifyGrant(grant, request.content === undefined ? 'ci_config:read' : 'ci_config:lint', { kind: 'project', id: projectId });
      const project = await deps.directory.project(null, projectId);
      if (project === undefined) throw new JobpassError('not_found', { what: 'Project' });
      return asSystem(deps, 'read_ci_file', projectId, grant.requestId, (reading) => lint(deps, reading, asked(grant), project, request));
    },
  };
}

/** Who asks; with a pass, it is the pass that bounds what is included (R5). */
interface Asked {
  readonly users: readonly UserId[];
  readonly passId: PassId | null;
}

function asked({ identity, principals }: Grant): Asked {
  return { users: principals, passId: identity.kind === 'pass' ? identity.passId : null };
}

async function lint(
  deps: JobsDeps,
  grant: Grant,
  { users, passId }: Asked,
  project: ProjectFacts,
  request: LintRequest,
): Promise<LintResult> {
  const none = { included: [], jobs: [], warnings: [] };
  const where =
    (await deps.forge.repository.resolve(grant, project.id, request.ref ?? project.defaultBranch)) ?? beforeAnyCommit(project, request);
  if (where === undefined || where.ref === null) return { ...none, errors: ['Reference not found'] };
  const name = where.ref.replace(/^refs\/(?:heads|tags)\//, '');
  const tag = where.ref.startsWith('refs/tags/');
  const content = request.content ?? (await written(deps, grant, project, request.contentRef, where.oid));
  if (content === null) return { ...none, errors: [`${ciFile} is larger than ${limits.ciFileBytes} bytes.`] };
  const may = await mayRunOn(deps, null, users, project.id, { name, tag }, passId === null);
  const found = await configure(
    deps,
    grant,
    {
      project,
      ref: name,
      tag,
      sha: where.oid,
      beforeSha: zeroOid,
      source: 'push',
      creators: users,
      passId,
      parentJobId: null,
      // Rules would tell them letter by letter: to those only who could read them in a job there, and never to a pass (R5).
      kept: may && passId === null,
      variables: [],
    },
    ciFile,
    content,
  );
  const { root, included } = found;
  const errors = may || !request.dryRun ? errorsOf(found, request.dryRun) : ['You may not start a pipeline on this branch or tag.'];
  const warnings = found.file === undefined ? [] : [...warningsOf(found.file), ...passWarnings(found.file)];
  return { errors, warnings, ...(root === undefined ? {} : { merged: root }), included, jobs: jobsOf(found, request.dryRun) };
}

/** What is sent can be judged before the first push, too; nothing stands there that it could include. */
function beforeAnyCommit({ defaultBranch }: ProjectFacts, { content, ref, dryRun }: LintRequest): { ref: string; oid: Oid } | undefined {
  if (content === undefined || ref !== undefined || dryRun) return undefined;
  return { ref: `refs/heads/${defaultBranch}`, oid: zeroOid };
}

/** Without a dry run it is the file that is judged, not what its rules leave of it. */
function errorsOf({ file, errors }: Configuration, dryRun: boolean): readonly string[] {
  return file === undefined || dryRun ? errors : [];
}

function jobsOf({ plan, file }: Configuration, dryRun: boolean): readonly LintedJob[] {
  if (dryRun) return plan?.jobs ?? [];
  return file?.jobs.map((job) => ({ ...inheritedDefaults(file.defaults, job.inherit), ...job })) ?? [];
}

/** @returns null where it is too large @throws not_found */
async function written(
  deps: JobsDeps,
  grant: Grant,
  project: ProjectFacts,
  ref: string | undefined,
  fallback: Oid,
): Promise<string | null> {
  const { repository } = deps.forge;
  const sha = ref === undefined ? fallback : (await repository.resolve(grant, project.id, ref))?.oid;
  if (sha === undefined) throw new JobpassError('not_found', { what: 'Commit' });
  try {
    const text = await repository.textFile(grant, project.id, sha, ciFile, limits.ciFileBytes);
    if (text === undefined) throw new JobpassError('not_found', { what: 'File' });
    return text;
  } catch (error) {
    if (isJobpassError(error, 'too_large')) return null;
    throw error;
  }
}
