import type { Clock } from '../../base/clock.ts';
import { type EpochMillis, type JobId, millis } from '../../base/ids.ts';
import type { Log } from '../../base/log.ts';
import type { Secret } from '../../base/secret.ts';
import type { GatewayJob, GatewayJobs, UpstreamJob, UpstreamJobs } from '../../ports/gateway.ts';
import type { JobLife, Liveness } from '../../ports/passes.ts';
import type { Transactor } from '../../ports/tx.ts';
import type { Seal } from '../../base/seal.ts';

/** A yes of the forge counts for so long (R2). */
const yesMs = 1000;
/** How often each job is asked about when nobody uses its passes, so that its end is seen and its tokens go. */
const reapMs = 10_000;
/** How often a runner's word is written down; it counts at once. */
const contactEachMs = 20_000;

interface Watched {
  readonly token: Secret;
  /** Monotonic; when the forge was asked for the last yes. */
  yesAt: number;
  /** Monotonic; an answer to a question from before this says nothing any more. */
  doubtedAt: number;
  state: GatewayJob['state'];
  contactAt: EpochMillis;
  savedAt: number;
  cancelingSince: EpochMillis | null;
  asking: Promise<void> | undefined;
}

export interface LivenessDeps {
  readonly upstream: UpstreamJobs;
  readonly jobs: GatewayJobs;
  readonly transactor: Transactor;
  readonly seal: Seal;
  readonly clock: Clock;
  readonly log: Log;
  /** In the transaction that marks the job ended, and after it. */
  readonly onEnding: (tx: Parameters<GatewayJobs['moveTo']>[0], job: JobId) => Promise<void>;
  readonly onEnded: (job: JobId) => void;
}

/** A pass is as alive as its job's own token: the forge is asked with it, and no answer means no (R2). */
export class GitlabLiveness implements Liveness {
  readonly #deps: LivenessDeps;
  readonly #watched = new Map<JobId, Watched>();
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: LivenessDeps) {
    this.#deps = deps;
  }

  /** Begins to look after jobs that nobody asks about. */
  start(): void {
    const { log } = this.#deps;
    // A store that is away for a moment must not end the gateway: the next round finds what this one missed.
    const missed = (error: unknown): void => log.warn('gateway.reap_failed', { why: error instanceof Error ? error.message : 'unknown' });
    this.#timer ??= setInterval(() => void this.reap().catch(missed), reapMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async jobLife(tx: Parameters<Liveness['jobLife']>[0], job: JobId): Promise<JobLife | 'unanswered' | undefined> {
    const watched = await this.#find(job);
    if (watched === undefined) return undefined;
    if (watched.state !== 'ended' && !this.#isFresh(watched)) {
      // Nothing but SQL is waited for inside of a transaction.
      if (tx !== null || !(await this.#askAnew(job, watched))) return 'unanswered';
    }
    const { state, cancelingSince, contactAt } = watched;
    return { state, cancelingSince, contactAt };
  }

  /** What the forge answered to the job's runner: its word counts as contact, and may be about the end. */
  async observe(job: JobId, token: Secret, answer: { readonly status: number; readonly jobStatus: string | undefined }): Promise<void> {
    const watched = await this.#find(job);
    // Anybody may knock with any token; only the job's own counts.
    if (watched === undefined || watched.state === 'ended' || watched.token.digest() !== token.digest()) return;
    const doubt = answer.status === 200 || answer.status >= 400 || (answer.jobStatus ?? 'running') !== 'running';
    // At once: nothing is waited for between the forge's word and the doubt.
    if (doubt) watched.doubtedAt = this.#deps.clock.monotonic();
    if (answer.status < 300) await this.#contact(job, watched);
    if (doubt) await this.#askAnew(job, watched);
  }

  /** Asks the forge now, whatever it said a moment ago; of a job that is not known there is nothing to ask. */
  async look(job: JobId): Promise<void> {
    const watched = await this.#find(job);
    if (watched === undefined || watched.state === 'ended') return;
    watched.doubtedAt = this.#deps.clock.monotonic();
    await this.#askAnew(job, watched);
  }

  /** The job's own token, for what only it may ask; undefined = unknown or ended. */
  async tokenOf(job: JobId): Promise<Secret | undefined> {
    const watched = await this.#find(job);
    return watched === undefined || watched.state === 'ended' ? undefined : watched.token;
  }

  async hasEnded(job: JobId): Promise<boolean> {
    return ((await this.#deps.jobs.byId(null, job))?.state ?? 'ended') === 'ended';
  }

  /** Asks about every job that was not asked about lately. */
  async reap(): Promise<void> {
    for (const { id } of await this.#deps.jobs.unended(null)) {
      const watched = await this.#find(id);
      if (watched === undefined) await this.#end(id, undefined);
      else if (this.#deps.clock.monotonic() - watched.yesAt > reapMs / 2) await this.#ask(id, watched);
    }
  }

  async #find(job: JobId): Promise<Watched | undefined> {
    const known = this.#watched.get(job);
    if (known !== undefined) return known;
    const record = await this.#deps.jobs.byId(null, job);
    const token = record === undefined ? undefined : this.#deps.seal.open(record.sealedToken);
    if (record === undefined || token === undefined) return undefined;
    const { state, contactAt, cancelingSince } = record;
    const watched: Watched = {
      token,
      yesAt: -Infinity,
      doubtedAt: -Infinity,
      state,
      contactAt,
      savedAt: 0,
      cancelingSince,
      asking: undefined,
    };
    const other = this.#watched.get(job);
    if (other !== undefined) return other;
    // Nobody asks about one that is over, whoever names it.
    if (state !== 'ended') this.#watched.set(job, watched);
    return watched;
  }

  /** A question that was on its way before the doubt does not answer it. @returns false = no clear answer */
  async #askAnew(job: JobId, watched: Watched): Promise<boolean> {
    if (!(await this.#ask(job, watched))) return false;
    return watched.state === 'ended' || watched.yesAt > watched.doubtedAt || this.#ask(job, watched);
  }

  /** @returns false = no clear answer */
  async #ask(job: JobId, watched: Watched): Promise<boolean> {
    watched.asking ??= this.#askOnce(job, watched).finally(() => (watched.asking = undefined));
    try {
      await watched.asking;
      return true;
    } catch (error) {
      this.#deps.log.warn('gateway.job_unanswered', { job, why: error instanceof Error ? error.message : 'unknown' });
      return false;
    }
  }

  async #askOnce(job: JobId, watched: Watched): Promise<void> {
    const asked = this.#deps.clock.monotonic();
    const answer = await this.#deps.upstream.jobOf(watched.token);
    const ms = Math.round(this.#deps.clock.monotonic() - asked);
    // What the pass had in flight may have been cut for want of an answer: nobody could tell why otherwise.
    if (ms >= yesMs) this.#deps.log.warn('gateway.job_answered_late', { job, ms });
    const state = stateOf(answer, job);
    if (state === 'ended') return this.#end(job, watched);
    if (state === 'canceling' && watched.state !== 'canceling') {
      watched.cancelingSince = this.#deps.clock.now();
      await this.#deps.transactor.write((tx) => this.#deps.jobs.moveTo(tx, job, 'canceling', this.#deps.clock.now()));
    }
    // Never back: a job that is canceling does not run again.
    if (watched.state === 'running') watched.state = state;
    watched.yesAt = asked;
  }

  async #end(job: JobId, watched: Watched | undefined): Promise<void> {
    const { transactor, jobs, clock } = this.#deps;
    if (watched !== undefined) watched.state = 'ended';
    await transactor.write(async (tx) => {
      await jobs.moveTo(tx, job, 'ended', clock.now());
      await this.#deps.onEnding(tx, job);
    });
    this.#watched.delete(job);
    this.#deps.onEnded(job);
  }

  async #contact(job: JobId, watched: Watched): Promise<void> {
    const now = this.#deps.clock.now();
    watched.contactAt = millis(now);
    const at = this.#deps.clock.monotonic();
    if (at - watched.savedAt < contactEachMs && watched.savedAt !== 0) return;
    watched.savedAt = at;
    await this.#deps.transactor.write((tx) => this.#deps.jobs.contact(tx, job, now));
  }

  #isFresh(watched: Watched): boolean {
    return watched.yesAt > watched.doubtedAt && this.#deps.clock.monotonic() - watched.yesAt < yesMs;
  }
}

/** A word that is none of the two for a job at work means that it is over (R13). */
function stateOf(answer: UpstreamJob | 'refused', job: JobId): GatewayJob['state'] {
  if (answer === 'refused' || answer.id !== job) return 'ended';
  return answer.status === 'running' || answer.status === 'canceling' ? answer.status : 'ended';
}
