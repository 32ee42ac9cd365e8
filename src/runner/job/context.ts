import type { Log } from '../../base/log.ts';
import type { Secret } from '../../base/secret.ts';
import type { FailureReason } from '../../wire/runner.ts';
import type { RunnerClient } from '../client.ts';
import type { RunnerEntry } from '../config.ts';
import type { Executor, Workspace } from '../executors/executor.ts';
import type { Judgement } from '../gate/judge.ts';
import type { WatchedSecret } from '../trace/masker.ts';
import type { Trace } from '../trace/trace.ts';
import type { JobControl } from './control.ts';
import type { Job } from './payload.ts';
import type { Variables } from './variables.ts';

export interface JobDeps {
  readonly entry: RunnerEntry;
  readonly client: RunnerClient;
  readonly executor: Executor;
  readonly judgement: Judgement;
  /** The operator overrides the gate. */
  readonly unsafe: boolean;
  /** A build folder for a job whose inputs have this key; one for each job. */
  readonly slotFor: (trustKey: string) => number;
  readonly log: Log;
  /** Until the server wishes another. */
  readonly traceIntervalMs: number;
  readonly heartbeatMs: number;
  /** Before an upload is tried again, times the number of tries. */
  readonly retryMs: number;
}

/** What every stage of a job needs. */
export interface JobContext extends JobDeps {
  readonly job: Job;
  readonly token: Secret;
  readonly control: JobControl;
  readonly trace: Trace;
  readonly workspace: Workspace;
  readonly variables: Variables;
  /** CI_DEBUG_TRACE: every command is shown as it runs. What is masked stays masked. */
  readonly debugTrace: boolean;
  /** Random: marks the job's processes, and names its files. Another server's job may have the same id. */
  readonly cookie: string;
  readonly slot: number;
  /** Jobs with another key never meet this one's files (R15). */
  readonly trustKey: string;
  /** Passes and tokens that must not get out; a find revokes them. */
  readonly watched: readonly WatchedSecret[];
}

/** How a job ended. */
export type Outcome =
  | { readonly state: 'success' }
  | { readonly state: 'failed'; readonly reason: FailureReason; readonly exitCode?: number; readonly message?: string };

/** Wraps a stage so that it folds in a reader's view. */
export async function section<Result>(
  context: Pick<JobContext, 'job' | 'trace'>,
  name: string,
  title: string,
  work: () => Promise<Result>,
): Promise<Result> {
  if (!context.job.features.trace_sections) return work();
  const now = (): number => Math.floor(Date.now() / 1000);
  context.trace.line(`section_start:${now()}:${name}\r\u001b[0K\u001b[0K\u001b[36;1m${title}\u001b[0;m`);
  try {
    return await work();
  } finally {
    context.trace.line(`section_end:${now()}:${name}\r\u001b[0K`);
  }
}

/** The end of a job that was stopped; undefined where it was not. */
export function stopOutcome(control: JobControl): Outcome | undefined {
  if (control.reason === undefined) return undefined;
  const reason = {
    canceled: 'job_canceled',
    canceling: 'job_canceled',
    timeout: 'job_execution_timeout',
    interrupted: 'runner_interrupted',
  } as const;
  return { state: 'failed', reason: reason[control.reason] };
}
