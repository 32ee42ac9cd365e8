import type { AuditEntry, AuditTrail } from '../audit/trail.ts';
import { JobpassError } from '../base/errors.ts';
import { type AuditId, type ProjectId, zeroOid } from '../base/ids.ts';
import type { RefChange, RefDecision } from '../base/refs.ts';
import { accessText, type Access } from '../policy/access.ts';
import { decideRef, type RefFacts } from '../policy/decide-ref.ts';
import { decide } from '../policy/decide.ts';
import type { Decision } from '../policy/facts.ts';
import type { AuditStore } from '../ports/audit.ts';
import type { Ceilings } from '../ports/ceilings.ts';
import type { JobRights, RecordedRights } from '../ports/job-rights.ts';
import type { MaybeTx } from '../ports/tx.ts';
import { type AssistDeps, assistingPass } from './assist.ts';
import { alivePass, authenticate, type AuthenticateDeps, type Authentication, passIdentity } from './authenticate.ts';
import { type CeilingDeps, ceilingsOf } from './ceilings.ts';
import { gatherAccesses, gatherAsker, gatherRefs, type Hands, usersOf } from './facts.ts';
import { type Grant, type Identity, type ListFilter, makeGrant, type PassIdentity } from './grant.ts';
import type { LiveGrants } from './live.ts';
import { outsideOnlyOf } from './principals.ts';
import { beyondScope } from './registry-token.ts';
import { type OverQuota, Quota } from './quota.ts';
import type { Admission, AskContext, Gatekeeper, Refusal, Subject } from './subject.ts';

export interface GatekeeperDeps extends AuthenticateDeps, AssistDeps {
  readonly trail: AuditTrail;
  readonly auditStore: AuditStore;
  readonly ceilings: Ceilings;
  readonly live: LiveGrants;
  /** Whose hands are in a job; left out where nobody but who started it is looked at. */
  readonly jobRights?: Pick<JobRights, 'of'> | undefined;
  /** Counts for metrics; unauthenticated refusals are nothing else (R10). */
  readonly onDecision?: (decision: 'allow' | 'deny' | 'unauthenticated', door: string, rule: string) => void;
}

/** Makes the one place where grants come from. */
export function makeGatekeeper(deps: GatekeeperDeps): Gatekeeper {
  const quota = new Quota(deps.auditStore, deps.clock);
  const leave = new WeakMap<Grant, () => void>();
  const refRows = new WeakMap<Grant, AuditId[]>();

  async function admit(subject: Subject, accesses: readonly Access[], context: AskContext): Promise<Admission> {
    const who = await identify(subject, context);
    const { identity } = who;
    const over = identity === undefined ? undefined : await quota.take(identity);
    if (over !== undefined) return refuseOver(identity, context, who.ok ? over : { ...over, refusal: who.refusal });
    if (!who.ok) return refuse(identity, accesses, context, who.refusal);
    const decision = await ask(null, who.identity, accesses);
    if (!decision.allow) return refuse(identity, accesses, context, decision, decision.reason);
    const beyond = beyondScope(who.scope, accesses) ?? elsewhere(who.project, accesses);
    if (beyond !== undefined) return refuse(identity, accesses, context, beyond);
    return { ok: true, grant: await grantFor(who.identity, subject, accesses, context, decision) };
  }

  /** Who asks; the job of an older runner with its fetch pass, where that counts. */
  async function identify(subject: Subject, { door, secure }: AskContext, tx: MaybeTx = null, again = false): Promise<Authentication> {
    const who = await authenticate(deps, subject, secure, tx, again);
    if (!who.ok || who.identity.kind !== 'job') return who;
    const pass = await assistingPass(deps, who.identity.jobId, door, secure, deps.clock.now(), tx);
    return pass === undefined ? who : { ...who, identity: { ...who.identity, assist: passIdentity(pass) } };
  }

  async function ask(tx: MaybeTx, identity: Identity, accesses: readonly Access[]): Promise<Decision> {
    const asker = await gatherAsker(deps, tx, identity);
    return decide(asker, await gatherAccesses(deps, tx, accesses, usersOf(identity)));
  }

  async function grantFor(
    identity: Identity,
    subject: Subject,
    accesses: readonly Access[],
    context: AskContext,
    decision: Decision,
  ): Promise<Grant> {
    const held = passOf(identity);
    const use = held === undefined ? undefined : deps.live.enter(held.jobId, held.passId);
    try {
      const auditId = await deps.trail.allow(entryOf(identity, accesses, context, 'allow', decision.rule, decision.reason));
      deps.onDecision?.('allow', context.door, decision.rule);
      const grant = makeGrant({
        identity,
        accesses,
        auditId,
        requestId: context.requestId,
        filter: await filterOf(deps, identity),
        // A user's own request has no job that could end. Its own signal: listeners on a shared one would pile up.
        signal: use?.signal ?? new AbortController().signal,
        confirm: (tx) => confirm(tx, identity, subject, accesses, context),
      });
      if (use !== undefined) leave.set(grant, () => use.leave());
      return grant;
    } catch (error) {
      use?.leave();
      throw error;
    }
  }

  /** The second question, at the moment of effect (R2): is the credential still alive, and would the answer still be yes? */
  async function confirm(
    tx: MaybeTx,
    identity: Identity,
    subject: Subject,
    accesses: readonly Access[],
    context: AskContext,
  ): Promise<void> {
    const who = await aliveNow(tx, identity, subject, context);
    if (!who.ok) throw new JobpassError(who.refusal.code, who.refusal.message);
    // A job's fetch pass, and what lets it count, may be gone by now.
    const decision = await ask(tx, identity.kind === 'job' ? who.identity : identity, accesses);
    if (!decision.allow)
      throw new JobpassError(
        decision.code,
        decision.what === undefined ? decision.message : { what: decision.what, message: decision.message },
      );
  }

  async function aliveNow(tx: MaybeTx, identity: Identity, subject: Subject, context: AskContext) {
    if (identity.kind !== 'pass') return identify(subject, context, tx, true);
    // The job's row first, as whoever ends the job locks it before its passes: else each would wait for the other.
    const life = await deps.liveness.jobLife(tx, identity.jobId);
    const pass = await deps.passes.byId(tx, identity.passId);
    if (pass === undefined) return { ok: false, refusal: { code: 'pass_dead', rule: 'R2', message: 'The pass is unknown.' } } as const;
    return alivePass(deps, pass, life);
  }

  function refuse(
    identity: Identity | undefined,
    accesses: readonly Access[],
    context: AskContext,
    refusal: Refusal,
    reason = refusal.message,
  ): Admission {
    // Somebody without a known credential leaves a count, not a row: rows are for those who can be named (R10).
    if (identity === undefined || identity.kind === 'anonymous') deps.onDecision?.('unauthenticated', context.door, refusal.rule);
    else {
      deps.onDecision?.('deny', context.door, refusal.rule);
      deps.trail.refuse(entryOf(identity, accesses, context, 'deny', refusal.rule, reason));
    }
    const { code, message, rule, what } = refusal;
    return {
      ok: false,
      refusal: { code, message, rule, ...(what === undefined ? {} : { what }) },
      ...(identity?.kind === 'anonymous' ? { anonymous: true } : {}),
    };
  }

  /** Leaves one row a second at most, whatever was asked for: else the quota itself would be the way to flood the trail (A65). */
  function refuseOver(identity: Identity | undefined, context: AskContext, over: OverQuota): Admission {
    if (over.audited) return refuse(identity, [], { ...context, endpoint: '*' }, over.refusal);
    deps.onDecision?.('deny', context.door, over.refusal.rule);
    return { ok: false, refusal: over.refusal };
  }

  async function admitRefs(grant: Grant, changes: readonly RefChange[], again?: 'again'): Promise<readonly RefDecision[]> {
    const { identity } = grant;
    const over = again === undefined ? await quota.charge(identity, changes.length) : undefined;
    if (over !== undefined) return changes.map(({ ref }) => ({ ref, allowed: false, message: over.refusal.message }));
    const hands =
      identity.kind === 'job' && deps.jobRights !== undefined ? handsIn(await deps.jobRights.of(null, identity.jobId)) : undefined;
    const facts = new Map<ProjectId, RefFacts | undefined>();
    for (const { projectId } of changes)
      if (!facts.has(projectId)) facts.set(projectId, await gatherRefs(deps, identity, projectId, hands));
    const rows = refRows.get(grant) ?? [];
    refRows.set(grant, rows);
    // Together, so that the rows of a push share commits of the trail.
    const decisions = await Promise.all(
      changes.map((change) => admitRef(grant, change, facts.get(change.projectId), again === undefined ? rows : undefined)),
    );
    return hands === undefined ? decisions : decisions.map((one) => ({ ...one, pushers: hands.users }));
  }

  async function admitRef(grant: Grant, change: RefChange, facts: RefFacts | undefined, rows: AuditId[] | undefined): Promise<RefDecision> {
    const decision =
      facts === undefined
        ? { ref: change.ref, allowed: false, message: 'There is no such project.' }
        : decideRef(change, { ...facts, merging: merges(grant, change.projectId) });
    const endpoint = `${change.kind} ${change.ref} ${change.oldOid}..${change.newOid}`;
    const entry: AuditEntry = {
      ...entryOf(grant.identity, [], { door: 'ref', endpoint, requestId: grant.requestId }, 'allow', 'R1', 'allowed'),
      accesses: [`code:push@project:${change.projectId}`],
    };
    if (decision.allowed) rows?.push(await deps.trail.allow(entry));
    else deps.trail.refuse({ ...entry, decision: 'deny', reason: decision.message });
    return decision;
  }

  return {
    admit,
    admitRefs,
    async mayMerge(grant, projectId, ref) {
      const { identity } = grant;
      const facts = await gatherRefs(deps, identity, projectId);
      if (facts === undefined) return false;
      const change = { projectId, ref, oldOid: zeroOid, newOid: zeroOid, kind: 'update', forced: false, touchesJobpass: false } as const;
      return decideRef(change, { ...facts, merging: true }).allowed;
    },
    async settle(grant, outcome, detail) {
      leave.get(grant)?.();
      // A ref that was decided shares the outcome of its push.
      const refs = refRows.get(grant) ?? [];
      refRows.delete(grant);
      await Promise.all([grant.auditId, ...refs].map((row) => deps.trail.settle(row, outcome, detail ?? null)));
    },
  };
}

/** What a job's ordinary token writes is of everybody whose hands are in the job, as what its pass writes is (R3, A58). */
function handsIn(rights: RecordedRights | undefined): Hands {
  const users = (rights?.principals ?? []).map(({ userId }) => userId);
  const outside = outsideOnlyOf(rights?.principals ?? []);
  return { users, counted: rights?.provable === true ? users.filter((user) => !outside.includes(user)) : null };
}

/** Such a grant moves a branch to the merge that the forge itself made, and to nothing else. */
function merges({ accesses }: Grant, project: ProjectId): boolean {
  return accesses.some(
    ({ permission, resource }) => permission === 'merge_request:merge' && resource.kind === 'project' && resource.id === project,
  );
}

/** A trigger token is none at all for another project. */
function elsewhere(only: ProjectId | undefined, accesses: readonly Access[]): Refusal | undefined {
  if (only === undefined || accesses.every(({ resource }) => resource.kind === 'project' && resource.id === only)) return undefined;
  return { code: 'not_found', rule: 'R11', message: '404 Project Not Found', what: 'Project' };
}

/** The pass with whose rights it is decided. */
function passOf(identity: Identity): PassIdentity | undefined {
  return identity.kind === 'pass' ? identity : identity.kind === 'job' ? identity.assist : undefined;
}

/** Lists show what every principal may see (R3), within every ceiling (R4). */
async function filterOf(deps: CeilingDeps, identity: Identity): Promise<ListFilter> {
  const pass = passOf(identity);
  const ceilings = pass === undefined ? [] : await ceilingsOf(deps, null, pass);
  const within = ceilings.flatMap(({ ceiling }) => (ceiling === null ? [{ projectIds: [], groupIds: [] }] : (ceiling.places ?? [])));
  return { principals: usersOf(identity), ...(within.length === 0 ? {} : { within }) };
}

function entryOf(
  identity: Identity,
  accesses: readonly Access[],
  context: Pick<AskContext, 'door' | 'endpoint' | 'requestId'>,
  decision: 'allow' | 'deny',
  rule: string,
  reason: string,
): AuditEntry {
  const pass = identity.kind === 'creators' ? identity.pass : passOf(identity);
  const job = identity.kind === 'job' || identity.kind === 'pass' || identity.kind === 'bridge' ? identity : undefined;
  return {
    decision,
    subject: identity.kind,
    passId: pass?.passId ?? null,
    passKind: pass?.passKind ?? null,
    jobId: job?.jobId ?? null,
    pipelineId: job?.pipelineId ?? null,
    jobProjectId: job?.projectId ?? null,
    principals: usersOf(identity),
    accesses: accesses.map(accessText),
    door: context.door,
    endpoint: context.endpoint,
    rule,
    reason,
    requestId: context.requestId,
  };
}
