import type { Log } from '../../base/log.ts';
import type { Secret } from '../../base/secret.ts';
import type { JobUpdate } from '../../wire/runner.ts';
import { type ReportAnswer, type RunnerClient, tracePatchBytes } from '../client.ts';
import { waitFor } from '../wait.ts';
import type { Trace } from './trace.ts';

export interface SenderOptions {
  readonly client: RunnerClient;
  readonly job: number;
  readonly token: Secret;
  readonly trace: Trace;
  readonly log: Log;
  /** The server then shows the trace to fewer people. */
  readonly debugTrace: boolean;
  /** The server wants the script stopped; after_script and uploads run. */
  readonly onCanceling: () => void;
  /** The server has ended the job: everything stops at once. */
  readonly onCanceled: () => void;
  readonly intervalMs: number;
  /** Before a refused or lost final report is tried again; doubles. */
  readonly retryMs: number;
  /** Without output for this long, the server hears `running` again; its answer is also how a silent job learns of a cancel. */
  readonly heartbeatMs: number;
}

const finalRounds = 10;
const maxBackoffMs = 60_000;

/** Sends a trace as it grows, and the job's end. @see GitLab Runner API: `PATCH /jobs/:id/trace`, `PUT /jobs/:id` */
export class TraceSender {
  readonly #options: SenderOptions;
  /** Cuts a regular report off that the server does not answer. */
  readonly #impatient = new AbortController();
  #sent = 0;
  /** The first report is sent at once. */
  #asked = false;
  #intervalMs: number;
  #timer: NodeJS.Timeout | undefined;
  #working: Promise<void> | undefined;
  #lastContact = performance.now();
  /** The server takes nothing more. */
  #over = false;
  #stopped = false;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#intervalMs = options.intervalMs;
    options.trace.onMore = () => this.#schedule(0);
    this.#schedule(options.heartbeatMs);
  }

  #schedule(minimumMs: number): void {
    if (this.#stopped || this.#over || this.#working !== undefined) return;
    const sinceContact = performance.now() - this.#lastContact;
    const waitMs = !this.#asked && minimumMs === 0 ? 0 : Math.max(minimumMs, this.#intervalMs) - sinceContact;
    if (this.#timer !== undefined) {
      if (minimumMs > 0) return;
      clearTimeout(this.#timer);
    }
    this.#timer = setTimeout(() => this.#tick(), Math.max(0, waitMs));
  }

  #tick(): void {
    this.#timer = undefined;
    this.#asked = true;
    const { log, job } = this.#options;
    this.#working = this.#work()
      .catch((error: unknown) => log.warn('trace.unsent', { job, reason: error instanceof Error ? error.message : String(error) }))
      .finally(() => {
        this.#lastContact = performance.now();
        this.#working = undefined;
        this.#schedule(this.#sent < this.#options.trace.sizeBytes ? 0 : this.#options.heartbeatMs);
      });
  }

  async #work(): Promise<void> {
    const { client, job, token, trace } = this.#options;
    const { signal } = this.#impatient;
    if (this.#sent < trace.sizeBytes) await this.#sendNext(signal);
    else this.#note(await client.updateJob(job, token, { state: 'running' }, signal));
  }

  /** @returns true when the server took something, or said where it is instead */
  async #sendNext(signal: AbortSignal): Promise<boolean> {
    const { client, job, token, trace } = this.#options;
    const startBytes = this.#sent;
    const bytes = await trace.read(startBytes, tracePatchBytes);
    const answer = await client.patchTrace(job, token, { startBytes, bytes, debugTrace: this.#options.debugTrace }, signal);
    if (answer.status === 202) this.#sent += bytes.length;
    else if (answer.status === 416) this.#sent = Math.min(answer.offsetBytes, trace.sizeBytes);
    this.#note(answer);
    return answer.status === 202 || (answer.status === 416 && this.#sent !== startBytes);
  }

  /** Reads what an answer says about the job beside its own matter. */
  #note(answer: ReportAnswer): void {
    if (answer.intervalSeconds !== undefined) this.#intervalMs = answer.intervalSeconds * 1000;
    if (isKill(answer)) {
      this.#over = true;
      this.#options.onCanceled();
    } else if (answer.jobStatus === 'canceling') this.#options.onCanceling();
  }

  /** Stops the regular sending; `finish` may follow. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#working;
  }

  /**
   * Sends the rest of the trace and the final state, patiently.
   * @param update made anew for each try
   * @returns false when the server does not want it any more, or cannot be reached for long
   */
  async finish(update: () => JobUpdate, signal: AbortSignal): Promise<boolean> {
    const hurry = (): void => this.#impatient.abort();
    signal.addEventListener('abort', hurry, { once: true });
    if (signal.aborted) hurry();
    await this.stop();
    signal.removeEventListener('abort', hurry);
    const { client, job, token, trace, log } = this.#options;
    for (let round = 1; round <= finalRounds && !this.#over; round += 1) {
      try {
        while (this.#sent < trace.sizeBytes && !this.#over) if (!(await this.#sendNext(signal))) break;
        if (this.#over) return false;
        const answer = await client.updateJob(job, token, update(), signal);
        if (answer.status === 200) return true;
        if (answer.status === 404 || answer.status === 403) return false;
        if (answer.status === 412) this.#sent = 0;
        if (answer.status === 202 || answer.status === 412) {
          await waitFor(answer.status === 412 ? 0 : (answer.intervalSeconds ?? 1) * 1000, signal);
          continue;
        }
        log.warn('job.final_update_refused', { job, status: answer.status });
      } catch (error) {
        if (signal.aborted) return false;
        log.warn('job.final_update_failed', { job, reason: error instanceof Error ? error.message : String(error) });
      }
      await waitFor(Math.min(this.#options.retryMs * 2 ** (round - 1), maxBackoffMs), signal);
    }
    return false;
  }
}

/** 403 is the kill switch, and so is an ended state (protocol notes §6). */
export function isKill(answer: ReportAnswer): boolean {
  return answer.status === 403 || answer.jobStatus === 'canceled' || answer.jobStatus === 'failed';
}
