import { limits } from '../base/limits.ts';
import type { Oid, UserId } from '../base/ids.ts';
import type { PassPrincipal, PrincipalReason } from '../ports/passes.ts';

/** Everything that R3 looks at, gathered before the decision. */
export interface PrincipalEvidence {
  /** Who started the job: the pipeline's user, or who played or retried it. */
  readonly starter: UserId;
  /** The job's pipeline first, then its ancestors. */
  readonly pipelines: readonly { readonly creators: readonly UserId[]; readonly carriesVariables: boolean; readonly byPass: boolean }[];
  /** False: an ancestor is gone, or was not wholly known. */
  readonly lineageKnown?: boolean;
  /** Who gave the job itself variables, when they played it; null = nobody. */
  readonly variablesBy?: UserId | null;
  /** Commits reachable from the job's sha but from no protected ref; null = more than the limit. */
  readonly unprotectedCommits: readonly Oid[] | null;
  /** Who pushed each of them; a commit that is missing was never logged. */
  readonly pushers: ReadonlyMap<Oid, readonly UserId[]>;
  /** Responsible user of a group or project runner; null for an instance runner. */
  readonly runnerOwner: UserId | null;
  /** Principals of the jobs whose artifacts it consumes; null = of one of them it is not known. */
  readonly artifactPrincipals: readonly UserId[] | null;
  /** Of each commit that the configuration includes files from, beside the job's own. */
  readonly includes?: readonly IncludeEvidence[];
  /** Who set the CI/CD variables that the job gets, where no administrator did. */
  readonly variableSetters?: readonly UserId[];
  /** Who last pushed or merged to the protected ref that it runs on, or to those that its commit stands on; null = of one nobody knows. Left out where there is none. */
  readonly lastPushers?: readonly UserId[] | null;
}

/** Who answers for a commit that files were included from (A57). */
export interface IncludeEvidence {
  /** For people. */
  readonly name: string;
  readonly unprotectedCommits: readonly Oid[] | null;
  readonly pushers: ReadonlyMap<Oid, readonly UserId[]>;
  /** Who put it where it was included from; null = nobody knows. */
  readonly movers: readonly UserId[] | null;
  /** Inside the top-level group of the job's project: there its movers are trusted, as those of the job's own ref are (A59). */
  readonly atHome: boolean;
}

export interface Principals {
  /** Ordered, each user once; the first started the job. */
  readonly list: readonly PassPrincipal[];
  /** Too many, or not provable: only fetching the own project is left. */
  readonly ownProjectOnly: boolean;
  /** Lines for the trace and the log. */
  readonly notes: readonly string[];
}

/**
 * Whose rights a job's passes intersect (R3). Pure.
 * @param mode `starter` is the instance's choice to look at nobody else; `doctor` and the log then say what that gives up
 */
export function principalsOf(evidence: PrincipalEvidence, mode: 'intersect' | 'starter' = 'intersect'): Principals {
  const found = new Map<UserId, PrincipalReason>([[evidence.starter, 'starter']]);
  const notes: string[] = [];
  let provable = true;
  const add = (users: readonly UserId[], reason: PrincipalReason): void => {
    for (const user of users) if (!found.has(user)) found.set(user, reason);
  };
  if (mode === 'intersect') {
    for (const [index, pipeline] of evidence.pipelines.entries()) {
      // Variables steer what a job does (A56), and a pass's write counts as all its principals' (A58).
      if (pipeline.carriesVariables || pipeline.byPass)
        add(pipeline.creators, pipeline.byPass ? 'write_by_pass' : index === 0 ? 'pipeline_creator' : 'ancestor');
    }
    if (evidence.lineageKnown === false) {
      provable = false;
      notes.push('not everybody behind the pipelines that led here is known');
    }
    // They steer the job as well, also where another retries it (A56).
    if (evidence.variablesBy !== undefined && evidence.variablesBy !== null) add([evidence.variablesBy], 'pipeline_creator');
    const addPushers = (from: Pick<IncludeEvidence, 'unprotectedCommits' | 'pushers'>, reason: PrincipalReason, where = ''): void => {
      if (from.unprotectedCommits === null) {
        provable = false;
        notes.push(`too many commits outside protected refs to tell who pushed them${where}`);
      }
      for (const commit of from.unprotectedCommits ?? []) {
        const pushers = from.pushers.get(commit);
        if (pushers === undefined || pushers.length === 0) {
          provable = false;
          notes.push(`nobody is known to have pushed commit ${commit.slice(0, 8)}${where}`);
          break;
        }
        add(pushers, reason);
      }
    };
    addPushers(evidence, 'pusher');
    for (const include of evidence.includes ?? []) addPushers(include, 'include', ` (included from ${include.name})`);
    if (evidence.runnerOwner !== null) add([evidence.runnerOwner], 'runner_owner');
    add(evidence.artifactPrincipals ?? [], 'artifact');
    if (evidence.artifactPrincipals === null) {
      provable = false;
      notes.push('it is not known whose hands were in a job whose artifacts it uses');
    }
    for (const { name, movers, atHome } of evidence.includes ?? []) {
      if (!atHome) add(movers ?? [], 'include');
      if (movers === null) {
        provable = false;
        notes.push(`nobody is known to have put ${name} where it was included from`);
      }
    }
    // Last, so that who is a principal for another reason counts everywhere (A59).
    for (const { movers, atHome } of evidence.includes ?? []) if (atHome) add(movers ?? [], 'last_merger');
    add(evidence.lastPushers ?? [], 'last_merger');
    // They steer the job as well, within the trust that the top-level group has in them (A56, A59).
    add(evidence.variableSetters ?? [], 'kept_variable');
    if (evidence.lastPushers === null) {
      provable = false;
      notes.push('nobody is known to have last pushed to the protected ref that it runs on, or that its branch was cut from');
    }
  } else notes.push('principals: starter (this instance looks at nobody but who started the job)');
  if (found.size > limits.principals) {
    notes.push(`${found.size} principals are more than ${limits.principals}`);
    provable = false;
  }
  const list = [...found].slice(0, limits.principals).map(([userId, reason]) => ({ userId, reason }));
  return { list, ownProjectOnly: !provable, notes };
}

/** Those whose rights count only outside the top-level group of the job's project. */
export function outsideOnlyOf(principals: readonly PassPrincipal[]): readonly UserId[] {
  return principals.filter(({ reason }) => reason === 'last_merger' || reason === 'kept_variable').map(({ userId }) => userId);
}

/**
 * Who last moved the protected refs that answer for what a job runs (A59).
 * @returns null where that is not known of one of them; undefined where no ref answers
 */
export async function lastMoversOf(
  refs: readonly string[],
  lastPushers: (ref: string) => Promise<readonly UserId[] | undefined>,
): Promise<readonly UserId[] | null | undefined> {
  if (refs.length === 0) return undefined;
  const found = await Promise.all(refs.map(lastPushers));
  const known = found.filter((movers) => movers !== undefined);
  return known.length < refs.length ? null : known.flat();
}
