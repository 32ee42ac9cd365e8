import type { AuditEntry, AuditTrail } from '../audit/trail.ts';
import { JobpassError } from '../base/errors.ts';
import type { UserId } from '../base/ids.ts';
import type { RefChange, RefDecision } from '../base/refs.ts';
import { accessText, type Access } from '../policy/access.ts';
import { decideRef } from '../policy/decide-ref.ts';
import { decide } from '../policy/decide.ts';
import type { Decision } from '../policy/facts.ts';
import type { AuditStore } from '../ports/audit.ts';
import type { MaybeTx } from '../ports/tx.ts';
import { alivePass, authenticate, type AuthenticateDeps } from './authenticate.ts';
import { gatherAccesses, gatherAsker } from './facts.ts';
import { type Grant, type Identity, type ListFilter, makeGrant } from './grant.ts';
import type { LiveGrants } from './live.ts';
import { PassQuota } from './quota.ts';
import type { Admission, AskContext, Gatekeeper, Refusal, Subject } from './subject.ts';

export interface GatekeeperDeps extends AuthenticateDeps {
  readonly trail: AuditTrail;
  readonly auditStore: AuditStore;
  readonly live: LiveGrants;
  /** Counts for metrics; unauthenticated refusals are nothing else (R10). */
  readonly onDecision?: (decision: 'allow' | 'deny' | 'unauthenticated', door: string, rule: string) => void;
}

/** A user's own requests have no job that could end: their signal never fires. */
const never = new AbortController().signal;

/** Makes the one place where grants come from. */
export function makeGatekeeper(deps: GatekeeperDeps): Gatekeeper {
  const quota = new PassQuota(deps.auditStore, deps.clock);
  const leave = new WeakMap<Grant, () => void>();

  async function admit(subject: Subject, accesses: readonly Access[], context: AskContext): Promise<Admission> {
    const who = await authenticate(deps, subject, context.secure);
    if (!who.ok) return refuse(who.identity, accesses, context, who.refusal);
    const { identity } = who;
    const overQuota = identity.kind === 'pass' ? await quota.take(identity.passId) : undefined;
    if (overQuota !== undefined) return refuse(identity, accesses, context, overQuota);
    const decision = await ask(null, identity, accesses);
    if (!decision.allow) return refuse(identity, accesses, context, decision, decision.reason);
    return { ok: true, grant: await grantFor(identity, subject, accesses, context, decision) };
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
    const use = identity.kind === 'pass' ? deps.live.enter(identity.jobId, identity.passId) : undefined;
    try {
      const auditId = await deps.trail.allow(entryOf(identity, accesses, context, 'allow', decision.rule, decision.reason));
      deps.onDecision?.('allow', context.door, decision.rule);
      const grant = makeGrant({
        identity,
        accesses,
        auditId,
        requestId: context.requestId,
        filter: filterOf(identity),
        signal: use?.signal ?? never,
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
    const decision = await ask(tx, identity, accesses);
    if (!decision.allow)
      throw new JobpassError(
        decision.code,
        decision.what === undefined ? decision.message : { what: decision.what, message: decision.message },
      );
  }

  async function aliveNow(tx: MaybeTx, identity: Identity, subject: Subject, context: AskContext) {
    if (identity.kind !== 'pass') return authenticate(deps, subject, context.secure, tx);
    const pass = await deps.passes.byId(tx, identity.passId);
    if (pass === undefined) return { ok: false, refusal: { code: 'pass_dead', rule: 'R2', message: 'The pass is unknown.' } } as const;
    return alivePass(deps, pass, tx);
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
    return { ok: false, refusal: { code, message, rule, ...(what === undefined ? {} : { what }) } };
  }

  async function admitRefs(grant: Grant, changes: readonly RefChange[]): Promise<readonly RefDecision[]> {
    const decisions: RefDecision[] = [];
    for (const change of changes) {
      const decision = await decideOneRef(grant.identity, change);
      const entry: AuditEntry = {
        ...entryOf(
          grant.identity,
          [],
          {
            door: 'ref',
            endpoint: `${change.kind} ${change.ref} ${change.oldOid}..${change.newOid}`,
            requestId: grant.requestId,
            secure: true,
          },
          'allow',
          'R1',
          'allowed',
        ),
        accesses: [`code:push@project:${change.projectId}`],
      };
      if (decision.allowed) {
        const auditId = await deps.trail.allow(entry);
        // The ref's own outcome is that of its push, whose row carries it.
        await deps.trail.settle(auditId, 'done', `decided with request ${grant.requestId}`);
      } else deps.trail.refuse({ ...entry, decision: 'deny', reason: decision.message });
      decisions.push(decision);
    }
    return decisions;
  }

  async function decideOneRef(identity: Identity, change: RefChange): Promise<RefDecision> {
    const project = await deps.directory.project(null, change.projectId);
    const users = usersOf(identity);
    if (project === undefined || users.length === 0) return { ref: change.ref, allowed: false, message: 'There is no such project.' };
    const levels = await deps.directory.projectLevels(null, users, change.projectId, deps.clock.now());
    const facts = await deps.directory.users(null, users);
    const levelOf = (user: UserId) => (identity.kind === 'user' && facts.get(user)?.isAdmin === true ? 50 : (levels.get(user) ?? 0));
    const lowestLevel = users.map(levelOf).reduce((lowest, level) => (level < lowest ? level : lowest), 50);
    const rules = await deps.directory.protectedRefs(null, change.projectId);
    return decideRef(change, {
      rules,
      defaultBranch: project.defaultBranch,
      archived: project.archived,
      lowestLevel,
      byPass: identity.kind === 'pass',
    });
  }

  return {
    admit,
    admitRefs,
    async settle(grant, outcome, detail) {
      leave.get(grant)?.();
      await deps.trail.settle(grant.auditId, outcome, detail ?? null);
    },
  };
}

function usersOf(identity: Identity): readonly UserId[] {
  if (identity.kind === 'pass') return identity.principals;
  return identity.kind === 'user' || identity.kind === 'job' ? [identity.userId] : [];
}

/** Lists show what every principal may see (R3). */
function filterOf(identity: Identity): ListFilter {
  return { principals: usersOf(identity) };
}

function entryOf(
  identity: Identity,
  accesses: readonly Access[],
  context: AskContext,
  decision: 'allow' | 'deny',
  rule: string,
  reason: string,
): AuditEntry {
  const pass = identity.kind === 'pass' ? identity : undefined;
  const job = identity.kind === 'job' || identity.kind === 'pass' ? identity : undefined;
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
