import { JobpassError } from '../base/errors.ts';
import { type Oid, parseRefName, type PipelineId, type ProjectId, type UserId, zeroOid } from '../base/ids.ts';
import { limits } from '../base/limits.ts';
import { compacted, passesInText } from '../base/pass-search.ts';
import type { Page, Paged } from '../base/page.ts';
import { type Grant, verifyGrant } from '../pass/grant.ts';
import type { CommitStatusRecord, ExternalState, StatusFilter, StatusLine } from '../ports/commit-statuses.ts';
import type { PipelineRecord } from '../ports/jobs.ts';
import type { Tx } from '../ports/tx.ts';
import { advance } from './advance.ts';
import type { JobsDeps } from './deps.ts';
import { mayRunOn, refText } from './ref-rights.ts';

/** What another service says of a commit, as it sends it. */
export interface Said {
  readonly state: ExternalState;
  readonly name: string;
  /** undefined = the newest pipeline's, else a branch that has the commit. */
  readonly ref: string | undefined;
  readonly pipelineId: PipelineId | undefined;
  /** null clears it, undefined leaves it. */
  readonly targetUrl: string | null | undefined;
  readonly description: string | null | undefined;
  readonly coverage: number | null | undefined;
}

/** What jobs and other services say of a commit. @see GitLab REST API, "Commits" */
export interface CommitStatuses {
  /** The newest of the commit, before it is known whether the caller may see it. @param sha a whole one */
  lastPipeline(project: ProjectId, sha: string): Promise<PipelineRecord | undefined>;
  /** commit:read and pipeline:read. @throws not_found */
  list(grant: Grant, project: ProjectId, sha: string, filter: StatusFilter, page: Page): Promise<Paged<StatusLine>>;
  /**
   * Says it in the commit's newest pipeline, or makes one that has nothing else. Starts nothing, so a pass may. commit_status:create.
   * @throws not_found, invalid_input, access_denied (a protected ref), unprocessable (too many)
   */
  say(grant: Grant, project: ProjectId, sha: string, said: Said): Promise<CommitStatusRecord>;
}

/** GitLab's events, and the states from which each is possible; null = nothing was said so far. */
const transitions = {
  pending: { event: 'enqueue', from: [null] },
  running: { event: 'run', from: [null, 'pending'] },
  success: { event: 'success', from: [null, 'pending', 'running'] },
  failed: { event: 'drop', from: [null, 'pending', 'running'] },
  canceled: { event: 'cancel', from: [null, 'pending', 'running'] },
  skipped: { event: 'skip', from: [null, 'pending'] },
} as const satisfies Record<ExternalState, { event: string; from: readonly (ExternalState | null)[] }>;

/** Another writer made the commit's pipeline meanwhile: look again. */
class Overtaken extends Error {}

export function makeCommitStatuses(deps: JobsDeps): CommitStatuses {
  const { jobs, commitStatuses, transactor, clock } = deps;

  async function commitOf(grant: Grant, project: ProjectId, sha: string): Promise<Oid> {
    const found = await deps.forge.repository.commit(grant, project, sha);
    if (found === undefined) throw new JobpassError('not_found', { what: 'Commit' });
    return found.id;
  }

  /** The pipeline that is meant, if there is one. @throws not_found for one that is named */
  async function pipelineFor(tx: Tx | null, project: ProjectId, sha: Oid, { pipelineId, ref }: Said): Promise<PipelineRecord | undefined> {
    if (pipelineId === undefined) {
      const { rows } = await jobs.listPipelines(tx, project, { sha, ...(ref === undefined ? {} : { ref }) }, { page: 1, perPage: 1 });
      return rows[0];
    }
    const named = await jobs.pipeline(tx, pipelineId);
    const fits = named?.projectId === project && named.sha === sha && named.source !== 'parent_pipeline';
    if (!fits || (ref !== undefined && named.ref !== ref))
      throw new JobpassError('not_found', { what: 'Pipeline for pipeline_id, sha and ref' });
    return named;
  }

  /** Where a pipeline of its own would stand. A name that no ref has is taken, too: the service may speak of a branch that is gone. */
  async function placeFor(grant: Grant, project: ProjectId, sha: Oid, ref: string | undefined): Promise<Place> {
    if (ref === undefined) {
      const branch = (await deps.forge.repository.refsWith(grant, project, sha)).find(({ type }) => type === 'branch');
      if (branch === undefined) throw new JobpassError('not_found', { what: 'References for commit' });
      return { ref: branch.name, kinds: [false] };
    }
    const found = (await deps.forge.repository.resolve(grant, project, ref))?.ref ?? null;
    return { ref, kinds: found === null ? [false, true] : [found.startsWith('refs/tags/')] };
  }

  /** As for starting its jobs: on a protected ref who may push or merge to it (GitLab's rule). */
  async function checkRef(grant: Grant, tx: Tx, project: ProjectId, { ref, kinds }: Place): Promise<void> {
    for (const tag of kinds)
      if (!(await mayRunOn(deps, tx, grant.principals, project, { name: ref, tag }, grant.identity.kind === 'user')))
        throw new JobpassError('access_denied', refText);
  }

  async function makePipeline(tx: Tx, grant: Grant, project: ProjectId, sha: Oid, place: Place, author: UserId): Promise<PipelineRecord> {
    const made = await jobs.insertPipeline(tx, {
      projectId: project,
      ref: place.ref,
      tag: place.kinds.every((tag) => tag),
      sha,
      beforeSha: zeroOid,
      source: 'external',
      status: 'created',
      userId: author,
      creators: grant.principals,
      parentJobId: null,
      chainDepth: 0,
      variables: [],
      yamlErrors: null,
      createdAt: clock.now(),
    });
    // The project's row, which that waited for, has let another one through.
    const { rows } = await jobs.listPipelines(tx, project, { sha, ref: place.ref, source: 'external' }, { page: 1, perPage: 2 });
    if (rows.some(({ id }) => id < made.id)) throw new Overtaken();
    return made;
  }

  /** One attempt: everything that is said at once is said under the lock of its pipeline. */
  async function saidIn(grant: Grant, project: ProjectId, sha: Oid, said: Said, author: UserId): Promise<CommitStatusRecord> {
    const known = await pipelineFor(null, project, sha, said);
    const place = known === undefined ? await placeFor(grant, project, sha, said.ref) : { ref: known.ref, kinds: [known.tag] };
    return transactor.write(async (tx) => {
      // The pipeline first, everywhere: a confirm locks the row of the job behind a pass.
      const locked = known === undefined ? undefined : await jobs.lockPipeline(tx, known.id);
      if (known !== undefined && locked === undefined) throw new Overtaken();
      await grant.confirm(tx);
      await checkRef(grant, tx, project, place);
      const pipeline = locked ?? (await makePipeline(tx, grant, project, sha, place, author));
      const status = await put(tx, grant, pipeline, said, author);
      await advance(deps, tx, pipeline.id);
      return status;
    });
  }

  async function put(tx: Tx, grant: Grant, pipeline: PipelineRecord, said: Said, author: UserId): Promise<CommitStatusRecord> {
    const { projectId, sha, ref } = pipeline;
    const { name, state } = said;
    if (await commitStatuses.nameOfJob(tx, pipeline.id, name)) throw invalid('name', 'has already been taken');
    const same = (await commitStatuses.ofPipeline(tx, pipeline.id)).find((one) => one.name === name && one.authorId === author);
    const open = same?.state === 'pending' || same?.state === 'running' ? same : undefined;
    const { event, from } = transitions[state];
    const before = open?.state ?? null;
    if (!from.some((one) => one === before))
      throw new JobpassError(
        'invalid_input',
        `Cannot transition status via :${event} from :${String(before)} (Reason(s): Status cannot transition via "${event}")`,
      );
    const now = clock.now();
    const texts = { targetUrl: said.targetUrl, description: said.description, coverage: said.coverage };
    const times = {
      ...(state === 'running' ? { startedAt: now } : {}),
      ...(state === 'pending' || state === 'running' || state === 'skipped' ? {} : { finishedAt: now }),
    };
    if (open !== undefined) {
      const writers = [...new Set([...open.writers, ...grant.principals])];
      const given = Object.fromEntries(Object.entries(texts).filter(([, value]) => value !== undefined));
      return commitStatuses.change(tx, open.id, { state, writers, ...given, ...times });
    }
    const full = (await commitStatuses.count(tx, projectId, sha)) >= limits.statusesPerCommit;
    if (full && !(await commitStatuses.forgetReplaced(tx, projectId, sha)))
      throw new JobpassError(
        'unprocessable',
        `The number of jobs has exceeded the limit: ${limits.statusesPerCommit} statuses of one commit.`,
      );
    const made = await commitStatuses.insert(tx, {
      projectId,
      pipelineId: pipeline.id,
      sha,
      ref,
      name,
      state,
      targetUrl: texts.targetUrl ?? null,
      description: texts.description ?? null,
      coverage: texts.coverage ?? null,
      authorId: author,
      writers: grant.principals,
      createdAt: now,
      startedAt: null,
      finishedAt: null,
      ...times,
    });
    await commitStatuses.replaceOthers(tx, made);
    return made;
  }

  return {
    async lastPipeline(project, sha) {
      return (await jobs.listPipelines(null, project, { sha }, { page: 1, perPage: 1 })).rows[0];
    },
    async list(grant, project, sha, filter, page) {
      verifyGrant(grant, 'commit:read', { kind: 'project', id: project });
      verifyGrant(grant, 'pipeline:read', { kind: 'project', id: project });
      return commitStatuses.list(null, project, await commitOf(grant, project, sha), filter, page);
    },
    async say(grant, project, sha, said) {
      verifyGrant(grant, 'commit_status:create', { kind: 'project', id: project });
      const [author] = grant.principals;
      if (author === undefined) throw new JobpassError('credential_missing');
      checkTexts(said);
      await refuseLeaks(deps, grant, project, said);
      const commit = await commitOf(grant, project, sha);
      for (let attempt = 1; ; attempt += 1) {
        try {
          const status = await saidIn(grant, project, commit, said, author);
          deps.wakeup.changed();
          return status;
        } catch (error) {
          if (!(error instanceof Overtaken)) throw error;
          if (attempt === 3) throw new JobpassError('conflict', 'Another update to this commit status is in progress');
        }
      }
    },
  };
}

interface Place {
  readonly ref: string;
  /** For each kind of ref that it may be: whether that is a tag. */
  readonly kinds: readonly boolean[];
}

/** @throws invalid_input */
function checkTexts({ name, ref, targetUrl, description, coverage }: Said): void {
  const most = limits.statusCharacters;
  const texts = { name, ref, target_url: targetUrl, description };
  for (const [field, text] of Object.entries(texts))
    if (typeof text === 'string' && text.length > most) throw invalid(field, `is too long (maximum is ${most} characters)`);
  if (ref !== undefined && parseRefName(`refs/heads/${ref}`) === undefined) throw invalid('ref', 'is invalid');
  if (typeof targetUrl === 'string' && !isPlainLink(targetUrl))
    throw invalid('target_url', 'is blocked: Only allowed schemes are http, https, without a user name or password');
  if (typeof coverage === 'number' && (coverage < 0 || coverage > 100)) throw invalid('coverage', 'must be between 0 and 100');
}

/** A credential in a link would outlive the job, and be shown to everybody who sees the commit (R5). */
function isPlainLink(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password } = new URL(text);
  return (protocol === 'http:' || protocol === 'https:') && username === '' && password === '';
}

/** What is said is for everybody who sees the commit: a pass in it is dead before (R12). @throws invalid_input */
async function refuseLeaks(
  { leaks }: JobsDeps,
  grant: Grant,
  project: ProjectId,
  { name, ref, targetUrl, description }: Said,
): Promise<void> {
  const text = [name, ref, targetUrl, description].join('\n');
  const found = [text, compacted(text).text].flatMap((view) => [...passesInText(view)].map(({ pass }) => pass));
  const place = { door: 'api', what: `a commit status of project ${project}`, requestId: grant.requestId };
  if ((await leaks.revokeAll(new Set(found), place)) > 0)
    throw new JobpassError('invalid_input', 'A pass (jpt_…) stands in what was sent: it is revoked now, and nothing is kept (R12).');
}

function invalid(field: string, text: string): JobpassError {
  return new JobpassError('invalid_input', { fields: { [field]: [text] } });
}
