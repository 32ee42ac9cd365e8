import type { Clock } from '../../../base/clock.ts';
import { isJobpassError } from '../../../base/errors.ts';
import { parseRefName, type ProjectId, type PushId, type RefName, type UserId, zeroOid } from '../../../base/ids.ts';
import type { Log } from '../../../base/log.ts';
import type { DecideRefs, RefChange } from '../../../base/refs.ts';
import { type Grant, jobBehind } from '../../../pass/grant.ts';
import type { Leaks } from '../../../ports/leaks.ts';
import type { Nodes } from '../../../ports/nodes.ts';
import type { Transactor } from '../../../ports/tx.ts';
import type { PushOutcome, RefsUpdated } from '../../forge.ts';
import type { NewPush, PushLogStore } from '../ports.ts';
import { pushFacts } from './change-facts.ts';
import { hookReader, type HookQuestion } from './hooks.ts';
import { passesInPush } from './leak-search.ts';
import { passesInText } from '../../../base/pass-search.ts';
import type { GitEnd, GitOptions, GitRunner } from './processes.ts';
import { readRefs } from './refs.ts';
import { removeStaleLocks } from './stale-locks.ts';

export interface PushDeps {
  readonly git: GitRunner;
  readonly transactor: Transactor;
  readonly pushLog: PushLogStore;
  /** Told of the passes that a push would publish. */
  readonly leaks: Leaks;
  readonly clock: Clock;
  readonly log: Log;
  readonly nodes: Nodes;
  readonly onRefsUpdated: (event: RefsUpdated) => Promise<void>;
}

const leakWords = ['a pass (jpt_…) stands in this push: it is revoked now (R12)', 'take it out of the commits, and push again'];

/** One write to a repository's refs: from the first question of the hooks to the event that starts pipelines. */
export class Push {
  readonly #deps: PushDeps;
  readonly #grant: Grant;
  readonly #project: ProjectId;
  readonly #repository: string;
  readonly #decide: DecideRefs;
  readonly #moved = new Set<RefName>();
  #prepared: { readonly id: PushId; readonly push: NewPush } | undefined;
  /** As they were decided; asked once more when each takes effect. */
  #decided: readonly RefChange[] = [];
  #refused = false;
  /** Answers that are being thought about; they never reject. */
  readonly #answering = new Set<Promise<void>>();
  /** The sentence that the first refusal gave. */
  refusal: string | undefined;

  constructor(deps: PushDeps, grant: Grant, project: ProjectId, repository: string, decide: DecideRefs) {
    this.#deps = deps;
    this.#grant = grant;
    this.#project = project;
    this.#repository = repository;
    this.#decide = decide;
  }

  /** For the process that runs `git receive-pack`. */
  hooks(): Pick<GitOptions, 'onHookLine'> {
    return {
      onHookLine: hookReader((question, answer) => {
        const answering = this.#answer(question, answer).finally(() => this.#answering.delete(answering));
        this.#answering.add(answering);
      }),
    };
  }

  /**
   * Once git has ended: settles the log with the refs that really moved, and tells those who wait for pushes.
   * @throws store_unavailable, upstream_failed; then the log's row waits for recovery
   */
  async finish(end: GitEnd): Promise<PushOutcome> {
    // git may be gone before it was answered: what is being written then would be left to the next start, which could take it for a push that stands.
    await Promise.all(this.#answering);
    const prepared = this.#prepared;
    // git that was stopped may have moved a ref and not have come to tell.
    if (prepared !== undefined && !end.clean) await this.#lookForMoved(prepared.push);
    const moved = [...this.#moved];
    if (prepared !== undefined) {
      const state = moved.length > 0 ? 'applied' : 'dropped';
      await this.#deps.transactor.write((tx) => this.#deps.pushLog.finish(tx, prepared.id, state, moved));
      if (state === 'applied') await this.#tell(prepared.id, prepared.push);
      const { changes } = prepared.push;
      if (!this.#refused && moved.length < changes.length)
        await removeStaleLocks(
          this.#deps,
          this.#repository,
          changes.map(({ ref }) => ref),
        );
    }
    return { outcome: moved.length > 0 ? 'done' : this.#refused ? 'refused' : 'failed', moved };
  }

  async #lookForMoved(push: NewPush): Promise<void> {
    const names = push.changes.map((change) => change.ref);
    const now = await readRefs(this.#deps.git, this.#repository, names);
    for (const change of push.changes) {
      if ((now.get(change.ref)?.target ?? zeroOid) === change.newOid) this.#moved.add(change.ref);
    }
  }

  async #answer(question: HookQuestion, answer: (text: string) => void): Promise<void> {
    try {
      const objection = await this.#ask(question);
      if (objection === undefined) return;
      if (objection.length === 0) answer('ok\n');
      else this.#refuse(objection, answer);
    } catch (error) {
      if (!isJobpassError(error)) this.#deps.log.error('push.failed', { project: this.#project, requestId: this.#grant.requestId }, error);
      this.#refuse([isJobpassError(error) ? error.message : 'internal error; nothing was changed'], answer);
    }
  }

  #refuse(messages: readonly string[], answer: (text: string) => void): void {
    this.#refused = true;
    this.refusal ??= messages[0];
    answer(`no\n${messages.map((message) => `${message.replaceAll(/[\r\n]+/g, ' ')}\n`).join('')}.\n`);
  }

  /** @returns objections (none = go on), or undefined where the hook waits for no answer */
  async #ask(question: HookQuestion): Promise<readonly string[] | undefined> {
    if (question.head.startsWith('pre-receive ')) return this.#decidePush(question);
    const decided = new Set<string>(this.#prepared?.push.changes.map((change) => change.ref));
    if (question.head === 'prepared') {
      // Whatever moves was decided; HEAD is named along with the branch that it stands for.
      if (question.updates.some(({ ref }) => ref !== 'HEAD' && !decided.has(ref))) return ['the push was not decided'];
      // git holds the locks of these refs now: the moment of effect (R2).
      await this.#grant.confirm(null);
      const moving = new Set(question.updates.map(({ ref }) => ref));
      // What a push holds may take long to be searched: a branch may have been protected, or somebody's role taken, since it was decided.
      return this.#objections(
        this.#decided.filter(({ ref }) => moving.has(ref)),
        'again',
      );
    }
    for (const update of question.updates) {
      const ref = parseRefName(update.ref);
      if (ref !== undefined && decided.has(ref)) this.#moved.add(ref);
    }
    return undefined;
  }

  async #decidePush(question: HookQuestion): Promise<readonly string[]> {
    const [, options, ...objects] = question.head.split(' ');
    // An option can ask for more than a ref: merge requests, variables (R5, A62).
    if (options !== 'none' && options !== 'ci.skip') return ['push options other than ci.skip are not accepted'];
    const { git } = this.#deps;
    const facts = await pushFacts(git, this.#repository, this.#project, objects.join(' '), question.updates, this.#grant.signal);
    if (typeof facts === 'string') return [facts];
    const pushers = new Set(this.#grant.principals);
    const refused = await this.#objections(facts.changes, undefined, pushers);
    if (refused.length > 0) return refused;
    this.#decided = facts.changes;
    if (await this.#leaks(objects.join(' '), facts.changes)) return leakWords;
    const { identity } = this.#grant;
    const push: NewPush = {
      projectId: this.#project,
      changes: facts.changes.map(({ ref, oldOid, newOid }) => ({ ref, oldOid, newOid })),
      // A write made with a pass counts as made by all its principals (R3).
      pushers: [...pushers],
      passId: identity.kind === 'pass' ? identity.passId : null,
      jobId: jobBehind(identity) ?? null,
      commits: facts.commits,
      skipCi: options === 'ci.skip',
      at: this.#deps.clock.now(),
      node: this.#deps.nodes.self,
    };
    // Written before any ref moves: a crash may leave a row too many, never a commit without its pusher.
    const id = await this.#deps.transactor.write(async (tx) => {
      await this.#grant.confirm(tx);
      return this.#deps.pushLog.prepare(tx, push);
    });
    this.#prepared = { id, push };
    return [];
  }

  /** @param pushers gets whoever answers for them beside */
  async #objections(changes: readonly RefChange[], again?: 'again', pushers = new Set<UserId>()): Promise<readonly string[]> {
    const decisions = new Map((await this.#decide(changes, again)).map((decision) => [decision.ref, decision]));
    for (const { pushers: beside = [] } of decisions.values()) for (const user of beside) pushers.add(user);
    const refused = changes.filter((change) => decisions.get(change.ref)?.allowed !== true);
    return refused.map((change) => decisions.get(change.ref)?.message ?? `${change.ref} was not decided`);
  }

  /** A pass that would be published is dead before anybody reads it (R12). */
  async #leaks(objects: string, changes: readonly RefChange[]): Promise<boolean> {
    const { git, leaks } = this.#deps;
    const inside = await passesInPush(git, this.#repository, objects, this.#grant.signal);
    const names = changes.flatMap(({ ref, kind }) => (kind === 'delete' ? [] : [...passesInText(ref)].map(({ pass }) => pass)));
    const found = new Set([...inside, ...names]);
    const place = { door: 'git', what: `a push to project ${this.#project}`, requestId: this.#grant.requestId };
    return (await leaks.revokeAll(found, place)) > 0;
  }

  async #tell(pushId: PushId, push: NewPush): Promise<void> {
    const changes = push.changes.filter((change) => this.#moved.has(change.ref));
    try {
      await tellOfPush(this.#deps, pushId, { ...push, changes });
    } catch (error) {
      // The push stands. Its row is applied and not handled, so the next start tells it again.
      this.#deps.log.error('push.not_told', { push: pushId, project: push.projectId }, error);
    }
  }
}

/** Tells of a push that stands, once: the row is marked when everybody has heard. */
export async function tellOfPush(deps: PushDeps, pushId: PushId, push: Omit<NewPush, 'commits' | 'at' | 'node'>): Promise<void> {
  const { projectId, changes, pushers, passId, jobId, skipCi } = push;
  if (changes.length > 0) await deps.onRefsUpdated({ pushId, projectId, changes, pushers, passId, jobId, skipCi });
  await deps.transactor.write((tx) => deps.pushLog.markHandled(tx, pushId));
}
