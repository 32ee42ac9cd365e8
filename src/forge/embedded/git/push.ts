import type { Clock } from '../../../base/clock.ts';
import { isJobpassError } from '../../../base/errors.ts';
import { type Oid, parseRefName, type ProjectId, type PushId, type RefName, type UserId } from '../../../base/ids.ts';
import type { Log } from '../../../base/log.ts';
import type { DecideRefs } from '../../../base/refs.ts';
import type { Grant } from '../../../pass/grant.ts';
import type { Transactor } from '../../../ports/tx.ts';
import type { PushOutcome, RefsUpdated } from '../../forge.ts';
import type { NewPush, PushLogStore } from '../ports.ts';
import { pushFacts } from './change-facts.ts';
import { hookReader, type HookQuestion } from './hooks.ts';
import type { GitOptions, GitRunner } from './processes.ts';

export interface PushDeps {
  readonly git: GitRunner;
  readonly transactor: Transactor;
  readonly pushLog: PushLogStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly onRefsUpdated: (event: RefsUpdated) => Promise<void>;
}

/** One write to a repository's refs: from the first question of the hooks to the event that starts pipelines. */
export class Push {
  readonly #deps: PushDeps;
  readonly #grant: Grant;
  readonly #project: ProjectId;
  readonly #repository: string;
  readonly #decide: DecideRefs;
  readonly #moved = new Set<RefName>();
  #prepared: { readonly id: PushId; readonly push: NewPush } | undefined;
  #refused = false;
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
    return { onHookLine: hookReader((question, answer) => void this.#answer(question, answer)) };
  }

  /** Once git has ended: settles the log with the refs that really moved, and tells those who wait for pushes. */
  async finish(): Promise<PushOutcome> {
    const moved = [...this.#moved];
    const prepared = this.#prepared;
    if (prepared !== undefined) {
      const state = moved.length > 0 ? 'applied' : 'dropped';
      await this.#deps.transactor.write((tx) => this.#deps.pushLog.finish(tx, prepared.id, state, moved));
      if (state === 'applied') await this.#tell(prepared.id, prepared.push, moved);
    }
    return { outcome: moved.length > 0 ? 'done' : this.#refused ? 'refused' : 'failed', moved };
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
    if (question.head === 'prepared') {
      // git holds the locks of these refs now: the moment of effect (R2).
      if (this.#prepared === undefined) return ['the push was not decided'];
      await this.#grant.confirm(null);
      return [];
    }
    for (const update of question.updates) {
      const ref = parseRefName(update.ref);
      if (ref !== undefined && this.#prepared?.push.changes.some((change) => change.ref === ref) === true) this.#moved.add(ref);
    }
    return undefined;
  }

  async #decidePush(question: HookQuestion): Promise<readonly string[]> {
    const [, skip = '0', ...objects] = question.head.split(' ');
    const facts = await pushFacts(this.#deps.git, this.#repository, this.#project, objects.join(' '), question.updates);
    if (typeof facts === 'string') return [facts];
    const refused = (await this.#decide(facts.changes)).filter((decision) => !decision.allowed);
    if (refused.length > 0) return refused.map((decision) => decision.message);
    const { identity } = this.#grant;
    const push: NewPush = {
      projectId: this.#project,
      changes: facts.changes.map(({ ref, oldOid, newOid }) => ({ ref, oldOid, newOid })),
      // A write made with a pass counts as made by all its principals (R3).
      pushers: this.#pushers(),
      passId: identity.kind === 'pass' ? identity.passId : null,
      jobId: identity.kind === 'pass' || identity.kind === 'job' ? identity.jobId : null,
      commits: facts.commits,
      skipCi: skip === '1',
      at: this.#deps.clock.now(),
    };
    // Written before any ref moves: a crash may leave a row too many, never a commit without its pusher.
    const id = await this.#deps.transactor.write(async (tx) => {
      await this.#grant.confirm(tx);
      return this.#deps.pushLog.prepare(tx, push);
    });
    this.#prepared = { id, push };
    return [];
  }

  #pushers(): readonly UserId[] {
    return this.#grant.principals;
  }

  async #tell(pushId: PushId, push: NewPush, moved: readonly RefName[]): Promise<void> {
    const changes = push.changes.filter((change) => moved.includes(change.ref));
    const event: RefsUpdated = {
      pushId,
      projectId: push.projectId,
      changes,
      pushers: push.pushers,
      passId: push.passId,
      jobId: push.jobId,
      skipCi: push.skipCi,
    };
    await this.#deps.onRefsUpdated(event);
    await this.#deps.transactor.write((tx) => this.#deps.pushLog.markHandled(tx, pushId));
  }
}

/** A change that somebody wants, by hand of the API. */
export interface WantedChange {
  readonly ref: RefName;
  readonly oldOid: Oid;
  readonly newOid: Oid;
}
