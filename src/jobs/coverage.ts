import { RE2JS } from 're2js';
import type { JobRecord } from '../ports/jobs.ts';
import type { PlanJob } from '../pipeline/plan.ts';
import type { JobsDeps } from './deps.ts';
import { traceKey } from './keys.ts';
import { hasEnded } from './state.ts';

const mostBytes = 4 * 1024 * 1024;
const longestLine = 16 * 1024;
/** Steps of the pattern's program; a large pattern sees less of a long log. */
const mostSteps = 200_000_000;

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

/** The number in the last match of a log: of its last group, where it has groups. Lines are read one at a time, and the beginning of each. */
export async function coverageIn(trace: AsyncIterable<Buffer | string>, pattern: RE2JS): Promise<number | undefined> {
  let found: number | undefined;
  let line = '';
  const look = (): void => {
    found = numberIn(line, pattern) ?? found;
    line = '';
  };
  const decoder = new TextDecoder();
  for await (const chunk of trace) {
    const [first = '', ...others] = (typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true })).split(/[\r\n]/);
    line = (line + first).slice(0, longestLine);
    for (const next of others) {
      look();
      line = next.slice(0, longestLine);
    }
  }
  look();
  return found;
}

function numberIn(line: string, pattern: RE2JS): number | undefined {
  // Colours, and the head of each line that a runner with time stamps writes.
  const text = line.replace(/^\d{4}-\d\d-\d\dT[\d:.]+Z \w\w[OE][ +]?/, '').replaceAll(/\u001b\[[\d;]*[A-Za-z]/g, '');
  const matcher = pattern.matcher(text);
  let last: string | undefined;
  while (matcher.find()) last = matcher.group(matcher.groupCount()) ?? matcher.group() ?? undefined;
  const number = /\d+(?:\.\d+)?/.exec(last ?? '')?.[0];
  return number === undefined || Number(number) > 1e6 ? undefined : Number(number);
}
