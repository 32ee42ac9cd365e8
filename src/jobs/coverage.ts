import { RE2JS } from 're2js';
import type { JobRecord } from '../ports/jobs.ts';
import type { PlanJob } from '../pipeline/plan.ts';
import type { JobsDeps } from './deps.ts';
import { traceKey } from './keys.ts';
import { hasEnded } from './state.ts';

const mostBytes = 4 * 1024 * 1024;
const longestLine = 16 * 1024;
/** Steps of the pattern's program, about ten nanoseconds each; a large pattern sees less of a long log. */
const mostSteps = 200_000_000;
/** After so many the others get a turn. */
const stepsAtOnce = 5_000_000;

/** Reads the coverage out of an ended job's log, where the job says how, and keeps it. @see GitLab, CI/CD YAML syntax reference: `coverage` */
export async function keepCoverage(
  { jobs, traces, transactor }: Pick<JobsDeps, 'jobs' | 'traces' | 'transactor'>,
  job: JobRecord,
): Promise<void> {
  const { job: plan }: { job: PlanJob } = JSON.parse(job.plan);
  if (plan.coverage === undefined) return;
  const pattern = RE2JS.compile(plan.coverage);
  const key = traceKey(job.id);
  const wanted = Math.min(mostBytes, Math.floor(mostSteps / Math.max(1, pattern.programSize())));
  const from = Math.max(0, (await traces.sizeBytes(key)) - wanted);
  const coverage = await coverageIn(await traces.read(key, from), pattern);
  if (coverage === undefined) return;
  const { status } = (await jobs.job(null, job.id)) ?? job;
  if (hasEnded(status)) await transactor.write((tx) => jobs.changeJob(tx, job.id, [status], { coverage }));
}

/**
 * The number in the last match of a log: of its last group, where it has groups. Lines are read from the last one back, and the beginning of each. A search is linear in what is
 * left of a line, but a pattern may find something at each letter of it: every search is paid for, and past `mostSteps` nothing more is looked at.
 */
export async function coverageIn(trace: AsyncIterable<Buffer | string>, pattern: RE2JS): Promise<number | undefined> {
  const decoder = new TextDecoder();
  let log = '';
  for await (const chunk of trace) log += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
  const purse = new Purse(pattern.programSize());
  for (let end = log.length; end >= 0 && !purse.empty;) {
    const start = Math.max(log.lastIndexOf('\n', end - 1), log.lastIndexOf('\r', end - 1)) + 1;
    const number = start < end ? await numberIn(log.slice(start, Math.min(end, start + longestLine)), pattern, purse) : undefined;
    if (number !== undefined) return number;
    if (start === 0) return undefined;
    end = start - 1;
  }
  return undefined;
}

/** What searching may still cost, and until somebody else is to have a turn. */
class Purse {
  readonly #programSize: number;
  #left = mostSteps;
  #turn = stepsAtOnce;

  constructor(programSize: number) {
    this.#programSize = Math.max(1, programSize);
  }

  get empty(): boolean {
    return this.#left <= 0;
  }

  /** @returns false where it does not suffice for a search through so many letters */
  async pay(letters: number): Promise<boolean> {
    const steps = this.#programSize * (letters + 1);
    this.#left -= steps;
    this.#turn -= steps;
    if (this.#turn <= 0) {
      this.#turn = stepsAtOnce;
      await new Promise((resolve) => setImmediate(resolve));
    }
    return this.#left >= 0;
  }
}

async function numberIn(line: string, pattern: RE2JS, purse: Purse): Promise<number | undefined> {
  // Colours, and the head of each line that a runner with time stamps writes.
  const text = line.replace(/^\d{4}-\d\d-\d\dT[\d:.]+Z \w\w[OE][ +]?/, '').replaceAll(/\u001b\[[\d;]*[A-Za-z]/g, '');
  const matcher = pattern.matcher(text);
  let last: string | undefined;
  let from = 0;
  for (;;) {
    // What only a part of the line says is not known to be the last.
    if (!(await purse.pay(text.length - from))) return undefined;
    if (!matcher.find()) break;
    last = matcher.group(matcher.groupCount()) ?? matcher.group() ?? undefined;
    from = matcher.end();
  }
  const number = /\d+(?:\.\d+)?/.exec(last ?? '')?.[0];
  return number === undefined || Number(number) > 1e6 ? undefined : Number(number);
}
